import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { createFakeCli } from '../../testing/fake-cli-context.ts';
import type { FakeCli, FakeCliOptions } from '../../testing/fake-cli-context.ts';
import { runCli } from '../program.ts';

const sessionId = '0198c0de-0000-7000-8000-000000000001';
const turnId = '0198c0de-0000-7000-8000-000000000002';
const token = 'cf_token';

type Call = {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
};
type Answer = (response: ServerResponse) => void;
type ScriptedFleet = { readonly url: string; readonly calls: Call[] };

/** Answers the first call with the first answer, and so on; the last answer repeats. */
async function scriptedFleet(t: TestContext, ...answers: Answer[]): Promise<ScriptedFleet> {
  const calls: Call[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8');
    request.on('data', (chunk: string) => {
      body += chunk;
    });
    request.on('end', () => {
      calls.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers, body });
      answers[Math.min(calls.length, answers.length) - 1]?.(response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, calls };
}

function eventJson(seq: number, type: string, fields: Record<string, unknown> = {}): string {
  const at = '2026-01-01T00:00:00.000Z';
  return JSON.stringify({ seq, cursor: `1.${seq}`, type, session_id: sessionId, turn_id: turnId, at, ...fields });
}

const sse = (...jsons: string[]): string =>
  jsons.map((json) => `id: ${(JSON.parse(json) as { cursor: string }).cursor}\nevent: x\ndata: ${json}\n\n`).join('');

const end = (seq: number, type: string, exitCode: number, stdout = '', stderr = ''): string =>
  eventJson(seq, type, {
    status: type.slice(5),
    exit_code: exitCode,
    stdout,
    stderr,
    execution_time_ms: 5,
    usage: {},
    error: null,
    reason: null,
  });

/** An answer with these events; `cut` breaks the connection after them. */
const streams =
  (text: string, how: 'end' | 'cut' | 'open' = 'end'): Answer =>
  (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(text, () => {
      if (how === 'cut') response.destroy();
      if (how === 'end') response.end();
    });
  };

const refuses =
  (status: number, code: string, detail: string): Answer =>
  (response) => {
    response.writeHead(status, { 'content-type': 'application/problem+json' });
    response.end(JSON.stringify({ type: 'x', title: code, status, detail, code, retry: 'never', request_id: 'r' }));
  };

function cliFor(fleet: ScriptedFleet | { url: string }, options: FakeCliOptions = {}): FakeCli {
  return createFakeCli({ ...options, env: { CODEX_FLEET_URL: fleet.url, CODEX_FLEET_TOKEN: token, ...options.env } });
}

test('the answer goes to stdout and nothing else does; the request carries what was asked', async (t) => {
  const fleet = await scriptedFleet(t, streams(sse(eventJson(1, 'turn.started'), end(2, 'turn.completed', 0, 'four'))));
  const cli = cliFor(fleet);
  const exitCode = await runCli(cli.context, ['exec', '2+2?', '--session', 'sums', '--timeout', '90s', '--model', 'm']);
  assert.deepEqual([exitCode, cli.stdout(), cli.stderr()], [0, 'four\n', '']);
  const [call] = fleet.calls;
  assert.deepEqual([call?.method, call?.url, call?.headers.authorization], ['POST', '/api/v1/exec', `Bearer ${token}`]);
  assert.deepEqual(JSON.parse(call?.body ?? ''), {
    prompt: '2+2?',
    session_id: 'sums',
    timeout_ms: 90_000,
    model: 'm',
    stream: true,
  });
});

test('effort, schema and what to do when busy are passed on as they are given', async (t) => {
  const fleet = await scriptedFleet(t, streams(sse(eventJson(1, 'turn.started'), end(2, 'turn.completed', 0, '{}'))));
  const directory = await mkdtemp(join(tmpdir(), 'codex-fleet-exec-'));
  t.after(() => rm(directory, { recursive: true }));
  const file = join(directory, 'schema.json');
  await writeFile(file, '{"type": "object"}');
  const options = ['--effort', 'low', '--on-busy', 'reject', '--output-schema', file];
  assert.equal(await runCli(cliFor(fleet).context, ['exec', 'x', ...options]), 0);
  assert.deepEqual(JSON.parse(fleet.calls[0]?.body ?? ''), {
    prompt: 'x',
    effort: 'low',
    output_schema: { type: 'object' },
    on_busy: 'reject',
    stream: true,
  });
  await writeFile(file, '{"type": ');
  const cli = cliFor(fleet);
  assert.equal(await runCli(cli.context, ['exec', 'x', '--output-schema', file]), 2);
  assert.match(cli.stderr(), /--output-schema: .* it is not valid JSON/);
});

const ends: readonly { type: string; wire: number; exitCode: number }[] = [
  { type: 'turn.failed', wire: 1, exitCode: 1 },
  { type: 'turn.interrupted', wire: 1, exitCode: 1 },
  { type: 'turn.timed_out', wire: 124, exitCode: 124 },
  { type: 'turn.cancelled', wire: 130, exitCode: 130 },
];
for (const { type, wire, exitCode } of ends) {
  test(`${type} leaves with ${exitCode} and says why on stderr`, async (t) => {
    const fleet = await scriptedFleet(t, streams(sse(end(1, type, wire, '', 'the reason'))));
    const cli = cliFor(fleet);
    assert.equal(await runCli(cli.context, ['exec', 'x']), exitCode);
    assert.match(cli.stderr(), /^codex-fleet: turn .*: the reason\n$/);
    assert.equal(cli.stdout(), '');
  });
}

test('with --json each event is a line as it came, once and in order, though the stream breaks and repeats', async (t) => {
  const all = [
    eventJson(1, 'turn.queued'),
    eventJson(2, 'turn.started'),
    eventJson(3, 'item.delta', { delta: 'é\u2028' }),
    end(4, 'turn.completed', 0, 'ok'),
  ];
  const [first = '', second = '', third = '', last = ''] = all;
  const half = sse(third).slice(0, 40);
  const fleet = await scriptedFleet(
    t,
    streams(sse(first, second) + half, 'cut'),
    refuses(503, 'draining', 'stopping'),
    streams(sse(second, third), 'end'),
    streams(`: heartbeat\n\n${sse(last)}`, 'end'),
  );
  const cli = cliFor(fleet, { isTerminal: true });
  assert.equal(await runCli(cli.context, ['exec', '--json', 'x']), 0);
  assert.equal(cli.stdout(), all.map((json) => `${json}\n`).join(''));
  assert.equal(cli.stderr(), '');
  assert.deepEqual(
    fleet.calls.map((call) => `${call.method} ${call.url}`),
    [
      'POST /api/v1/exec',
      `GET /api/v1/sessions/${sessionId}/events?after=1.2&turn_id=${turnId}`,
      `GET /api/v1/sessions/${sessionId}/events?after=1.2&turn_id=${turnId}`,
      `GET /api/v1/sessions/${sessionId}/events?after=1.3&turn_id=${turnId}`,
    ],
  );
});

test('events of other turns of the session are not taken for ours', async (t) => {
  const other = end(2, 'turn.completed', 0, 'not ours').replaceAll(turnId, sessionId);
  const fleet = await scriptedFleet(
    t,
    streams(sse(eventJson(1, 'turn.started'), other, end(3, 'turn.completed', 0, 'ours'))),
  );
  const cli = cliFor(fleet);
  assert.equal(await runCli(cli.context, ['exec', 'x']), 0);
  assert.equal(cli.stdout(), 'ours\n');
});

test('at a terminal, progress is on stderr, dimmed unless NO_COLOR says no, and cannot steer the terminal', async (t) => {
  const text = sse(
    eventJson(1, 'turn.queued', { position: 2 }),
    eventJson(2, 'item.started', { item: { id: 'a', type: 'command_execution', command: 'echo \u001b[2J' } }),
    eventJson(3, 'item.completed', { item: { id: 'a', type: 'command_execution', exit_code: 3 } }),
    eventJson(4, 'item.completed', {
      item: { id: 'b', type: 'file_change', changes: [{ kind: 'add', path: 'a.txt' }] },
    }),
    end(5, 'turn.completed', 0, 'done \u001b]0;x\u0007'),
  );
  const fleet = await scriptedFleet(t, streams(text));
  const plain = cliFor(fleet, { isTerminal: true, env: { NO_COLOR: '1' } });
  await runCli(plain.context, ['exec', 'x']);
  assert.equal(plain.stderr(), 'queued (position 2)\n$ echo \ufffd[2J\n  exit code 3\nadd a.txt\n');
  assert.equal(plain.stdout(), 'done \ufffd]0;x\ufffd\n');

  const dimmed = cliFor(fleet, { isTerminal: true });
  await runCli(dimmed.context, ['exec', 'x']);
  assert.ok(dimmed.stderr().endsWith('\u001b[2madd a.txt\u001b[22m\n'));
});

test('Ctrl-C cancels the turn, waits for its end and leaves with 130; the second signal of one key press is no second', async (t) => {
  let finish: () => void = () => {};
  const fleet = await scriptedFleet(
    t,
    (response) => {
      streams(sse(eventJson(1, 'turn.started')), 'open')(response);
      finish = () => void response.end(sse(end(2, 'turn.cancelled', 130, '', 'cancelled')));
    },
    (response) => {
      response.writeHead(202).end();
      finish();
    },
  );
  const cli = cliFor(fleet, { isTerminal: true });
  const running = runCli(cli.context, ['exec', 'x']);
  await until(() => cli.stderr().includes('session'));
  cli.interrupt();
  cli.interrupt();
  assert.equal(await running, 130);
  assert.equal(fleet.calls[1]?.url, `/api/v1/sessions/${sessionId}/turns/${turnId}/cancel`);
});

test('a second Ctrl-C leaves with 130 without waiting', async (t) => {
  const fleet = await scriptedFleet(t, streams(sse(eventJson(1, 'turn.started')), 'open'), () => {});
  const cli = cliFor(fleet, { isTerminal: true });
  const running = runCli(cli.context, ['exec', 'x']);
  await until(() => cli.stderr().includes('session'));
  cli.interrupt();
  cli.clock.advance(1000);
  cli.interrupt();
  assert.equal(await running, 130);
});

test('a turn that waits for a decision leaves with 6', async (t) => {
  const fleet = await scriptedFleet(t, streams(sse(eventJson(1, 'turn.requires_action')), 'open'));
  assert.equal(await runCli(cliFor(fleet).context, ['exec', 'x']), 6);
});

const refusals: readonly { status: number; code: string; exitCode: number }[] = [
  { status: 401, code: 'unauthenticated', exitCode: 4 },
  { status: 403, code: 'forbidden', exitCode: 4 },
  { status: 400, code: 'invalid_request', exitCode: 2 },
  { status: 409, code: 'session_failed', exitCode: 1 },
  { status: 503, code: 'queue_full', exitCode: 5 },
];
for (const { status, code, exitCode } of refusals) {
  test(`a ${status} leaves with ${exitCode} and the fleet's own words`, async (t) => {
    const fleet = await scriptedFleet(t, refuses(status, code, `about ${code}`));
    const cli = cliFor(fleet);
    assert.deepEqual(
      [await runCli(cli.context, ['exec', 'x']), cli.stderr()],
      [exitCode, `codex-fleet: about ${code}\n`],
    );
    assert.equal(fleet.calls.length, 1);
  });
}

test('nobody listening leaves with 5', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const cli = cliFor({ url: `http://127.0.0.1:${port}` });
  assert.equal(await runCli(cli.context, ['exec', 'x']), 5);
  assert.equal(cli.stderr(), `codex-fleet: http://127.0.0.1:${port} does not answer (ECONNREFUSED)\n`);
});

test('a connection that breaks before the answer leaves with 5 and says that the turn may run', async (t) => {
  const fleet = await scriptedFleet(t, (response) => void response.destroy());
  const cli = cliFor(fleet);
  assert.equal(await runCli(cli.context, ['exec', 'x']), 5);
  assert.match(cli.stderr(), /the turn may run\n$/);
});

test('something that is no fleet leaves with 5', async (t) => {
  const fleet = await scriptedFleet(t, (response) => void response.end('<html>'));
  const cli = cliFor(fleet);
  assert.equal(await runCli(cli.context, ['exec', 'x']), 5);
  assert.match(cli.stderr(), /not as Codex Fleet does/);
});

test('a stream that stays away is given up after a minute, with the ids to look for', async (t) => {
  const fleet = await scriptedFleet(
    t,
    streams(sse(eventJson(1, 'turn.started')), 'cut'),
    refuses(503, 'draining', 'stopping'),
  );
  const cli = cliFor(fleet);
  assert.equal(await runCli(cli.context, ['exec', 'x']), 5);
  assert.match(cli.stderr(), new RegExp(`lost the events of turn ${turnId} of session ${sessionId}: stopping`));
  assert.ok(fleet.calls.length > 10 && fleet.calls.length < 25, String(fleet.calls.length));
});

test('a session that is gone when the stream is resumed is not asked for again', async (t) => {
  const fleet = await scriptedFleet(
    t,
    streams(sse(eventJson(1, 'turn.started')), 'cut'),
    refuses(404, 'session_not_found', 'gone'),
  );
  assert.equal(await runCli(cliFor(fleet).context, ['exec', 'x']), 5);
  assert.equal(fleet.calls.length, 2);
});

test('the prompt comes from stdin when there is none, or for a dash', async (t) => {
  const fleet = await scriptedFleet(t, streams(sse(end(1, 'turn.completed', 0))));
  const stdin = new TextEncoder().encode('olá\n');
  await runCli(cliFor(fleet, { stdin }).context, ['exec']);
  await runCli(cliFor(fleet, { stdin }).context, ['exec', '-']);
  assert.deepEqual(
    fleet.calls.map((call) => (JSON.parse(call.body) as { prompt: string }).prompt),
    ['olá\n', 'olá\n'],
  );
});

const misuses: readonly {
  title: string;
  args: string[];
  stdin?: Uint8Array;
  env?: Record<string, string>;
  says: RegExp;
}[] = [
  { title: 'no prompt at a terminal', args: ['exec'], says: /no prompt/ },
  { title: 'an empty prompt', args: ['exec', '  '], says: /prompt is empty/ },
  {
    title: 'bytes that are no UTF-8',
    args: ['exec', '-'],
    stdin: new Uint8Array([0xff, 0xfe]),
    says: /not valid UTF-8/,
  },
  {
    title: 'a session id with a path in it',
    args: ['exec', 'x', '--session', '../x'],
    says: /--session: got "\.\.\/x"; allowed: /,
  },
  {
    title: 'a time-out that is none',
    args: ['exec', 'x', '--timeout', 'soon'],
    says: /--timeout: got "soon"; allowed: /,
  },
  {
    title: 'a schema that is not there',
    args: ['exec', 'x', '--output-schema', '/nowhere/schema.json'],
    says: /--output-schema: got "\/nowhere\/schema.json"; it cannot be read/,
  },
  {
    title: 'to steer, which is another command,',
    args: ['exec', 'x', '--on-busy', 'steer'],
    says: /--on-busy: got "steer"; allowed: queue, reject; .*`codex-fleet sessions steer`/,
  },
  {
    title: 'an option that does not exist',
    args: ['exec', 'x', '--sesion', 'y'],
    says: /unknown option '--sesion'\n\(Did you mean --session\?\)/,
  },
  { title: 'a command that does not exist', args: ['exce'], says: /unknown command 'exce'/ },
  {
    title: 'an address that is none',
    args: ['exec', 'x'],
    env: { CODEX_FLEET_URL: 'fleet:8080', CODEX_FLEET_TOKEN: 'x' },
    says: /CODEX_FLEET_URL: got "fleet:8080"/,
  },
  {
    title: 'a setting that is not valid',
    args: ['exec', 'x', '--log-level', 'loud'],
    env: { CODEX_FLEET_URL: '' },
    says: /^The configuration has one problem:\n.*--log-level.*"loud"/,
  },
];
for (const { title, args, stdin, env, says } of misuses) {
  test(`${title} leaves with 2 before anything is asked`, async () => {
    const cli = createFakeCli({ env: { ...env }, ...(stdin === undefined ? {} : { stdin }) });
    assert.equal(await runCli(cli.context, args), 2);
    assert.match(cli.stderr(), says);
  });
}

test('without an address, the fleet on the data directory answers; a token is taken from there too', async (t) => {
  const fleet = await scriptedFleet(t, streams(sse(end(1, 'turn.completed', 0, 'ok'))));
  const parts = { discoverFleet: async () => ({ url: fleet.url, token: 'from-data-dir' }) };
  assert.equal(await runCli(createFakeCli({ parts }).context, ['exec', 'x']), 0);
  assert.equal(await runCli(createFakeCli({ parts, env: { CODEX_FLEET_URL: fleet.url } }).context, ['exec', 'x']), 0);
  assert.deepEqual(
    fleet.calls.map((call) => call.headers.authorization),
    ['Bearer from-data-dir', 'Bearer from-data-dir'],
  );
});

test('flags that say how to start a fleet are named when one runs already and they change nothing', async (t) => {
  const fleet = await scriptedFleet(t, streams(sse(end(1, 'turn.completed', 0, 'ok'))));
  const parts = { discoverFleet: async () => ({ url: fleet.url, token: 'from-data-dir' }) };
  const cli = createFakeCli({ parts });
  assert.equal(await runCli(cli.context, ['exec', '--model-provider', 'demo', 'x']), 0);
  assert.match(cli.stderr(), /a fleet runs already: --model-provider /);
});

test('an address elsewhere without a token leaves with 4, and is not sent the token of the data directory', async (t) => {
  const fleet = await scriptedFleet(t, streams(''));
  const parts = { discoverFleet: async () => ({ url: 'http://127.0.0.1:9', token: 'from-data-dir' }) };
  const cli = createFakeCli({ parts, env: { CODEX_FLEET_URL: fleet.url } });
  assert.equal(await runCli(cli.context, ['exec', 'x']), 4);
  assert.equal(fleet.calls.length, 0);
});

test('without any fleet, one is started for the call on a free port and stopped after it', async (t) => {
  const fleet = await scriptedFleet(t, streams(sse(end(1, 'turn.completed', 0, 'ok'))));
  const stops: unknown[] = [];
  const cli = createFakeCli({
    parts: {
      startEmbedded: async (config) => {
        assert.equal(config.server.port, 0);
        return {
          url: fleet.url,
          token,
          firstScreen: [],
          done: new Promise(() => {}),
          stop: async (how) => void stops.push(how),
        };
      },
    },
  });
  assert.deepEqual([await runCli(cli.context, ['exec', 'x']), cli.stdout()], [0, 'ok\n']);
  assert.match(cli.stderr(), /started one for this call, with the DEMO MODEL: no AI is connected\n$/);
  assert.deepEqual(stops, [{ force: false }]);
});

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}
