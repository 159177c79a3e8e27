// What a worker's numbers say when the thing that they count has happened.

import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { defaultPolicy } from '../core/session.ts';
import { metricValue } from '../testing/metric-value.ts';
import type { Script } from '../testing/scripted-codex/script.ts';
import { type StageOptions, WorkerStage } from '../testing/scripted-codex/worker-stage.ts';

const hangs: Script = { on: { 'turn/start': [[{ playTurnWithoutEnd: 'half' }]] } };

async function open(t: TestContext, options: StageOptions = {}): Promise<WorkerStage> {
  const stage = await WorkerStage.open(options);
  t.after(() => stage.close());
  return stage;
}

const value = (stage: WorkerStage, series: string): Promise<number | null> => metricValue(stage.metrics, series);
const ends = (reason: string, goesOn: 'yes' | 'no'): string =>
  `codex_fleet_turn_ends_total{reason="${reason}",goes_on="${goesOn}"}`;

test('a slot is busy while a turn runs in it, not while its session rests there; the limit stands from the start', async (t) => {
  const stage = await open(t, { slots: 3, scripts: [hangs, {}] });
  assert.equal(await value(stage, 'codex_fleet_slot_limit'), 3);
  const session = await stage.newSession();
  const key = await stage.start(session);
  await stage.running(key);
  assert.equal(await value(stage, 'codex_fleet_busy_slots'), 1);
  await stage.worker.cancelTurn(key);
  const next = await stage.start(session);
  await stage.ended(next);
  await stage.until(async () => (await value(stage, 'codex_fleet_busy_slots')) === 0);
  assert.equal(await value(stage, 'codex_fleet_slots{state="bound"}'), 1);
  assert.equal(await value(stage, ends('user', 'no')), 1);
  assert.equal(await value(stage, ends('none', 'no')), 1);
});

test('a session that is taken and a snapshot that is kept are counted, with its bytes and its time', async (t) => {
  const stage = await open(t);
  await stage.ended(await stage.start(await stage.newSession()));
  assert.equal(await value(stage, 'codex_fleet_sessions_taken_total{from="nobody"}'), 1);
  assert.equal(await value(stage, 'codex_fleet_snapshots_total{outcome="taken"}'), 1);
  assert.equal(await value(stage, 'codex_fleet_snapshot_seconds_count'), 1);
  assert.ok(((await value(stage, 'codex_fleet_snapshot_bytes_total')) ?? 0) > 0);
});

test('a snapshot that fails is counted, and its turn as lost by us for want of storage', async (t) => {
  const stage = await open(t);
  stage.snapshotFailure = 'storage_full';
  const ended = await stage.ended(await stage.start(await stage.newSession()));
  assert.equal(ended.reason, 'storage');
  assert.equal(await value(stage, 'codex_fleet_snapshots_total{outcome="failed"}'), 1);
  assert.equal(await value(stage, ends('storage', 'no')), 1);
  stage.snapshotFailure = null;
});

for (const [onInterrupt, goesOn] of [
  ['fail', 'no'],
  ['continue', 'yes'],
] as const) {
  test(`a turn of a lost worker counts as lost unless another goes on with it (${onInterrupt})`, async (t) => {
    const lost = await WorkerStage.open({ scripts: [hangs] });
    const session = await lost.newSession({ policy: { ...defaultPolicy, onInterrupt } });
    const key = await lost.start(session);
    await lost.running(key);
    await lost.die();
    const stage = await open(t, { after: lost });
    await stage.worker.recoverSession(key);
    await stage.ended(key);
    assert.equal(await value(stage, 'codex_fleet_sessions_taken_total{from="lost_owner"}'), 1);
    assert.equal(await value(stage, ends('worker_lost', goesOn)), 1);
    assert.equal(await value(stage, ends('worker_lost', goesOn === 'yes' ? 'no' : 'yes')), 0);
  });
}

for (const [onDrain, goesOn] of [
  ['fail', 'no'],
  ['continue', 'yes'],
] as const) {
  test(`a turn that a drain ends counts as lost unless another goes on with it (${onDrain})`, async (t) => {
    const stage = await open(t, { outlivesUs: true, scripts: [hangs] });
    const session = await stage.newSession({ policy: { ...defaultPolicy, onDrain } });
    await stage.running(await stage.start(session));
    await stage.stop();
    assert.equal(await value(stage, ends('drain', goesOn)), 1);
  });
}

test('a lease that another has is a session lost', async (t) => {
  const stage = await open(t, { scripts: [hangs, {}] });
  const session = await stage.newSession();
  const key = await stage.start(session);
  await stage.running(key);
  const taken = await stage.directory.lookup(session.tenant, session.id);
  assert.ok(taken);
  await stage.directory.release(taken);
  await stage.directory.claim({ ...taken, worker: 'worker-2', epoch: taken.epoch + 1 }, 600_000);
  await stage.pass(4_000);
  await stage.until(async () => (await value(stage, 'codex_fleet_sessions_lost_total')) === 1);
});
