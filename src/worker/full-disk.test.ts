// What a worker does when the disk is full: what runs ends and says why, slots give their room back.

import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { type StageOptions, WorkerStage } from '../testing/scripted-codex/worker-stage.ts';

async function open(t: TestContext, options: StageOptions): Promise<WorkerStage> {
  const stage = await WorkerStage.open(options);
  t.after(() => stage.close());
  return stage;
}

test('on a full disk what runs fails as storage_full, what waits behind it goes on, idle slots are let go', async (t) => {
  const stage = await open(t, { scripts: [{}, { on: { 'turn/start': [[{ playTurnWithoutEnd: 'so far' }]] } }, {}] });
  const idle = await stage.ended(await stage.start(await stage.newSession()));
  const session = await stage.newSession();
  const running = await stage.start(session);
  await stage.running(running);
  await stage.until(() => stage.agents[1]?.asked.includes('turn/start') === true);
  const waiting = await stage.start(session);
  stage.worker.diskFull();
  const ended = await stage.ended(running);
  assert.deepEqual([ended.status, ended.reason, ended.error?.code], ['failed', 'storage', 'storage_full']);
  assert.equal((await stage.ended(waiting)).status, 'completed');
  await stage.until(() => stage.agents[0]?.isGone === true);
  assert.equal((await stage.session({ ...running, sessionId: idle.sessionId })).status, 'hibernated');
});
