// What a worker does that is to stop while others go on: its turns end or are handed over, nothing waits for it.

import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { defaultPolicy } from '../core/session.ts';
import type { TurnRecord } from '../core/turn.ts';
import type { Script } from '../testing/scripted-codex/script.ts';
import { type StageOptions, WorkerStage } from '../testing/scripted-codex/worker-stage.ts';

const hangs: Script = { on: { 'turn/start': [[{ playTurnWithoutEnd: 'half' }]] } };

async function open(t: TestContext, options: StageOptions = {}): Promise<WorkerStage> {
  const stage = await WorkerStage.open({ outlivesUs: true, ...options });
  t.after(() => stage.close());
  return stage;
}

async function turnsOf(stage: WorkerStage, sessionId: string): Promise<readonly TurnRecord[]> {
  const query = { after: null, limit: 10, order: 'asc' } as const;
  return (await stage.records.turns.list('default', sessionId, query)).data;
}

test('a turn that outlasts a drain goes on at another worker, before what waited behind it', async (t) => {
  const leaving = await open(t, { scripts: [hangs] });
  const session = await leaving.newSession({ tenant: 'default' });
  const running = await leaving.start(session);
  await leaving.running(running);
  const waiting = await leaving.start(session);
  await leaving.stop();
  const ended = await leaving.turn(running);
  assert.deepEqual([ended.status, ended.reason], ['interrupted', 'drain']);
  assert.equal((await leaving.turn(waiting)).status, 'queued');
  assert.equal((await leaving.session(running)).worker, null);

  const next = await open(t, { after: leaving });
  await next.worker.recoverSession(running);
  await next.ended(waiting);
  const turns = await turnsOf(next, session.id);
  const continuation = turns.find(({ continues }) => continues === running.turnId);
  assert.match(continuation?.prompt ?? '', /had to stop/);
  assert.equal(continuation?.status, 'completed');
  assert.ok((continuation.startedAt ?? 0) <= ((await next.turn(waiting)).startedAt ?? 0));
});

test('a prompt that comes first to the next worker waits for what a drain had left', async (t) => {
  const leaving = await open(t, { scripts: [hangs] });
  const session = await leaving.newSession({ tenant: 'default' });
  const running = await leaving.start(session);
  await leaving.running(running);
  const waiting = await leaving.start(session);
  await leaving.stop();
  assert.equal((await leaving.session(running)).status, 'queued');

  const next = await open(t, { after: leaving });
  const latest = await next.start(session);
  await next.ended(latest);
  const turns = await turnsOf(next, session.id);
  const continuation = turns.find(({ continues }) => continues === running.turnId);
  const began = (await next.events(running)).filter(({ type }) => type === 'turn.started').map((one) => one['turn_id']);
  assert.deepEqual(began, [running.turnId, continuation?.id, waiting.turnId, latest.turnId]);
  await next.stop();
  assert.equal((await next.session(running)).status, 'hibernated');
});

test('a session that does not want to go on after a drain does not', async (t) => {
  const leaving = await open(t, { scripts: [hangs] });
  const session = await leaving.newSession({ tenant: 'default', policy: { ...defaultPolicy, onDrain: 'fail' } });
  const running = await leaving.start(session);
  await leaving.running(running);
  await leaving.stop();
  assert.deepEqual(
    (await turnsOf(leaving, session.id)).map(({ status }) => status),
    ['interrupted'],
  );
});

test('a drain lets idle sessions go at once, and those that run when their turn has ended', async (t) => {
  const stage = await open(t, { scripts: [{}, hangs] });
  const idle = await stage.start(await stage.newSession({ tenant: 'default' }));
  await stage.ended(idle);
  const running = await stage.start(await stage.newSession({ tenant: 'default' }));
  await stage.running(running);
  const stopping = stage.worker.stop(60_000);
  await stage.until(async () => (await stage.session(idle)).worker === null);
  assert.notEqual((await stage.session(running)).worker, null);
  stage.worker.hurry();
  await stage.stop();
  await stopping;
  assert.equal((await stage.session(running)).worker, null);
});

test('who takes a session that was let go, just after the log lost its data, says so before anything else', async (t) => {
  for (const hasJustLost of [true, false]) {
    const leaving = await open(t, { scripts: [hangs], mayLogBeLost: true });
    const session = await leaving.newSession({ tenant: 'default' });
    const running = await leaving.start(session);
    await leaving.running(running);
    const waiting = await leaving.start(session);
    await leaving.stop();
    const before = (await leaving.events(running)).length;
    if (hasJustLost) {
      await leaving.log.erase(running);
      leaving.directory.knownForMs = async () => 0;
    }

    const next = await open(t, { after: leaving, mayLogBeLost: true });
    await next.ended(await next.start(session));
    assert.equal((await next.turn(waiting)).status, 'completed');
    const [first] = (await next.events(running)).slice(hasJustLost ? 0 : before);
    assert.equal(first?.['type'] === 'session.recovering', hasJustLost, String(first?.['type']));
  }
});
