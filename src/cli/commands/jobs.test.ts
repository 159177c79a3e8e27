import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { createFakeCli, type FakeCli } from '../../testing/fake-cli-context.ts';
import { startGateway, token, type GatewayFixture } from '../../testing/gateway-fixture.ts';
import { jobRecord, jobSpec } from '../../testing/stored-records.ts';
import type { JobRecord } from '../../core/job.ts';
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

async function stored({ records }: GatewayFixture, changes: Partial<JobRecord> = {}): Promise<JobRecord> {
  const id = `019f0000-0000-7000-8000-${Math.floor(Math.random() * 1e9)
    .toString()
    .padStart(12, '0')}`;
  return (await records.jobs.create(jobRecord({ tenant: 'default', id, ...changes }))).record;
}

/** Ends the job that waits, as whoever runs jobs would. */
async function end({ records }: GatewayFixture, id: string, changes: Partial<JobRecord>): Promise<void> {
  const job = await records.jobs.get('default', id);
  assert.ok(job !== null);
  const turn = { turnId: '019f0000-0000-7000-8000-0000000000a1', sessionId: '019f0000-0000-7000-8000-000000000001' };
  const attempt = { ...turn, startedAt: 0, endedAt: 0, status: 'timed_out', error: null } as const;
  await records.jobs.replace({ ...job, dueAt: null, endedAt: 0, attempts: [attempt], attemptCount: 1, ...changes });
}

test('jobs create hands a prompt over, with all that was said of it, and prints its id', async (t) => {
  const { fleet, run } = await startFleet(t);
  const made = await run(
    ...['jobs', 'create', 'tidy up', '--session', 's', '--model', 'm', '--effort', 'low', '--timeout', '5m'],
    ...['--attempts', '3', '--at', new Date(Date.now() + 3_600_000).toISOString(), '--webhook', 'https://example.com/'],
  );
  assert.equal(made.code, 0, made.stderr);
  assert.match(made.stdout, /^[0-9a-f-]{36} queued\n$/);
  assert.match(made.stderr, /^what https:\/\/example\.com\/ is told is signed with whsec_/);
  const job = await fleet.records.jobs.get('default', made.stdout.slice(0, 36));
  const { effort, model, prompt, retry, sessionRef, timeoutMs } = job?.spec ?? jobSpec();
  assert.deepEqual(
    [prompt, sessionRef, model, effort, timeoutMs, retry.maxAttempts],
    ['tidy up', 's', 'm', 'low', 300_000, 3],
  );

  const json = await run('jobs', 'create', 'x', '--webhook', 'https://example.com/', '--json');
  assert.equal(json.stderr, '');
  assert.match(json.stdout, /"secret":"whsec_/);
});

test('jobs create says what is wrong, and leaves with 2', async (t) => {
  const { run } = await startFleet(t);
  for (const args of [
    ['--attempts', 'many'],
    ['--attempts', '11'],
    ['--at', 'tomorrow'],
    ['--timeout', '-1'],
    ['--webhook', 'ftp://x'],
  ]) {
    const refused = await run('jobs', 'create', 'x', ...args);
    assert.deepEqual([refused.code, refused.stdout], [2, ''], args.join(' '));
  }
  assert.match((await run('jobs', 'create', 'x', '--at', 'tomorrow')).stderr, /run_at/);
  assert.match((await run('jobs', 'create')).stderr, /no prompt/);
});

test('jobs create --wait prints the answer, and leaves as the job ended', async (t) => {
  const { fleet, cli } = await startFleet(t);
  for (const { changes, code, err, out } of [
    { changes: { status: 'completed', finalMessage: 'done' }, code: 0, out: 'done\n', err: /^job .* is accepted\n$/ },
    {
      changes: { status: 'failed', error: { code: 'x', message: 'no luck' } },
      code: 124,
      out: '',
      err: /job failed: no luck\n$/,
    },
    { changes: { status: 'failed', attempts: [] }, code: 1, out: '', err: /job failed\n$/ },
    { changes: { status: 'cancelled' }, code: 130, out: '', err: /job cancelled\n$/ },
  ] as const) {
    const waiting = cli();
    const ended = runCli(waiting.context, ['jobs', 'create', 'x', '--wait']);
    const id = await queued(fleet);
    await end(fleet, id, changes);
    assert.deepEqual([await ended, waiting.stdout()], [code, out]);
    assert.match(waiting.stderr(), err);
  }
});

async function queued({ records }: GatewayFixture): Promise<string> {
  for (;;) {
    const filter = { status: 'queued', scheduleId: null } as const;
    const page = await records.jobs.list('default', filter, { after: null, limit: 1, order: 'asc' });
    if (page.data[0] !== undefined) return page.data[0].id;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('Ctrl-C ends the waiting, not the job', async (t) => {
  const { fleet, cli } = await startFleet(t);
  const { id } = await stored(fleet);
  const waiting = cli();
  const ended = runCli(waiting.context, ['jobs', 'show', id, '--wait']);
  let code: number | null = null;
  void ended.then((exitCode) => (code = exitCode));
  // Nobody listens before the fleet was found.
  while (code === null) {
    waiting.interrupt();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(code, 130);
  assert.match(waiting.stderr(), /goes on; codex-fleet jobs cancel/);
  assert.equal((await fleet.records.jobs.get('default', id))?.status, 'queued');
});

test('jobs ls is a table, of one status or all, a page at a time; what agents wrote steers no terminal', async (t) => {
  const { fleet, run } = await startFleet(t);
  await stored(fleet, { spec: jobSpec({ prompt: `\u001b[31mred\n${'x'.repeat(100)}` }) });
  const failed = await stored(fleet, { status: 'failed', dueAt: null, createdAt: Date.now() });
  const [head, ...rows] = (await run('jobs', 'ls')).stdout.trimEnd().split('\n');
  assert.match(head ?? '', /^ID +STATUS +ATTEMPTS +CREATED +ENDED +PROMPT$/);
  assert.match(rows[0] ?? '', /failed +0 of 1 .* - +say hello$/);
  assert.match(rows[1] ?? '', /queued .*�\[31mred x{51}$/);
  const json = await run('jobs', 'ls', '--status', 'failed', '--json');
  assert.equal((JSON.parse(json.stdout) as { data: { id: string }[] }).data[0]?.id, failed.id);
  assert.match((await run('jobs', 'ls', '--limit', '1')).stderr, /^there are more: --after [0-9a-f-]{36}\n$/);
  assert.equal((await run('jobs', 'ls', '--status', 'done')).code, 2);
});

test('jobs show, cancel and retry say how a job stands', async (t) => {
  const { fleet, run } = await startFleet(t);
  const { id } = await stored(fleet, { spec: jobSpec({ metadata: { team: 'web' } }) });
  const { code, stdout } = await run('jobs', 'show', id);
  assert.equal(code, 0);
  for (const line of [/^status +queued$/m, /^prompt +say hello$/m, /^metadata team +web$/m, /^answer +-$/m])
    assert.match(stdout, line);
  assert.equal((JSON.parse((await run('jobs', 'show', id, '--json')).stdout) as { id: string }).id, id);
  assert.deepEqual(await run('jobs', 'cancel', id), { code: 0, stdout: `${id} cancelled\n`, stderr: '' });
  const again = await run('jobs', 'cancel', id);
  assert.deepEqual([again.code, again.stdout], [1, '']);
  assert.equal((await run('jobs', 'retry', id)).stdout, `${id} queued\n`);
  assert.equal((await run('jobs', 'retry', id)).code, 1);
  assert.equal((await run('jobs', 'show', '019f0000-0000-7000-8000-ffffffffffff')).code, 2);
});

test('jobs rm erases those that have ended, and says which it may not', async (t) => {
  const { fleet, run } = await startFleet(t);
  const ended = await stored(fleet, { status: 'completed', dueAt: null, endedAt: 0 });
  const json = await stored(fleet, { status: 'failed', dueAt: null, endedAt: 0 });
  const { id: waits } = await stored(fleet);
  assert.deepEqual(await run('jobs', 'rm', ended.id), { code: 0, stdout: `erased ${ended.id}\n`, stderr: '' });
  assert.deepEqual(JSON.parse((await run('jobs', 'rm', json.id, '--json')).stdout), {
    id: json.id,
    object: 'job',
    deleted: true,
  });
  const refused = await run('jobs', 'rm', waits);
  assert.deepEqual([refused.code, refused.stdout], [1, '']);
  assert.match(refused.stderr, /Only a job that has ended can be erased/);
  assert.notEqual(await fleet.records.jobs.get('default', waits), null);
});
