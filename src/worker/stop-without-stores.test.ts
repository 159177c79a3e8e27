import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WorkerStage } from '../testing/scripted-codex/worker-stage.ts';

const deadlineMs = 3_000;
/** The last records, and what was asked before them. */
const mostBeyondMs = 30_000;

test('a stop comes to its end soon after its deadline, also where no store answers any more', async (t) => {
  const stage = await WorkerStage.open({ outlivesUs: true });
  t.after(() => stage.close());
  const key = await stage.start(await stage.newSession());
  await stage.ended(key);
  await stage.die();
  let isStopped = false;
  const stopping = stage.worker.stop(deadlineMs).then(() => {
    isStopped = true;
  });
  const beganMs = stage.clock.monotonicMs();
  while (!isStopped && stage.clock.monotonicMs() - beganMs < 300_000) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    await stage.pass(1_000);
  }
  await stopping;
  const tookMs = stage.clock.monotonicMs() - beganMs;
  // What was asked before is given up by its own deadline.
  await stage.pass(15_000);
  assert.ok(tookMs <= deadlineMs + mostBeyondMs, `${tookMs} ms`);
});
