import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryLeadership } from '../adapters/memory/memory-leadership.ts';
import { heartbeatMs, idOf, leaseMs, ManagedFleet } from '../testing/managed-fleet.ts';
import { sessionRecord, turnRecord } from '../testing/stored-records.ts';

test('a thousand sessions of a killed worker are handed to others, those at work within three seconds, so many at once', async () => {
  const fleet = new ManagedFleet(['worker-1', 'worker-2', 'worker-3']);
  for (let number = 1; number <= 1_000; number++) {
    await fleet.hosted(number, 'worker-1', { status: number % 10 === 0 ? 'running' : 'idle' });
  }
  await fleet.hosted(2_000, 'worker-2', { status: 'running' });
  const manager = fleet.manager('one');
  manager.start();
  await fleet.begin();
  assert.deepEqual([manager.isLeading, fleet.taken.length], [true, 0]);
  fleet.kill('worker-1');
  const killedAtMs = fleet.clock.monotonicMs();
  await fleet.clock.advanceAsync(10_000);
  assert.equal(fleet.taken.length, 1_000);
  assert.equal(new Set(fleet.taken.map(({ session }) => session)).size, 1_000);
  const lastAtWorkMs = Math.max(...fleet.taken.filter(({ session }) => session % 10 === 0).map(({ atMs }) => atMs));
  const firstAtRestMs = Math.min(...fleet.taken.filter(({ session }) => session % 10 !== 0).map(({ atMs }) => atMs));
  assert.ok(lastAtWorkMs - killedAtMs <= 3_000, `${lastAtWorkMs - killedAtMs} ms`);
  assert.ok(firstAtRestMs >= lastAtWorkMs - fleet.takesMs);
  assert.ok(fleet.mostAtOnce > 8 && fleet.mostAtOnce <= 32, String(fleet.mostAtOnce));
  assert.equal(
    fleet.taken.some(({ worker }) => worker === 'worker-1'),
    false,
  );
  const { lostWorkers, role, sessionsRecovered, workers } = manager.health();
  assert.deepEqual(
    [role, sessionsRecovered, workers, lostWorkers],
    [
      'leader',
      1_000,
      { ready: 2, draining: 0, suspect: 0, lost: 1 },
      [{ id: 'worker-1', boot: 'worker-1-a', evidence: 'refused' }],
    ],
  );
  await fleet.stop(manager);
});

test('the sessions of a worker that only fell silent are handed to others when their leases have ended, and not before', async () => {
  const fleet = new ManagedFleet(['worker-1', 'worker-2']);
  await fleet.hosted(1, 'worker-1', { status: 'running' });
  const manager = fleet.manager('one');
  manager.start();
  await fleet.begin();
  const worker = fleet.workers[0] ?? assert.fail();
  worker.isPaused = true;
  const pausedAtMs = fleet.clock.monotonicMs();
  await fleet.clock.advanceAsync(20_000);
  assert.deepEqual(
    fleet.taken.map(({ worker: by }) => by),
    ['worker-2'],
  );
  const tookMs = (fleet.taken[0]?.atMs ?? 0) - pausedAtMs;
  assert.ok(tookMs >= leaseMs - heartbeatMs && tookMs <= leaseMs + 2_000, `${tookMs} ms`);
  await fleet.stop(manager);
});

test('a worker that came back under its name as another boot loses the sessions of its first boot at once, to itself or to others', async () => {
  const fleet = new ManagedFleet(['worker-1', 'worker-2']);
  await fleet.hosted(1, 'worker-1', { status: 'running' });
  const manager = fleet.manager('one');
  manager.start();
  await fleet.begin();
  fleet.kill('worker-1');
  Object.assign(fleet.workers[0] ?? assert.fail(), { isDead: false, boot: 'worker-1-b', startedAt: 2 });
  await fleet.clock.advanceAsync(2_000);
  assert.equal(fleet.taken.length, 1);
  const { boot, epoch } = (await fleet.records.sessions.get('acme', idOf(1))) ?? assert.fail();
  assert.deepEqual([boot === 'worker-1-a', epoch], [false, 2]);
  await fleet.stop(manager);
});

test('a flush of all that is fast and forgetful takes no session from anybody', async () => {
  const fleet = new ManagedFleet(['worker-1', 'worker-2']);
  for (let number = 1; number <= 20; number++) {
    await fleet.hosted(number, `worker-${1 + (number % 2)}`, { status: 'running' });
    await fleet.records.turns.create(
      turnRecord({ id: idOf(100 + number), sessionId: idOf(number), status: 'running' }),
    );
  }
  const manager = fleet.manager('one');
  manager.start();
  await fleet.begin();
  const before = await fleet.owners();
  for (let round = 0; round < 5; round++) {
    fleet.flush();
    await fleet.clock.advanceAsync(900 + 1_700 * round);
  }
  await fleet.clock.advanceAsync(60_000);
  assert.deepEqual([fleet.taken, await fleet.owners()], [[], before]);
  await fleet.stop(manager);
});

test('a worker that was killed with the registry flushed is found by its refusal, one that is silent after a whole lease', async () => {
  const fleet = new ManagedFleet(['worker-1', 'worker-2', 'worker-3']);
  await fleet.hosted(1, 'worker-1', { status: 'running' });
  await fleet.hosted(2, 'worker-2', { status: 'running' });
  const manager = fleet.manager('one');
  manager.start();
  await fleet.begin();
  fleet.kill('worker-1');
  Object.assign(fleet.workers[1] ?? assert.fail(), { isPaused: true });
  fleet.flush();
  const flushedAtMs = fleet.clock.monotonicMs();
  await fleet.clock.advanceAsync(30_000);
  const tookMs = new Map(fleet.taken.map(({ atMs, session }) => [session, atMs - flushedAtMs]));
  assert.ok((tookMs.get(1) ?? Infinity) <= 3_000, `${tookMs.get(1)} ms`);
  const silentMs = tookMs.get(2) ?? Infinity;
  assert.ok(silentMs >= leaseMs && silentMs <= leaseMs + 4_000, `${silentMs} ms`);
  await fleet.stop(manager);
});

test('a leader that ends in the midst of a recovery loses nothing: the standby finishes it', async () => {
  const fleet = new ManagedFleet(['worker-1', 'worker-2']);
  for (let number = 1; number <= 200; number++) await fleet.hosted(number, 'worker-1', { status: 'running' });
  let calls = 0;
  const first = fleet.manager('first', {
    recover: async (key) => {
      // The answers never come, and what was asked after the first dozen never arrives.
      if (++calls <= 12) await fleet.recoverSession(key);
      await new Promise<never>(() => {});
    },
  });
  const second = fleet.manager('second');
  first.start();
  await fleet.begin();
  second.start();
  await fleet.clock.advanceAsync(15_000);
  fleet.kill('worker-1');
  await fleet.clock.advanceAsync(2_500);
  assert.equal(fleet.taken.length, 12);
  const stopping = first.stop();
  await fleet.clock.advanceAsync(5_000);
  await stopping;
  assert.deepEqual([second.isLeading, fleet.taken.length], [true, 200]);
  assert.equal(new Set(fleet.taken.map(({ session }) => session)).size, 200);
  await fleet.stop(second);
});

test('two managers that both believe they lead harm nothing: each session changes hands once', async () => {
  const fleet = new ManagedFleet(['worker-1', 'worker-2', 'worker-3']);
  for (let number = 1; number <= 100; number++) {
    await fleet.hosted(number, 'worker-1', { status: 'running' });
    await fleet.queued(1_000 + number, number);
  }
  await fleet.records.sessions.create(sessionRecord({ id: idOf(500), status: 'queued' }));
  await fleet.queued(1_500, 500);
  const managers = ['first', 'second'].map((holder) =>
    fleet.manager(holder, { leadership: new MemoryLeadership(fleet.clock) }),
  );
  for (const manager of managers) manager.start();
  await fleet.begin();
  assert.deepEqual(
    managers.map(({ isLeading }) => isLeading),
    [true, true],
  );
  fleet.kill('worker-1');
  await fleet.clock.advanceAsync(20_000);
  const { data } = await fleet.records.sessions.list('acme', { after: null, limit: 100, order: 'asc' });
  assert.equal(
    data.every(({ epoch }) => epoch === 2),
    true,
  );
  assert.equal(new Set(fleet.taken.map(({ session }) => session)).size, 101);
  assert.equal(fleet.taken.length, 101);
  assert.deepEqual(
    [...new Set(fleet.refused)].filter((code) => code !== 'stale_epoch'),
    [],
  );
  assert.equal(fleet.lines.includes('session_not_recovered'), false);
  await fleet.stop(...managers);
});

test('while no worker is ready lost sessions wait, that is said once, and all are recovered when one is', async () => {
  const fleet = new ManagedFleet(['worker-1', 'worker-2']);
  for (let number = 1; number <= 300; number++) await fleet.hosted(number, 'worker-1', { status: 'running' });
  const manager = fleet.manager('one');
  manager.start();
  await fleet.begin();
  fleet.kill('worker-1');
  fleet.kill('worker-2');
  await fleet.clock.advanceAsync(30_000);
  assert.equal(fleet.lines.filter((line) => line === 'recovery_waits_for_worker').length, 1);
  assert.equal(fleet.lines.includes('session_not_recovered'), false);
  assert.ok(fleet.refused.length < 1_500, String(fleet.refused.length));
  Object.assign(fleet.workers[1] ?? assert.fail(), { isDead: false, boot: 'worker-2-b', startedAt: 2 });
  await fleet.clock.advanceAsync(15_000);
  assert.equal(fleet.taken.length, 300);
  await fleet.stop(manager);
  assert.equal(fleet.clock.pendingTimers, 0);
});

test('a worker that stops in the midst of a takeover is followed by a third within fifteen seconds', async () => {
  const fleet = new ManagedFleet(['worker-1', 'worker-2', 'worker-3']);
  await fleet.hosted(2, 'worker-1', { status: 'running' });
  fleet.takesMs = 500;
  const manager = fleet.manager('one');
  manager.start();
  await fleet.begin();
  fleet.kill('worker-1');
  const holder = async (): Promise<string | null> =>
    (await fleet.records.sessions.get('acme', idOf(2)))?.worker ?? null;
  while ((await holder()) === 'worker-1') await fleet.clock.advanceAsync(50);
  const heir = await holder();
  const second = fleet.workers.find(({ id }) => id === heir) ?? assert.fail();
  second.isPaused = true;
  const pausedAtMs = fleet.clock.monotonicMs();
  await fleet.clock.advanceAsync(20_000);
  assert.equal(fleet.taken.length, 1);
  assert.notEqual(fleet.taken[0]?.worker, second.id);
  const tookMs = (fleet.taken[0]?.atMs ?? 0) - pausedAtMs;
  assert.ok(tookMs <= 15_000, `${tookMs} ms`);
  await fleet.stop(manager);
});
