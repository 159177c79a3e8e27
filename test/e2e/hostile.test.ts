import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { test } from 'node:test';
import type { Problem } from '../../src/api/problem.ts';
import { useFleet } from './use-fleet.ts';
import { UpgradeRefused, WsClient } from './ws-client.ts';

const fleet = useFleet();
const json = { 'content-type': 'application/json' };
/** "Well under a second", on a machine that does other things meanwhile. */
const answerDeadlineMs = 1000;

type RawRequest = {
  readonly method?: string;
  readonly path?: string;
  readonly body?: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
  /** null: none. */
  readonly token?: string | null;
};
type RawAnswer = {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
  readonly elapsedMs: number;
};
type Case = RawRequest & {
  readonly name: string;
  readonly status: number;
  readonly code: string;
  readonly field?: string;
};

const exec = (body: unknown): { body: string; headers: Record<string, string> } => ({
  body: JSON.stringify(body),
  headers: json,
});
const invalid = { status: 400, code: 'invalid_request' };
const notJson = { status: 400, code: 'invalid_json' };

const cases: readonly Case[] = [
  { name: 'an empty body', body: '', headers: json, ...invalid },
  { name: 'no body and no content type', ...invalid },
  { name: 'broken JSON', body: '{"prompt": "x"', headers: json, ...notJson },
  { name: 'an array for a body', body: '[]', headers: json, ...notJson },
  { name: 'a null for a body', body: 'null', headers: json, ...notJson },
  { name: 'invalid UTF-8', body: Buffer.from('7b2270726f6d7074223a22c328227d', 'hex'), headers: json, ...notJson },
  {
    name: 'a key that would poison prototypes',
    body: '{"prompt":"x","__proto__":{"stream":true}}',
    headers: json,
    ...notJson,
  },
  { name: 'JSON nested too deep to be meant', body: `{"prompt":${'['.repeat(100_000)}`, headers: json, ...notJson },
  { name: 'a missing prompt', ...exec({}), ...invalid, field: 'prompt' },
  { name: 'an empty prompt', ...exec({ prompt: '' }), ...invalid, field: 'prompt' },
  { name: 'a prompt of 1,048,577 characters', ...exec({ prompt: 'x'.repeat(1_048_577) }), ...invalid, field: 'prompt' },
  {
    name: 'a prompt of 1,048,577 characters outside the BMP',
    ...exec({ prompt: '😀'.repeat(1_048_577) }),
    ...invalid,
    field: 'prompt',
  },
  { name: 'a prompt that is a number', ...exec({ prompt: 7 }), ...invalid, field: 'prompt' },
  { name: 'a lone surrogate', body: '{"prompt":"\\ud800"}', headers: json, ...invalid, field: 'prompt' },
  { name: 'an unknown field', ...exec({ prompt: 'x', timeout: 5 }), ...invalid, field: 'timeout' },
  { name: 'a timeout that is a text', ...exec({ prompt: 'x', timeout_ms: '30' }), ...invalid, field: 'timeout_ms' },
  { name: 'a negative timeout', ...exec({ prompt: 'x', timeout_ms: -1 }), ...invalid, field: 'timeout_ms' },
  { name: 'half a millisecond', ...exec({ prompt: 'x', timeout_ms: 0.5 }), ...invalid, field: 'timeout_ms' },
  { name: 'a timeout of years', ...exec({ prompt: 'x', timeout_ms: 1e12 }), ...invalid, field: 'timeout_ms' },
  { name: 'stream: "yes"', ...exec({ prompt: 'x', stream: 'yes' }), ...invalid, field: 'stream' },
  { name: 'a session id with ../', ...exec({ prompt: 'x', session_id: '../../etc' }), ...invalid, field: 'session_id' },
  { name: 'a session id with a NUL', ...exec({ prompt: 'x', session_id: 'a\0b' }), ...invalid, field: 'session_id' },
  {
    name: 'a session id that is too long',
    ...exec({ prompt: 'x', session_id: 'a'.repeat(129) }),
    ...invalid,
    field: 'session_id',
  },
  { name: 'a working directory', ...exec({ prompt: 'x', cwd: '/' }), ...invalid, field: 'cwd' },
  { name: 'a path with an encoded ../', method: 'GET', path: '/api/v1/sessions/..%2f..%2fetc', ...invalid },
  { name: 'a path with a broken escape', method: 'GET', path: '/api/v1/sessions/%ff', ...invalid },
  { name: 'a turn id that is none', method: 'GET', path: '/api/v1/sessions/x/turns/..%2fx', ...invalid },
  { name: 'a query that is not known', method: 'GET', path: '/api/v1/sessions?limt=5', ...invalid, field: 'limt' },
  { name: 'a page of a million', method: 'GET', path: '/api/v1/sessions?limit=1000000', ...invalid, field: 'limit' },
  { name: 'no token', token: null, ...exec({ prompt: 'x' }), status: 401, code: 'unauthenticated' },
  { name: 'a wrong token', token: 'cf_wrong', ...exec({ prompt: 'x' }), status: 401, code: 'unauthenticated' },
  { name: 'no token and an empty body', token: null, body: '', headers: json, status: 401, code: 'unauthenticated' },
  { name: 'no token for metrics', token: null, method: 'GET', path: '/metrics', status: 401, code: 'unauthenticated' },
  { name: 'an unknown route', method: 'GET', path: '/api/v2/exec', status: 404, code: 'not_found' },
  {
    name: 'a session that is not there',
    method: 'GET',
    path: '/api/v1/sessions/nobody',
    status: 404,
    code: 'session_not_found',
  },
  { name: 'a wrong method', method: 'GET', path: '/api/v1/exec', status: 405, code: 'method_not_allowed' },
  {
    name: 'a body that is no JSON by its type',
    body: 'prompt=x',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    status: 415,
    code: 'unsupported_media_type',
  },
  {
    name: 'a compressed body',
    body: 'x',
    headers: { ...json, 'content-encoding': 'gzip' },
    status: 415,
    code: 'unsupported_media_type',
  },
  {
    name: 'a body that says it has 17 MiB',
    body: '{"prompt":"x',
    headers: { ...json, 'content-length': String(17 * 1024 * 1024) },
    status: 413,
    code: 'payload_too_large',
  },
];

test('each hostile request gets its typed 4xx at once, makes no session, and the fleet works as before [hostile-typed] [hostile-healthy]', async (t) => {
  const { client } = fleet();
  const before = await client.request('GET', '/api/v1/sessions?limit=100');
  for (const one of cases) {
    await t.test(one.name, async () => {
      const answer = await send(one);
      assert.equal(answer.status, one.status, answer.text);
      assert.equal(answer.headers['content-type'], 'application/problem+json');
      const problem = JSON.parse(answer.text) as Problem;
      assert.deepEqual([problem.code, problem.status], [one.code, one.status]);
      assert.ok(problem.detail.length > 0 && problem.request_id.length > 0);
      if (one.field !== undefined)
        assert.ok(
          problem.errors?.some(({ field }) => field === one.field),
          answer.text,
        );
      assert.ok(answer.elapsedMs < answerDeadlineMs, `answered after ${Math.round(answer.elapsedMs)} ms`);
      assert.ok(answer.text.length < 10_000, 'the answer does not repeat what was sent');
    });
  }
  const after = await client.request('GET', '/api/v1/sessions?limit=100');
  assert.deepEqual(after.body, before.body, 'no session was made');
  assert.equal((await client.request('GET', '/health')).status, 200);
  assert.equal((await client.completed('say: unharmed')).stdout, 'unharmed');
});

test('a misspelt field is answered with the one that was meant, and a wrong method with the right ones [hostile-typed]', async () => {
  const problem = JSON.parse((await send(exec({ prompt: 'x', sesion_id: 'a' }))).text) as Problem;
  assert.equal(problem.errors?.[0]?.did_you_mean, 'session_id');
  assert.match(String((await send({ method: 'GET' })).headers['allow']), /POST/);
  assert.match(String((await send({ ...exec({ prompt: 'x' }), token: null })).headers['www-authenticate']), /^Bearer/);
});

test('a token in the query opens nothing [hostile-typed]', async () => {
  const { token } = fleet().client;
  for (const name of ['token', 'access_token', 'authorization', 'ticket']) {
    const answer = await send({ method: 'GET', path: `/api/v1/sessions?${name}=${token}`, token: null });
    assert.equal(answer.status, 401, name);
    const refused = WsClient.open(fleet().client.url, {}, [], `/ws?${name}=${token}`);
    await assert.rejects(refused, (error) => error instanceof UpgradeRefused && error.status === 401, name);
  }
});

test('the longest prompt that is allowed is taken, whatever its characters [hostile-typed]', async () => {
  const padding = 'é'.repeat(1_048_576 - 'say: ok\n\n'.length - 'say: '.length);
  const { status, body } = await fleet().client.exec({ prompt: `say: ok\n\nsay: ${padding}`, wait_ms: 0 });
  assert.ok(status === 202 || status === 200);
  await fleet().client.cancel(body.session_id, body.turn_id);
});

test('a WebSocket needs a credential and a known origin [hostile-typed]', async () => {
  const { url, token } = fleet().client;
  const refusedWith = (status: number) => (error: unknown) =>
    error instanceof UpgradeRefused && error.status === status;
  await assert.rejects(WsClient.open(url, {}), refusedWith(401));
  await assert.rejects(WsClient.open(url, {}, ['codex-fleet', 'bearer.cf_wrong']), refusedWith(401));
  const headers = { authorization: `Bearer ${token}`, origin: 'https://evil.example' };
  await assert.rejects(WsClient.open(url, { headers }), refusedWith(403));
});

test('a frame that makes no sense is answered with a typed error, and the socket goes on [hostile-typed] [hostile-healthy]', async () => {
  const socket = await fleet().client.ws();
  try {
    socket.sendRaw('{"prompt":');
    socket.sendRaw('[]');
    socket.send({ type: 'nonsense', ref: 'r1' });
    socket.send({ prompt: 7, ref: 'r2' });
    socket.send({ prompt: 'x', session_id: '../x', ref: 'r3' });
    socket.send({ type: 'subscribe', session_id: 'nobody', ref: 'r4' });
    const errors = async (code: string, ref?: string): Promise<unknown> =>
      await socket.frame(
        `${code} for ${ref ?? 'no ref'}`,
        (frame) => frame.type === 'error' && frame['code'] === code && frame.ref === ref,
        5_000,
      );
    await errors('invalid_json');
    for (const ref of ['r1', 'r2', 'r3']) await errors('invalid_request', ref);
    await errors('session_not_found', 'r4');
    socket.send({ prompt: 'say: still fine', ref: 'ok', stream: true });
    const frames = await socket.ended('ok');
    assert.equal(frames.find((frame) => frame.type === 'turn.completed')?.['stdout'], 'still fine');
  } finally {
    await socket.close();
  }
});

async function send(given: RawRequest): Promise<RawAnswer> {
  const { url, token } = fleet().client;
  const bearer = given.token === undefined ? token : given.token;
  const startedMs = performance.now();
  return await new Promise((resolve, reject) => {
    const request = httpRequest(
      url + (given.path ?? '/api/v1/exec'),
      {
        method: given.method ?? 'POST',
        headers: { ...given.headers, ...(bearer === null ? {} : { authorization: `Bearer ${bearer}` }) },
        agent: false,
        timeout: 10_000,
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (text += chunk));
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text,
            elapsedMs: performance.now() - startedMs,
          }),
        );
        response.on('error', reject);
      },
    );
    request.on('error', reject);
    request.on('timeout', () => request.destroy(new Error('no answer within 10 s')));
    request.end(given.body);
  });
}
