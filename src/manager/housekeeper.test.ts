import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryRecords } from '../adapters/memory/memory-records.ts';
import { MemorySessionDirectory } from '../adapters/memory/memory-session-directory.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import { ServiceError } from '../core/errors.ts';
import { createLogger } from '../observability/logger.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { approvalRecord, sessionRecord, turnRecord } from '../testing/stored-records.ts';
import { Housekeeper, type HousekeeperParts } from './housekeeper.ts';

const idOf = (number: number): string => `019f0000-0000-7000-8000-${String(number).padStart(12, '0')}`;
const numberOf = ({ sessionId }: SessionKey): number => Number(sessionId.slice(-12));
const byNumber = (a: number, b: number): number => a - b;
const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;

/** A housekeeper with stores of its own, on a clock that stands at the moment of the test records plus a day. */
function stage(changes: Partial<HousekeeperParts> = {}) {
  const clock = new FakeClock(sessionRecord().createdAt + dayMs);
  const records = new MemoryRecords();
  const directory = new MemorySessionDirectory(clock);
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(String(JSON.parse(line).event)) };
  const recovered: number[] = [];
  const erased: number[] = [];
  const cutoffs: number[] = [];
  const housekeeper = new Housekeeper({
    clock,
    records,
    directory,
    logger: createLogger({ level: 'info', role: 'test', destination }),
    worker: {
      recoverSession: async (key) => {
        recovered.push(numberOf(key));
        await directory.claim({ ...key, worker: 'worker-9', epoch: 9 }, dayMs);
      },
    },
    eraseSession: async (key) => {
      erased.push(numberOf(key));
      await records.sessions.erase(key.tenant, key.sessionId);
    },
    dropEventsBefore: async (cutoffMs) => cutoffs.push(cutoffMs),
    settings: { retainEventsMs: dayMs, retainSessionsMs: 30 * dayMs },
    ...changes,
  });
  return { clock, records, directory, housekeeper, lines, recovered, erased, cutoffs };
}

test('at the start every session of an earlier run, with untold or with open turns is recovered, once, and no other', async () => {
  const { clock, records, directory, housekeeper, lines, recovered } = stage();
  await records.sessions.create(sessionRecord({ id: idOf(1), worker: 'worker-1', status: 'running' }));
  await records.sessions.create(sessionRecord({ id: idOf(2), untold: [idOf(20)] }));
  await records.sessions.create(sessionRecord({ id: idOf(3), status: 'queued' }));
  await records.sessions.create(sessionRecord({ id: idOf(4) }));
  await records.sessions.create(sessionRecord({ id: idOf(5), worker: 'worker-1' }));
  for (const [id, session] of [
    [11, 1],
    [12, 1],
    [13, 3],
    [15, 5],
  ] as const) {
    await records.turns.create(turnRecord({ id: idOf(id), sessionId: idOf(session) }));
  }
  await records.turns.create(turnRecord({ id: idOf(14), sessionId: idOf(4), status: 'completed' }));
  // Somebody has this one already.
  await directory.claim({ tenant: 'acme', sessionId: idOf(5), worker: 'worker-1', epoch: 2 }, minuteMs);
  housekeeper.start();
  await clock.advanceAsync(0);
  await housekeeper.stop();
  assert.deepEqual(recovered.toSorted(byNumber), [1, 2, 3]);
  assert.deepEqual(lines, ['session_recovered', 'session_recovered', 'session_recovered']);
  assert.equal(clock.pendingTimers, 0);
});

test('no more than eight are recovered at once, and one that hangs gives its place to others after a minute', async () => {
  let atOnce = 0;
  let most = 0;
  const begun: number[] = [];
  const { clock, records, housekeeper } = stage({
    worker: {
      recoverSession: async (key) => {
        begun.push(numberOf(key));
        atOnce++;
        most = Math.max(most, atOnce);
        if (numberOf(key) <= 8) await new Promise<never>(() => {});
        atOnce--;
      },
    },
  });
  for (let number = 1; number <= 250; number++) {
    await records.sessions.create(sessionRecord({ id: idOf(number), worker: 'worker-1' }));
  }
  housekeeper.start();
  await clock.advanceAsync(minuteMs - 1);
  assert.equal(begun.length, 8);
  await clock.advanceAsync(10);
  while (begun.length < 250) await clock.advanceAsync(10);
  assert.ok(most <= 16, String(most));
  // Those that hang are not begun a second time.
  await clock.advanceAsync(3 * minuteMs);
  assert.deepEqual(begun.filter((number) => number <= 8).toSorted(byNumber), [1, 2, 3, 4, 5, 6, 7, 8]);
  await housekeeper.stop();
});

test('one that cannot be recovered is tried again ever more rarely, told once, and stops no other', async () => {
  const tries: number[] = [];
  const { clock, records, housekeeper, lines, recovered } = stage({
    worker: {
      recoverSession: async (key) => {
        if (numberOf(key) === 1) {
          tries.push(clock.monotonicMs());
          if (tries.length < 5) throw new ServiceError('session_corrupt');
        } else recovered.push(numberOf(key));
        const session = await records.sessions.get(key.tenant, key.sessionId);
        if (session !== null) await records.sessions.replace({ ...session, worker: null });
      },
    },
  });
  for (const number of [1, 2, 3]) {
    await records.sessions.create(sessionRecord({ id: idOf(number), worker: 'worker-1' }));
  }
  housekeeper.start();
  await clock.advanceAsync(5 * minuteMs);
  await housekeeper.stop();
  assert.deepEqual(tries, [0, 1_000, 3_000, 7_000, 15_000]);
  assert.deepEqual(recovered, [2, 3]);
  assert.deepEqual(lines.sort(), ['session_not_recovered', ...Array.from({ length: 3 }, () => 'session_recovered')]);
});

test('a session that loses its owner later is recovered then; a turn that is on its way to one is left alone', async () => {
  const { clock, records, directory, housekeeper, recovered } = stage();
  await records.sessions.create(sessionRecord({ id: idOf(1), worker: 'worker-1' }));
  await directory.claim({ tenant: 'acme', sessionId: idOf(1), worker: 'worker-1', epoch: 1 }, 3 * minuteMs);
  housekeeper.start();
  await clock.advanceAsync(minuteMs - 1);
  await records.turns.create(turnRecord({ id: idOf(21), sessionId: idOf(2), createdAt: clock.now() }));
  await clock.advanceAsync(1);
  assert.deepEqual(recovered, []);
  await clock.advanceAsync(2 * minuteMs);
  assert.deepEqual(recovered.toSorted(byNumber), [1, 2]);
  await housekeeper.stop();
});

test('a store that does not answer is asked again soon, and the rest of the upkeep goes on', async () => {
  const failing = new MemoryRecords();
  let failures = 2;
  const { listHeld } = failing.sessions;
  failing.sessions.listHeld = async (after, limit) => {
    if (failures-- > 0) throw new ServiceError('store_unavailable');
    return listHeld.call(failing.sessions, after, limit);
  };
  await failing.sessions.create(sessionRecord({ id: idOf(1), worker: 'worker-1' }));
  const { clock, housekeeper, recovered, cutoffs } = stage({ records: failing });
  housekeeper.start();
  await clock.advanceAsync(11_000);
  await housekeeper.stop();
  assert.deepEqual(recovered, [1]);
  assert.equal(cutoffs.length, 1);
});

test('events are dropped when they are older than they are kept, again every minute', async () => {
  const { clock, housekeeper, cutoffs } = stage();
  const startMs = clock.now();
  housekeeper.start();
  await clock.advanceAsync(2 * minuteMs);
  await housekeeper.stop();
  assert.deepEqual(
    cutoffs,
    [0, 1, 2].map((minutes) => startMs + minutes * minuteMs - dayMs),
  );
});

test('sessions that nobody used are erased, those in use or at work are kept', async () => {
  const { clock, records, housekeeper, erased, lines } = stage();
  const long = clock.now() - 31 * dayMs;
  for (const [number, changes] of [
    [1, { lastAccessedAt: long }],
    [2, { lastAccessedAt: long, worker: 'worker-1' }],
    [3, { lastAccessedAt: long, status: 'running' }],
    [4, { lastAccessedAt: long + 2 * dayMs }],
    [5, { lastAccessedAt: long, status: 'hibernated' }],
  ] as const) {
    await records.sessions.create(sessionRecord({ id: idOf(number), ...changes }));
  }
  housekeeper.start();
  await clock.advanceAsync(0);
  assert.deepEqual(erased, [1, 5]);
  await clock.advanceAsync(dayMs + minuteMs);
  assert.deepEqual(erased, [1, 5, 4]);
  await housekeeper.stop();
  assert.equal(lines.filter((line) => line === 'session_expired').length, 3);
});

test('sessions are kept for ever when that is asked, and a failing erasure is told once', async () => {
  const kept = stage({ settings: { retainEventsMs: dayMs, retainSessionsMs: 0 } });
  await kept.records.sessions.create(sessionRecord({ lastAccessedAt: 1 }));
  kept.housekeeper.start();
  await kept.clock.advanceAsync(minuteMs);
  await kept.housekeeper.stop();
  assert.deepEqual(kept.erased, []);

  const erased: number[] = [];
  const failing = stage({
    eraseSession: async (key) => {
      if (numberOf(key) === 1) throw new ServiceError('store_unavailable');
      erased.push(numberOf(key));
      await failing.records.sessions.erase(key.tenant, key.sessionId);
    },
  });
  for (const number of [1, 2]) {
    await failing.records.sessions.create(sessionRecord({ id: idOf(number), lastAccessedAt: number }));
  }
  failing.housekeeper.start();
  await failing.clock.advanceAsync(5 * minuteMs);
  await failing.housekeeper.stop();
  assert.deepEqual([erased, failing.lines], [[2], ['upkeep_failed', 'session_expired']]);
});

test('an approval whose time is over expires, unless it is settled or somebody hosts its session', async () => {
  const { clock, records, directory, housekeeper } = stage();
  const past = clock.now() - 1;
  await records.approvals.create(approvalRecord({ id: idOf(31), sessionId: idOf(1), expiresAt: past }));
  await records.approvals.create(approvalRecord({ id: idOf(32), sessionId: idOf(2), expiresAt: past }));
  await records.approvals.create(approvalRecord({ id: idOf(33), sessionId: idOf(3), expiresAt: past + minuteMs }));
  await directory.claim({ tenant: 'acme', sessionId: idOf(2), worker: 'worker-1', epoch: 1 }, dayMs);
  housekeeper.start();
  await clock.advanceAsync(0);
  const statuses = async (): Promise<unknown[]> => {
    const all = [31, 32, 33].map((number) => records.approvals.get('acme', idOf(number)));
    return (await Promise.all(all)).map((approval) => [approval?.status, approval?.decidedBy]);
  };
  assert.deepEqual(await statuses(), [
    ['expired', 'timeout'],
    ['pending', null],
    ['pending', null],
  ]);
  await clock.advanceAsync(minuteMs);
  assert.deepEqual((await statuses())[2], ['expired', 'timeout']);
  await housekeeper.stop();
});

test('a stop in the midst of a pass begins nothing more, and waits for what was begun', async () => {
  const erasing = Promise.withResolvers<void>();
  const begun: number[] = [];
  const { clock, records, housekeeper, cutoffs } = stage({
    eraseSession: async (key) => {
      begun.push(numberOf(key));
      await erasing.promise;
    },
    worker: { recoverSession: () => new Promise<never>(() => {}) },
  });
  for (const number of [1, 2]) {
    await records.sessions.create(sessionRecord({ id: idOf(number), lastAccessedAt: number }));
  }
  await records.sessions.create(sessionRecord({ id: idOf(3), worker: 'worker-1' }));
  housekeeper.start();
  await clock.advanceAsync(0);
  let isStopped = false;
  const stopped = housekeeper.stop().then(() => {
    isStopped = true;
  });
  await clock.advanceAsync(minuteMs);
  assert.deepEqual([begun, isStopped], [[1], false]);
  erasing.resolve();
  await stopped;
  assert.deepEqual([begun, cutoffs, clock.pendingTimers], [[1], [], 0]);
});
