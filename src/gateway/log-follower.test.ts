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
};

function follow(clock: FakeClock, setup: Setup & { readonly log: EventLog }): Promise<LogFollower> {
  return LogFollower.open({
    clock,
    key,
    log: setup.log,
    afterSeq: setup.afterSeq ?? 0,
    signal: setup.signal ?? new AbortController().signal,
    maxWaitingBytes: setup.maxWaitingBytes ?? 1_000_000,
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
