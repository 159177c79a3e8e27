import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { createFakeCli, type FakeCli } from '../../testing/fake-cli-context.ts';
import { startGateway, token, type GatewayFixture } from '../../testing/gateway-fixture.ts';
import { runCli } from '../program.ts';

type Ran = { readonly code: number; readonly stdout: string; readonly stderr: string };
type Asked = { readonly fleet: GatewayFixture; run(...args: string[]): Promise<Ran>; cli(): FakeCli };

async function startFleet(t: TestContext): Promise<Asked> {
  const fleet = await startGateway(t);
  const cli = (): FakeCli => createFakeCli({ parts: { discoverFleet: async () => ({ url: fleet.url, token }) } });
  const run = async (...args: string[]): Promise<Ran> => {
    const asked = cli();
    const code = await runCli(asked.context, args);
    return { code, stdout: asked.stdout(), stderr: asked.stderr() };
  };
  return { fleet, run, cli };
}

const exec = async (fleet: GatewayFixture, prompt: string, sessionId: string): Promise<void> => {
  assert.equal((await fleet.post('/api/v1/exec', { prompt, session_id: sessionId })).status, 200);
};

test('sessions ls is a table, or what the fleet answers, a page at a time', async (t) => {
  const { fleet, run } = await startFleet(t);
  await fleet.post('/api/v1/sessions', { id: 'first', title: 'A\u001b[31mred\nthing' });
  await fleet.post('/api/v1/sessions', { id: 'second', model: 'm' });

  const table = await run('sessions', 'ls');
  assert.deepEqual([table.code, table.stderr], [0, '']);
  const [head, ...rows] = table.stdout.trimEnd().split('\n');
  assert.match(head ?? '', /^ID +NAME +STATUS +MODEL +WORKER +LAST USED +TITLE$/);
  assert.match(rows[0] ?? '', /second +idle +m +-/);
  assert.match(rows[1] ?? '', /first .*A�\[31mred thing$/);

  const page = await run('sessions', 'ls', '--limit', '1', '--json');
  assert.equal((JSON.parse(page.stdout) as { data: unknown[] }).data.length, 1);
  assert.match((await run('sessions', 'ls', '--limit', '1')).stderr, /^there are more: --after [0-9a-f-]{36}\n$/);
  assert.equal((await run('sessions', 'ls', '--limit', 'many')).code, 2);
});

test('sessions show says where a session is, how it stands and its last error', async (t) => {
  const { fleet, run } = await startFleet(t);
  await exec(fleet, 'fail', 'mine');
  await exec(fleet, 'say 1', 'mine');

  const { code, stdout } = await run('sessions', 'show', 'mine');
  assert.equal(code, 0);
  const facts = new Map(
    stdout
      .trimEnd()
      .split('\n')
      .map((line) => [line.slice(0, 10).trim(), line.slice(10).trim()] as const),
  );
  assert.deepEqual([facts.get('name'), facts.get('epoch'), facts.get('slot')], ['mine', '1', '-']);
  assert.match(facts.get('last turn') ?? '', /^[0-9a-f-]{36} completed$/);
  assert.match(facts.get('last error') ?? '', /^turn_failed: it was failed \(turn [0-9a-f-]{36}, 20/);

  const json = JSON.parse((await run('sessions', 'show', 'mine', '--json')).stdout) as Record<
    string,
    { code?: string }
  >;
  assert.deepEqual(Object.keys(json), ['session', 'last_turn', 'last_error']);
  assert.equal(json['last_error']?.code, 'turn_failed');
});

test('sessions logs prints the events so far, whole as JSON and readable otherwise', async (t) => {
  const { fleet, run } = await startFleet(t);
  // More than a page of them.
  await exec(fleet, 'say 700', 'mine');
  const json = await run('sessions', 'logs', 'mine', '--json');
  const seqs = json.stdout
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as { seq: number }).seq);
  assert.deepEqual(
    seqs,
    Array.from({ length: 704 }, (_, index) => index + 1),
  );
  const words = (await run('sessions', 'logs', 'mine')).stdout.trimEnd().split('\n');
  assert.deepEqual(
    words.map((line) => line.split(/ {3,}/).slice(1)),
    [
      ['session.created'],
      ['turn.started', words[1]?.split(/ {3,}/)[2] ?? ''],
      ['item.completed', 'answer to say 700'],
      ['turn.completed'],
    ],
  );
});

test('sessions logs -f goes on with what comes, until Ctrl-C, which is no failure', async (t) => {
  const { fleet, cli } = await startFleet(t);
  await exec(fleet, 'say 1', 'mine');
  const following = cli();
  const ended = runCli(following.context, ['sessions', 'logs', 'mine', '-f']);
  const written = following.context.stdout;
  const seen = Promise.withResolvers<void>();
  const write = written.write.bind(written);
  Object.assign(written, {
    write: async (text: string) => {
      await write(text);
      if (text.includes('answer to say 2')) seen.resolve();
    },
  });
  await exec(fleet, 'say 2', 'mine');
  await seen.promise;
  following.interrupt();
  assert.equal(await ended, 0);
  assert.equal(following.stdout().match(/answer to say 1/g)?.length, 1);
});

test('sessions rm erases, by name or id, and says what it did not find', async (t) => {
  const { fleet, run } = await startFleet(t);
  await exec(fleet, 'say 1', 'mine');
  assert.match((await run('sessions', 'rm', 'mine')).stdout, /^erased [0-9a-f-]{36}\n$/);
  const again = await run('sessions', 'rm', 'mine');
  assert.equal(again.code, 2);
  assert.match(again.stderr, /No session of this tenant/);
});

test('workers and usage are tables or what the fleet answers', async (t) => {
  const { fleet, run } = await startFleet(t);
  await exec(fleet, 'say 1', 'mine');
  assert.match((await run('workers')).stdout, /^ID +STATUS.*\nworker-0 +ready +1 bound, 1 idle, at most 2 /);
  assert.equal((JSON.parse((await run('workers', '--json')).stdout) as { data: unknown[] }).data.length, 1);
  assert.match((await run('usage')).stdout, /^MODEL.*\n\(unknown\) +1 .*\ntotal +1 .*\n\nDAY.*\n\d{4}-\d\d-\d\d +1 /);
  assert.equal((JSON.parse((await run('usage', '--json')).stdout) as { object: string }).object, 'usage_report');
  assert.equal((await run('usage', '--since', 'yesterday')).code, 2);
});

test('where no fleet runs, asking says how to get one and leaves with 5; it starts none', async () => {
  const cli = createFakeCli();
  assert.equal(await runCli(cli.context, ['sessions', 'ls']), 5);
  assert.match(cli.stderr(), /no fleet runs on .*; start one with `codex-fleet up`/);
});

test('something else that answers at the address is told from a fleet', async (t) => {
  const server = createServer((_request, response) => response.end('{"data": 1}')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const cli = createFakeCli({ env: { CODEX_FLEET_URL: url, CODEX_FLEET_TOKEN: 'x' } });
  assert.equal(await runCli(cli.context, ['workers']), 5);
  assert.match(cli.stderr(), /answers, but not as this version of Codex Fleet does/);
});

test('approvals shows what waits in full, and takes the answer', async (t) => {
  const { fleet, run } = await startFleet(t);
  await fleet.post('/api/v1/sessions', { id: 'mine' });
  const session = await fleet.records.sessions.findByAlias('default', 'mine');
  const approval = {
    tenant: 'default',
    id: '019f0000-0000-7000-8000-0000000000c1',
    sessionId: session?.id ?? '',
    turnId: '019f0000-0000-7000-8000-0000000000a1',
    revision: 1,
    status: 'pending',
    subject: { kind: 'command', command: 'printf \u001b[2J', cwd: '/s/ws', patchHash: null },
    fingerprint: 'f'.repeat(64),
    reason: 'because',
    itemId: 'c1',
    details: { truncated: true, changes: [{ path: '/s/ws/a', kind: 'add', diff: 'hello\n' }] },
    decision: null,
    decidedBy: null,
    supersededBy: null,
    createdAt: Date.now(),
    expiresAt: Date.now() + 60_000,
    resolvedAt: null,
  } as const;
  assert.deepEqual(await run('approvals'), { code: 0, stdout: '', stderr: 'nothing waits for an answer\n' });
  await fleet.records.approvals.create(approval);
  const { code, stdout } = await run('approvals', '--session', 'mine');
  assert.equal(code, 0);
  for (const line of [
    /^id +019f0000/m,
    /^command +printf �\[2J$/m,
    /^change +add \/s\/ws\/a$/m,
    /^hello$/m,
    /^attention/m,
  ])
    assert.match(stdout, line);

  const other = await run('approvals', 'accept', '019f0000-0000-7000-8000-0000000000c2');
  assert.deepEqual([other.code, other.stdout], [2, '']);
  assert.equal((await run('approvals', 'decline', approval.id, '--for-session')).code, 2);
  const accepted = await run('approvals', 'accept', approval.id, '--for-session', '--json');
  assert.equal((JSON.parse(accepted.stdout) as { decision: string }).decision, 'accept_for_session');
  const again = await run('approvals', 'accept', approval.id, '--for-session');
  assert.equal(again.stdout, `${approval.id} accept_for_session\n`);
  const late = await run('approvals', 'cancel', approval.id);
  assert.deepEqual([late.code, late.stdout], [1, '']);
  assert.match((await run('approvals', '--all')).stdout, /^status +decided: accept_for_session by tester$/m);
});
