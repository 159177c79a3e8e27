import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryEventLog } from '../adapters/memory/memory-event-log.ts';
import type { EventLog } from '../contracts/event-log.ts';
import type { StoredEvent } from '../core/event.ts';
import { isServiceError } from '../core/errors.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { storedEvents } from '../testing/stored-events.ts';
import { LogFollower } from './log-follower.ts';

const key = { tenant: 't', sessionId: 's' };

type Setup = {
  readonly log?: EventLog;
  readonly afterSeq?: number;
  readonly signal?: AbortSignal;
  readonly maxWaitingBytes?: number;
  readonly isErased?: boolean;
  readonly afterEpoch?: number;
};

function follow(clock: FakeClock, setup: Setup & { readonly log: EventLog }): Promise<LogFollower> {
  return LogFollower.open({
    clock,
    key,
    log: setup.log,
    afterSeq: setup.afterSeq ?? 0,
    signal: setup.signal ?? new AbortController().signal,
    maxWaitingBytes: setup.maxWaitingBytes ?? 1_000_000,
    isErased: async () => setup.isErased ?? true,
    afterEpoch: setup.afterEpoch ?? null,
  });
}

async function take(follower: LogFollower, count: number): Promise<number[]> {
  const seqs: number[] = [];
  while (seqs.length < count) {
    const batch = await follower.next(1000);
    if (batch === null) break;
    seqs.push(...batch.map((event) => event.header.seq));
  }
  return seqs;
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

test('what was there and what comes is one sequence', async () => {
  const log = new MemoryEventLog();
  await log.append(key, 1, storedEvents(key, 1, 1, 300));
  const follower = await follow(new FakeClock(), { log, afterSeq: 2 });
  await log.append(key, 1, storedEvents(key, 1, 301, 310));
  assert.deepEqual(await take(follower, 308), range(3, 310));
  await log.append(key, 1, storedEvents(key, 1, 311, 311));
  assert.deepEqual(await take(follower, 1), [311]);
  follower.close();
});

test('live batches that are lost, late or repeated leave no gap and no duplicate', async () => {
  const real = new MemoryEventLog();
  let push: (events: readonly StoredEvent[]) => void = () => undefined;
  const log: EventLog = {
    open: (...args) => real.open(...args),
    append: (...args) => real.append(...args),
    read: (...args) => real.read(...args),
    erase: (...args) => real.erase(...args),
    subscribe: async (_key, listener) => {
      push = listener;
      return () => undefined;
    },
  };
  const clock = new FakeClock();
  const follower = await follow(clock, { log });
  await real.append(key, 1, storedEvents(key, 1, 1, 30));
  push(storedEvents(key, 1, 1, 4));
  push(storedEvents(key, 1, 11, 14));
  push(storedEvents(key, 1, 11, 14));
  push(storedEvents(key, 1, 13, 20));
  assert.deepEqual(await take(follower, 30), range(1, 30));
  // The last push is lost and nothing follows it: the log is asked when it was quiet for long enough.
  await real.append(key, 1, storedEvents(key, 1, 31, 32));
  const late = follower.next(1000);
  await clock.advanceAsync(1000);
  assert.deepEqual(
    (await late)?.map((event) => event.header.seq),
    [31, 32],
  );
  follower.close();
});

test('a consumer that does not come makes nothing pile up, and misses nothing', async () => {
  const log = new MemoryEventLog();
  const follower = await follow(new FakeClock(), { log, maxWaitingBytes: 2000 });
  for (let seq = 1; seq <= 3000; seq += 1) await log.append(key, 1, storedEvents(key, 1, seq, seq));
  assert.deepEqual(await take(follower, 3000), range(1, 3000));
  follower.close();
});

test('events that are gone are an error with the first place that is left', async () => {
  const log = new MemoryEventLog({ maxEventsPerSession: 10 });
  await log.append(key, 1, storedEvents(key, 1, 1, 5));
  await log.append(key, 1, storedEvents(key, 1, 6, 30));
  await assert.rejects(follow(new FakeClock(), { log, afterSeq: 3 }), (error) => {
    assert.ok(isServiceError(error, 'cursor_expired'));
    assert.match(String(error.details['first_cursor']), /^1\.\d+$/);
    return true;
  });
});

test('an abort ends a waiting reader and its subscription', async () => {
  const log = new MemoryEventLog();
  const clock = new FakeClock();
  const stop = new AbortController();
  const follower = await follow(clock, { log, signal: stop.signal });
  const waiting = follower.next(60_000);
  stop.abort();
  assert.equal(await waiting, null);
  assert.equal(await follower.next(60_000), null);
  assert.equal(clock.pendingTimers, 0);
});

/** A log that forgets its tail, and goes on with what it is told. */
async function loseTail(log: MemoryEventLog, keep: number, epoch: number, last: number): Promise<void> {
  const kept = (await log.read(key, 0, keep)).events;
  await log.erase(key);
  for (const event of kept) await log.append(key, event.header.epoch, [event]);
  if (last > keep) await log.append(key, epoch, storedEvents(key, epoch, keep + 1, last));
}

test('a reader of what the log lost goes back to where it parts from what was seen, live and after a pause', async () => {
  for (const last of [13, 25]) {
    const log = new MemoryEventLog();
    await log.append(key, 1, storedEvents(key, 1, 1, 20));
    const clock = new FakeClock();
    const follower = await follow(clock, { log, isErased: false });
    assert.deepEqual(await take(follower, 20), range(1, 20));
    await loseTail(log, 10, 2, last);
    assert.deepEqual(await take(follower, last - 10), range(11, last));
    await log.append(key, 2, storedEvents(key, 2, last + 1, last + 2));
    assert.deepEqual(await take(follower, 2), range(last + 1, last + 2));
    follower.close();
  }
});

test('a reader of a log that was lost waits for what its writer brings back, and gets only what is new', async () => {
  const log = new MemoryEventLog();
  const events = storedEvents(key, 1, 1, 20);
  await log.append(key, 1, events);
  const clock = new FakeClock();
  const follower = await follow(clock, { log, isErased: false });
  assert.deepEqual(await take(follower, 20), range(1, 20));
  await log.erase(key);
  const quiet = follower.next(1000);
  await clock.advanceAsync(1_000);
  assert.deepEqual(await quiet, []);
  await log.open(key, 1, 0);
  await log.append(key, 1, events);
  await log.append(key, 1, storedEvents(key, 1, 21, 22));
  assert.deepEqual(await take(follower, 2), [21, 22]);
  follower.close();
});

test('a reader that comes back to a log that was lost meanwhile begins where it parts from what was seen', async () => {
  const log = new MemoryEventLog();
  await log.append(key, 1, storedEvents(key, 1, 1, 20));
  await loseTail(log, 10, 2, 25);
  const follower = await follow(new FakeClock(), { log, afterSeq: 20, afterEpoch: 1, isErased: false });
  assert.deepEqual(await take(follower, 15), range(11, 25));
  follower.close();
});
