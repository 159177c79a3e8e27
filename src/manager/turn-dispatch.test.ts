import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ServiceError } from '../core/errors.ts';
import { idOf, leaseMs, ManagedFleet } from '../testing/managed-fleet.ts';
import { metricValue } from '../testing/metric-value.ts';
import { sessionRecord, turnRecord } from '../testing/stored-records.ts';

test('a turn that waits at a session that nobody has is given to a worker within two seconds and a half, one on its way is left alone', async () => {
  const fleet = new ManagedFleet(['worker-1']);
  const manager = fleet.manager('one');
  manager.start();
  await fleet.begin();
  await fleet.records.sessions.create(sessionRecord({ id: idOf(1), status: 'queued' }));
  await fleet.queued(11, 1);
  await fleet.queued(12, 1);
  await fleet.records.sessions.create(sessionRecord({ id: idOf(2), status: 'queued' }));
  await fleet.queued(21, 2);
  await fleet.clock.advanceAsync(1_400);
  assert.deepEqual(fleet.taken, []);
  // Handed over by its gateway, and ended.
  await fleet.leases.claim({ tenant: 'acme', sessionId: idOf(2), worker: 'worker-1', epoch: 1 }, 60_000);
  await fleet.clock.advanceAsync(1_100);
  assert.deepEqual(
    fleet.taken.map(({ session }) => session),
    [1],
  );
  await fleet.stop(manager);
});

test('a turn that waits at a session that is held is asked for, ever more rarely; one that runs is not', async () => {
  const fleet = new ManagedFleet(['worker-1']);
  await fleet.hosted(1, 'worker-1', { status: 'running' });
  await fleet.records.turns.create(turnRecord({ id: idOf(11), sessionId: idOf(1), status: 'running' }));
  await fleet.hosted(2, 'worker-1', { status: 'running' });
  const manager = fleet.manager('one');
  manager.start();
  await fleet.begin();
  await fleet.queued(21, 2);
  await fleet.queued(22, 2);
  const fromMs = fleet.clock.monotonicMs();
  await fleet.clock.advanceAsync(120_000);
  const seconds = fleet.asked.map(({ atMs, session }) => [session, Math.round((atMs - fromMs) / 5_000) * 5]);
  assert.deepEqual(
    seconds,
    [5, 10, 20, 40, 80].map((at) => [2, at]),
  );
  await fleet.stop(manager);
});

test('with thousands of open turns a pass stays bounded, and the last of them is found all the same', async () => {
  const fleet = new ManagedFleet(['worker-1']);
  for (let number = 1; number <= 5_000; number++) {
    await fleet.hosted(number, 'worker-1', { status: 'queued' });
    await fleet.queued(10_000 + number, number);
  }
  const manager = fleet.manager('one');
  manager.start();
  await fleet.begin(12_000);
  await fleet.records.sessions.create(sessionRecord({ id: idOf(6_000), status: 'queued' }));
  await fleet.queued(19_000, 6_000);
  fleet.lookups = 0;
  fleet.asked.length = 0;
  await fleet.clock.advanceAsync(15_000);
  assert.deepEqual(
    fleet.taken.map(({ session }) => session),
    [6_000],
  );
  assert.ok(fleet.lookups <= 2_500 * 15, String(fleet.lookups));
  assert.ok(fleet.asked.length <= 32 * 30, String(fleet.asked.length));
  await fleet.stop(manager);
});

test('a holder that was asked and does not answer is followed when its lease has ended, not when the question has', async () => {
  const fleet = new ManagedFleet(['worker-1', 'worker-2']);
  await fleet.hosted(1, 'worker-1', { status: 'running' });
  const manager = fleet.manager('one');
  manager.start();
  await fleet.begin();
  await fleet.queued(11, 1);
  await fleet.clock.advanceAsync(4_500);
  Object.assign(fleet.workers[0] ?? assert.fail(), { isPaused: true });
  const pausedAtMs = fleet.clock.monotonicMs();
  await fleet.clock.advanceAsync(20_000);
  assert.equal(fleet.taken.length, 1);
  const tookMs = (fleet.taken[0]?.atMs ?? 0) - pausedAtMs;
  assert.ok(tookMs <= leaseMs + 2_000, `${tookMs} ms`);
  await fleet.stop(manager);
});

test('sessions that nobody takes are counted, with how long it has been so; taken, or of a manager that does not lead, they are not', async () => {
  const fleet = new ManagedFleet(['worker-1']);
  let isRefusing = true;
  const manager = fleet.manager('one', {
    recover: async (key) => {
      if (isRefusing) throw new ServiceError('store_unavailable');
      await fleet.recoverSession(key);
    },
  });
  manager.start();
  await fleet.begin();
  await fleet.records.sessions.create(sessionRecord({ id: idOf(1), status: 'queued' }));
  await fleet.queued(11, 1);
  const unheld = () =>
    Promise.all(['sessions', 'oldest_seconds'].map((what) => metricValue(fleet.metrics, `codex_fleet_unheld_${what}`)));
  assert.deepEqual(await unheld(), [0, 0]);
  await fleet.clock.advanceAsync(60_000);
  const [sessions, oldest] = await unheld();
  assert.equal(sessions, 1);
  assert.ok(oldest !== null && oldest !== undefined && oldest > 55 && oldest <= 60, String(oldest));
  isRefusing = false;
  await fleet.clock.advanceAsync(120_000);
  assert.equal(fleet.taken.length, 1);
  assert.deepEqual(await unheld(), [0, 0]);
  await fleet.stop(manager);
});
