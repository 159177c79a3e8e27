import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SystemClock } from './system-clock.ts';

test('a timer calls back once, unless it is cancelled, which may be done twice', async () => {
  const clock = new SystemClock();
  const cancel = clock.after(0, () => assert.fail('was cancelled'));
  cancel();
  cancel();
  const startMs = clock.monotonicMs();
  await new Promise<void>((resolve) => clock.after(2, resolve));
  assert.ok(clock.monotonicMs() > startMs);
});

test('a delay longer than Node can wait does not fire at once', async () => {
  const clock = new SystemClock();
  const cancel = clock.after(2 ** 40, () => assert.fail('35 years have not passed'));
  await new Promise<void>((resolve) => clock.after(5, resolve));
  cancel();
});
