import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryLeadership } from '../adapters/memory/memory-leadership.ts';
import type { Leadership } from '../contracts/leadership.ts';
import { ServiceError } from '../core/errors.ts';
import { createLogger } from '../observability/logger.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { Lead } from './lead.ts';

const silent = createLogger({ level: 'silent', role: 'test' });

/** Managers that share a leadership, and what became of each one's terms. */
function stage(leadership: (clock: FakeClock) => Leadership = (clock) => new MemoryLeadership(clock)) {
  const clock = new FakeClock();
  const shared = leadership(clock);
  const told: string[] = [];
  const candidate = (holder: string, endsAfter: Promise<void> = Promise.resolve()): Lead =>
    new Lead({
      leadership: shared,
      holder,
      clock,
      logger: silent,
      onChange: () => {},
      beginTerm: () => ({
        start: () => void told.push(`${holder} begins`),
        stop: () => {
          told.push(`${holder} ends`);
          return endsAfter;
        },
      }),
    });
  return { clock, shared, told, candidate };
}

test('one of two leads as long as it lives, and the other within a second of its stop', async () => {
  const { clock, told, candidate } = stage();
  const [first, second] = [candidate('first'), candidate('second')];
  first.start();
  await clock.advanceAsync(1);
  second.start();
  await clock.advanceAsync(60_000);
  assert.deepEqual([told, first.isLeading, second.isLeading], [['first begins'], true, false]);
  await first.stop();
  assert.equal(first.isLeading, false);
  await clock.advanceAsync(1_000);
  assert.deepEqual(told, ['first begins', 'first ends', 'second begins']);
  const stopped = second.stop();
  await clock.advanceAsync(1);
  await stopped;
  assert.equal(clock.pendingTimers, 0);
});

test('a leader that was killed is followed within its time to live and a second', async () => {
  const { clock, shared, told, candidate } = stage();
  await shared.hold('killed', 5_000);
  const standby = candidate('standby');
  standby.start();
  await clock.advanceAsync(4_999);
  assert.deepEqual(told, []);
  await clock.advanceAsync(1_001);
  assert.deepEqual(told, ['standby begins']);
  await standby.stop();
});

test('a leader whose store is away, by refusal or by silence, stops before another could lead, and leads again soon', async () => {
  for (const failure of ['refuses', 'hangs'] as const) {
    let isAway = false;
    const { clock, told, candidate } = stage((on) => {
      const inner = new MemoryLeadership(on);
      return {
        hold: async (holder, ttlMs) => {
          if (!isAway) return await inner.hold(holder, ttlMs);
          if (failure === 'refuses') throw new ServiceError('store_unavailable');
          return await new Promise<never>(() => {});
        },
        resign: (holder) => inner.resign(holder),
      };
    });
    const lead = candidate('one');
    lead.start();
    await clock.advanceAsync(1_500);
    isAway = true;
    // Asked for at 1,500 for the last time with an answer: another may lead from 6,500 on.
    await clock.advanceAsync(3_999);
    assert.deepEqual([told, lead.isLeading], [['one begins'], true], failure);
    await clock.advanceAsync(1);
    assert.deepEqual([told, lead.isLeading], [['one begins', 'one ends'], false], failure);
    await clock.advanceAsync(30_000);
    isAway = false;
    await clock.advanceAsync(3_000);
    assert.deepEqual(told.at(-1), 'one begins', failure);
    await lead.stop();
  }
});

test('who is told that another leads ends its term at once', async () => {
  const { clock, shared, told, candidate } = stage();
  const lead = candidate('one');
  lead.start();
  await clock.advanceAsync(1);
  await shared.resign('one');
  await shared.hold('other', 5_000);
  await clock.advanceAsync(1_500);
  assert.deepEqual(told, ['one begins', 'one ends']);
  await lead.stop();
});

test('who has not ended its last term does not stand, and is not waited for without end', async () => {
  const { clock, shared, told, candidate } = stage();
  const lead = candidate('one', new Promise<never>(() => {}));
  lead.start();
  await clock.advanceAsync(1);
  await shared.resign('one');
  await shared.hold('other', 1_600);
  await clock.advanceAsync(20_000);
  assert.deepEqual(told, ['one begins', 'one ends']);
  await clock.advanceAsync(20_000);
  assert.deepEqual(told, ['one begins', 'one ends', 'one begins']);
  const stopped = lead.stop();
  await clock.advanceAsync(1_000);
  assert.equal(await shared.hold('other', 1), true, 'resigned before its work had ended');
  await clock.advanceAsync(30_000);
  await stopped;
});
