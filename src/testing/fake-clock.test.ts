import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from './fake-clock.ts';

test('timers fire in the order in which they are due, each at its own moment', () => {
  const clock = new FakeClock(1_000);
  const fired: [string, number, number][] = [];
  const note = (name: string) => (): void => {
    fired.push([name, clock.monotonicMs(), clock.now()]);
  };
  clock.after(30, note('late'));
  clock.after(10, note('early'));
  clock.after(10, note('early too'));
  clock.after(31, note('not yet'));
  clock.advance(30);
  assert.deepEqual(fired, [
    ['early', 10, 1_010],
    ['early too', 10, 1_010],
    ['late', 30, 1_030],
  ]);
  assert.equal(clock.pendingTimers, 1);
});

test('a timer set by a timer fires in the same advance when it is due in it', () => {
  const clock = new FakeClock();
  const fired: number[] = [];
  const tick = (): void => {
    fired.push(clock.monotonicMs());
    clock.after(10, tick);
  };
  clock.after(10, tick);
  clock.advance(35);
  assert.deepEqual(fired, [10, 20, 30]);
});

test('a cancelled timer never fires, and cancelling twice is harmless', () => {
  const clock = new FakeClock();
  const cancel = clock.after(10, () => assert.fail('was cancelled'));
  cancel();
  cancel();
  clock.advance(20);
});

test('a loop that awaits its timer goes round as often as time allows', async () => {
  const clock = new FakeClock();
  let rounds = 0;
  const sleep = (): Promise<void> => new Promise((resolve) => clock.after(10, resolve));
  const loop = (async () => {
    while (rounds < 3) {
      await sleep();
      rounds += 1;
    }
  })();
  await clock.advanceAsync(30);
  assert.equal(rounds, 3);
  await loop;
});

test('setting the wall clock lets no time pass', () => {
  const clock = new FakeClock();
  clock.after(10, () => assert.fail('no time has passed'));
  clock.setWallTime(0);
  assert.deepEqual([clock.now(), clock.monotonicMs()], [0, 0]);
});
