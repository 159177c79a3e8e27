// As in a pod with a kernel of its own, such as gVisor's: namespaces are allowed, and each session has its cage.

import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { eventually } from '../e2e/eventually.ts';
import { missingContainers } from './container-tools.ts';
import { ContainedFleet } from './contained-fleet.ts';
import { buildImages } from './images.ts';

const missing = missingContainers();
const MiB = 1024 * 1024;

suite('a fleet in containers that allow cages', { skip: missing ?? false, timeout: 900_000 }, () => {
  let fleet: ContainedFleet;

  before(
    async () => {
      fleet = await ContainedFleet.start({
        images: await buildImages(),
        profile: 'own-kernel',
        workers: 2,
        workerMemory: '2g',
        workerEnv: {
          CODEX_FLEET_SLOTS: '3',
          CODEX_FLEET_WARM_SLOTS: '1',
          CODEX_FLEET_WORKER_SESSION_MEMORY_BYTES: String(256 * MiB),
        },
      });
    },
    { timeout: 600_000 },
  );
  after(() => fleet?.remove());

  test('sessions run in cages of their own, and do not see the files of the worker', async () => {
    const answer = await fetch(`${fleet.workerUrl('worker-1')}/health`, {
      headers: { authorization: `Bearer ${fleet.workerToken('worker-1')}` },
    });
    assert.equal(((await answer.json()) as { cage: string }).cage, 'own-root');
    const { session_id } = await fleet.client.completed(
      'run: ls /data /app; pwd; python3 -c "print(6*7)"; git --version',
      'caged',
    );
    const output = await fleet.lastOutput(session_id);
    assert.match(output, /cannot access '\/data'[^]*cannot access '\/app'[^]*\/s\/ws\n42\ngit version/);
  });

  test('a session that allocates without end loses its command, and its neighbour completes', async () => {
    const slow = fleet.client.completed('run: sleep 3; echo fine\nsay: neighbour done', 'neighbour');
    const greedy = await fleet.client.completed(
      'run: python3 -c "x = [bytearray(1048576 * 16) for _ in range(1000)]"; echo "ended with $?"\nsay: still here',
      'greedy',
    );
    assert.match(greedy.stdout, /still here/);
    assert.doesNotMatch(await fleet.lastOutput(greedy.session_id), /ended with 0/);
    assert.match((await slow).stdout, /neighbour done/);
    assert.ok(await fleet.container('worker-1').isRunning());
    assert.ok(await fleet.container('worker-2').isRunning());
  });

  test('removing a worker in mid-turn loses nothing: the session goes on at another with what it had', async () => {
    const first = await fleet.client.completed('write: kept.txt: before the loss\nsay: one', 'survivor');
    await fleet.client.request('PATCH', `/api/v1/sessions/${first.session_id}`, { on_interrupt: 'continue' });
    const turn = await fleet.client.startTurn('run: echo started; sleep 8\nsay: two', 'survivor');
    const holder = await eventually('the turn runs', 20_000, async () => {
      const { status, worker } = (await fleet.client.session('survivor')) as {
        status: string;
        worker: { id: string } | string | null;
      };
      return status === 'running' ? (typeof worker === 'string' ? worker : (worker?.id ?? null)) : null;
    });
    await fleet.container(holder).remove();
    const ended = await fleet.client.turnEnded('survivor', turn.id, 45_000);
    assert.equal(ended.status, 'interrupted');
    const after_ = await fleet.client.completed('run: cat kept.txt\nrecall', 'survivor');
    assert.match(await fleet.lastOutput(after_.session_id), /before the loss/);
    await fleet.startWorker(holder);
    assert.equal((await fleet.client.completed('say: whole again')).status, 'completed');
  });
});
