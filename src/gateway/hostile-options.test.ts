import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Json, jsonOf, startGateway, token } from '../testing/gateway-fixture.ts';

const exec = '/api/v1/exec';
const sessions = '/api/v1/sessions';

const nested = (depth: number): unknown => (depth === 0 ? 1 : { a: nested(depth - 1) });

/** What was asked for, and what the answer says is allowed. */
const turnOptions: readonly (readonly [Json, RegExp])[] = [
  [{ on_busy: 'wait' }, /on_busy must be one of queue, steer, reject/],
  [{ on_busy: 1 }, /on_busy must be one of queue, steer, reject/],
  [{ onBusy: 'queue' }, /did you mean on_busy/],
  [{ effort: 'extreme' }, /effort must be one of none, minimal, low, medium, high, xhigh/],
  [{ effort: ['low'] }, /effort must be one of/],
  [{ output_schema: 'object' }, /output_schema must be a/],
  [{ output_schema: [] }, /output_schema must be a/],
  [{ output_schema: true }, /output_schema must be a/],
  [{ output_schema: nested(33) }, /output_schema must be nested at most 32 deep/],
  [{ output_schema: { a: 'x'.repeat(65_536) } }, /output_schema must have at most 65536 characters as JSON/],
  [{ output_schema: { a: ['\ud800'] } }, /output_schema has a lone surrogate/],
  [{ output_schema: { '\udc00': 1 } }, /output_schema has a lone surrogate/],
];

const execOptions: typeof turnOptions = [
  ...turnOptions,
  [{ cancel_on_disconnect: 'yes' }, /cancel_on_disconnect must be a boolean/],
  [{ cancel_on_disconnect: true, background: true }, /cancel_on_disconnect cannot go with `background`/],
];

const paths = (...names: readonly unknown[]): Json => ({ snapshot_exclude: names });
const policies: typeof turnOptions = [
  [{ approval_policy: 'always' }, /approval_policy must be one of never, on-request, untrusted/],
  [{ approval_policy: 'on-failure' }, /approval_policy must be one of/],
  [{ approval_timeout_ms: 0 }, /approval_timeout_ms must be at least 1/],
  [{ approval_timeout_ms: 604_800_001 }, /approval_timeout_ms must be at most 604800000/],
  [{ approval_timeout_ms: 1.5 }, /approval_timeout_ms must be a whole number/],
  [{ on_interrupt: 'retry' }, /on_interrupt must be one of fail, continue/],
  [{ on_drain: 'wait' }, /on_drain must be one of fail, continue/],
  [{ durability: 'none' }, /durability must be one of committed, async/],
  [{ snapshot_exclude: 'node_modules' }, /snapshot_exclude must be an array/],
  [paths('../up'), /snapshot_exclude.0 must not have "." or ".."/],
  [paths('ok', 'a/../b'), /snapshot_exclude.1 must not have "." or ".."/],
  [paths('./a'), /must not have "." or ".."/],
  [paths('/etc'), /must be relative to the workspace/],
  [paths('/'), /must not be empty/],
  [paths(''), /must not be empty/],
  [paths('a//b'), /must not have an empty name/],
  [paths('a\0b'), /must not have a NUL/],
  [paths('\ud800'), /lone surrogate/],
  [paths('*.log'), /there are no wildcards/],
  [paths('x'.repeat(256)), /must not have a name of more than 255 bytes/],
  [paths(7), /snapshot_exclude.0 must be a string/],
  [paths(...Array.from({ length: 65 }, (_, index) => `d${index}`)), /snapshot_exclude must have at most 64/],
];

test('each bad option is refused with what is allowed, through each door, and nothing is made', async (t) => {
  const { get, post, url, worker } = await startGateway(t);
  await post(sessions, { id: 's' });
  const patch = (path: string, body: unknown): Promise<Response> =>
    fetch(url + path, {
      method: 'PATCH',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const cases = [
    ...execOptions.map(([body, says]) => ({ ask: () => post(exec, { prompt: 'x', ...body }), body, says })),
    ...turnOptions.map(([body, says]) => ({
      ask: () => post(`${sessions}/s/turns`, { prompt: 'x', ...body }),
      body,
      says,
    })),
    ...policies.map(([body, says]) => ({ ask: () => post(sessions, body), body, says })),
    ...policies.map(([body, says]) => ({ ask: () => patch(`${sessions}/s`, body), body, says })),
    { ask: () => patch(`${sessions}/s`, { durability: null }), body: {}, says: /durability must be one of/ },
    {
      ask: () => get(`${sessions}/s/turns?status=waiting`),
      body: {},
      says: /status must be one of queued, running,.* open/,
    },
    {
      ask: () => post(`${sessions}/s/turns`, { prompt: 'x', cancel_on_disconnect: true }),
      body: {},
      says: /cancel_on_disconnect is not a field/,
    },
  ];
  for (const { ask, body, says } of cases) {
    const answer = await ask();
    const problem = await jsonOf(answer);
    const shown = JSON.stringify(body).slice(0, 100);
    assert.deepEqual([answer.status, problem['code']], [400, 'invalid_request'], shown);
    assert.match(String(problem['detail']), says, shown);
  }
  assert.deepEqual(worker.taken, []);
  assert.equal(((await jsonOf(await get(sessions)))['data'] as Json[]).length, 1);
});

test('a prompt that steers is held to what any prompt is held to', async (t) => {
  const { post, worker } = await startGateway(t, { limits: { maxPromptCodePoints: 10 } });
  const { turn_id } = await jsonOf(await post(exec, { prompt: 'hold', session_id: 's', background: true }));
  const path = `${sessions}/s/turns/${String(turn_id)}/steer`;
  for (const body of [{}, { prompt: '' }, { prompt: 'x'.repeat(11) }, { prompt: 'x', on_busy: 'steer' }]) {
    assert.equal((await post(path, body)).status, 400);
  }
  assert.equal((await post(`${sessions}/s/turns/none/steer`, { prompt: 'x' })).status, 400);
  assert.deepEqual(worker.steered, []);
  worker.release(String(turn_id));
});

test('what is at the bounds is taken, and null is absent', async (t) => {
  const { post } = await startGateway(t);
  const output_schema = { a: nested(31), b: 'x'.repeat(65_000) };
  assert.equal((await post(exec, { prompt: 'say 1', effort: 'xhigh', output_schema })).status, 200);
  const nulls = { effort: null, output_schema: null, on_busy: null, cancel_on_disconnect: null };
  assert.equal((await post(exec, { prompt: 'say 1', ...nulls })).status, 200);
  const snapshot_exclude = Array.from({ length: 64 }, (_, index) => `d${index}/..hidden`);
  assert.equal((await post(sessions, { snapshot_exclude, approval_timeout_ms: 604_800_000 })).status, 201);
  const unset = {
    approval_policy: null,
    approval_timeout_ms: null,
    on_interrupt: null,
    on_drain: null,
    durability: null,
  };
  assert.equal((await post(sessions, { ...unset, snapshot_exclude: null })).status, 201);
});
