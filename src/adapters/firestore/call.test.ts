import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../../testing/fake-clock.ts';
import { Call } from './call.ts';

const unavailable = (): Promise<never> => Promise.reject(Object.assign(new Error('gone'), { code: 14 }));

function callOf(timeoutMs: number): { clock: FakeClock; call: Call; close: () => void } {
  const clock = new FakeClock();
  const closing = new AbortController();
  const call = new Call('jobs.get', { clock, timeoutMs, random: () => 0, closing: closing.signal });
  return { clock, call, close: () => closing.abort() };
}

test('repeats wait longer each time, and end with the last error when time is over', async () => {
  const { call, clock } = callOf(2_000);
  const at: number[] = [];
  const ended = assert.rejects(
    call.repeat(() => {
      at.push(clock.monotonicMs());
      return unavailable();
    }),
    {
      code: 'store_unavailable',
      details: { store: 'firestore', reason: 'unreachable', operation: 'jobs.get', grpc_code: 'UNAVAILABLE' },
    },
  );
  await clock.advanceAsync(3_000);
  await ended;
  assert.deepEqual(at, [0, 20, 60, 140, 300, 620, 1_120, 1_620]);
});

test('an attempt has a part of the time; one that never ends is given up and tried again', async () => {
  const { call, clock } = callOf(10_000);
  const given: number[] = [];
  const done = call.repeat((timeoutMs) => {
    given.push(timeoutMs);
    return given.length < 3 ? new Promise<string>(() => {}) : Promise.resolve('done');
  });
  await clock.advanceAsync(10_000);
  assert.equal(await done, 'done');
  assert.deepEqual(given, [4_000, 4_000, 1_840]);
});

test('what will fail again is not tried again', async () => {
  const { call } = callOf(10_000);
  let tries = 0;
  const refused = (): Promise<never> => {
    tries++;
    return Promise.reject(Object.assign(new Error('no'), { code: 7 }));
  };
  await assert.rejects(call.repeat(refused), { code: 'store_unavailable' });
  assert.equal(tries, 1);
});

test('what is under way, or waits for its next attempt, is given up at once when the records are closed', async () => {
  for (const run of [() => new Promise<never>(() => {}), unavailable]) {
    const { call, clock, close } = callOf(10_000);
    const ended = assert.rejects(call.repeat(run), {
      code: 'store_unavailable',
      details: { store: 'firestore', reason: 'closed', operation: 'jobs.get' },
    });
    await clock.advanceAsync(5);
    close();
    await ended;
    assert.equal(clock.pendingTimers, 0);
  }
});
