// As in an ordinary restricted pod: the seccomp profile allows no namespaces, so no cage can be made.

import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { eventually } from '../e2e/eventually.ts';
import { missingContainers } from './container-tools.ts';
import { runOnce } from './container.ts';
import { ContainedFleet } from './contained-fleet.ts';
import { buildImages, type Images } from './images.ts';

const missing = missingContainers();
const roles = ['gateway', 'session-manager', 'model-proxy'] as const;
const graceS = 20;

suite('a fleet in restricted containers', { skip: missing ?? false, timeout: 900_000 }, () => {
  let images: Images;
  let fleet: ContainedFleet;

  before(
    async () => {
      images = await buildImages();
      fleet = await ContainedFleet.start({
        images,
        profile: 'runtime-default',
        workers: 1,
        workerEnv: { CODEX_FLEET_CAGE_ALLOW_NONE: 'true' },
        otherToken: 'token-of-another-tenant',
      });
    },
    { timeout: 600_000 },
  );
  after(() => fleet?.remove());

  test('a worker that may not go without a cage refuses to start, and says why', async () => {
    const { code, stderr, stdout } = await runOnce({
      image: images.worker,
      args: ['worker'],
      profile: 'runtime-default',
    });
    assert.notEqual(code, 0);
    assert.match(
      stdout + stderr,
      /no cage can be made here, and cage\.allow_none is not set: user namespaces are not allowed/,
    );
  });

  test('an exec is answered by the demo model, and runs a Python test and git [fleet-images]', async () => {
    const prompt = [
      'write: test_sum.py <<END',
      'import unittest',
      'class Sum(unittest.TestCase):',
      '    def test_sum(self): self.assertEqual(sum([1, 2]), 3)',
      'END',
      'run: python3 -m unittest 2>&1 | tail -n 1; git init -q . && git add -A && git commit -q -m first && git status --short --branch',
      'say: done',
    ].join('\n');
    const { session_id } = await fleet.client.completed(prompt, 'in-a-container');
    assert.match(await fleet.lastOutput(session_id), /OK\n## (main|master)\n?$/);
  });

  test('the worker says that it has no cage: in its log, at /health, to the doctor; and hosts one session at a time', async () => {
    const worker = fleet.container('worker-1');
    assert.match(await worker.logs(), /"event":"worker_without_cage"/);
    const answer = await fetch(`${fleet.workerUrl('worker-1')}/health`, {
      headers: { authorization: `Bearer ${fleet.workerToken('worker-1')}` },
    });
    const health = (await answer.json()) as { cage: string; slots: { limit?: number } };
    assert.equal(health.cage, 'none');
    const { data } = (await fleet.client.request<{ data: { slots: { limit: number } }[] }>('GET', '/api/v1/workers'))
      .body;
    assert.deepEqual(
      data.map(({ slots }) => slots.limit),
      [1],
    );
    const { stdout } = await worker.exec('codex-fleet', 'doctor', '--role', 'worker', '--json');
    assert.match(stdout, /"name": "worker"/);
  });

  test('the doctor knows the role of its container, and answers with 0 while it runs well', async () => {
    for (const role of [...roles, 'worker-1']) {
      const { code, stdout } = await fleet.container(role).exec('codex-fleet', 'doctor');
      assert.equal(code, 0, `${role}: ${stdout}`);
      assert.match(stdout, new RegExp(`^ok +${role.replace('-1', '')} +the .* is ready$`, 'm'), stdout);
    }
  });

  test('the doctor answers with 1 where Redis is not reached', async () => {
    const { code, stdout } = await runOnce({
      image: images.fleet,
      args: ['doctor', '--role', 'gateway'],
      profile: 'runtime-default',
      env: { CODEX_FLEET_REDIS_URL: 'redis://127.0.0.1:1' },
    });
    assert.equal(code, 1, stdout);
    assert.match(stdout, /^fail +redis /m);
  });

  test('what agents leave behind is reaped, and does not pile up', async () => {
    await fleet.client.completed('run: (setsid sleep 0.2 &) ; (sleep 0.1 &) ; true', 'orphans');
    await eventually('no dead process is left', 10_000, async () => {
      const { stdout } = await fleet
        .container('worker-1')
        .exec('sh', '-c', "grep -l '^State:.Z' /proc/[0-9]*/status; true");
      return stdout.trim() === '';
    });
  });

  test('it is replaced between tenants: it ends with 0, and its next life has nothing of the first tenant', async () => {
    const worker = fleet.container('worker-1');
    await fleet.client.completed('run: echo mine > mine.txt; (setsid sleep 300 &); true', 'of-the-first');
    const before = (await worker.exec('find', '/data', '-name', 'mine.txt')).stdout;
    assert.match(before, /mine\.txt/, 'what is looked for is found');
    const asked = await fleet.otherClient.exec({ prompt: 'say: mine now', session_id: 'of-another', background: true });
    assert.equal(asked.status, 202, asked.text);
    await eventually('the worker has ended', 60_000, async () => !(await worker.isRunning()));
    assert.equal(await worker.exitCode(), 0, (await worker.logs()).slice(-1500));
    await worker.startAgain();
    await eventually('the turn that waited is done', 60_000, async () => {
      const path_ = `/api/v1/sessions/${asked.body.session_id}/turns/${asked.body.turn_id}`;
      const { body } = await fleet.otherClient.request<{ status: string }>('GET', path_);
      return body.status === 'completed';
    });
    assert.equal((await worker.exec('find', '/data', '/tmp', '-name', 'mine.txt')).stdout, '');
    assert.doesNotMatch((await worker.exec('sh', '-c', 'cat /proc/[0-9]*/cmdline')).stdout, /sleep/);
    const refused = await fleet.otherClient.request('GET', '/api/v1/sessions/of-the-first');
    assert.equal(refused.status, 404);
  });

  test('nothing is written outside /data and /tmp', async () => {
    for (const role of [...roles, 'worker-1']) {
      const changed = (await fleet.container(role).changedPaths()).filter((at) => !/^\/(data|tmp)(\/|$)/.test(at));
      // Where the engine itself mounts something, which is there before the first process is.
      const ofEngine = ['/etc', '/run', '/run/.containerenv', '/etc/mtab', '/run/secrets'];
      assert.deepEqual(
        changed.filter((at) => !ofEngine.includes(at)),
        [],
        role,
      );
    }
  });

  test('a stop ends each in good order within its grace', async () => {
    for (const role of ['gateway', 'worker-1', 'session-manager', 'model-proxy']) {
      const { code, tookMs } = await fleet.container(role).stop(graceS);
      assert.equal(code, 0, `${role}\n${(await fleet.container(role).logs()).slice(-1500)}`);
      assert.ok(tookMs < graceS * 1000, `${role} took ${tookMs} ms`);
    }
  });
});
