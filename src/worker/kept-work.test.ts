// What an agent had done stays, whatever happens between its doing and the snapshot that holds it.

import assert from 'node:assert/strict';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import type { TurnKey } from '../contracts/worker-link.ts';
import { defaultPolicy } from '../core/session.ts';
import type { Script } from '../testing/scripted-codex/script.ts';
import { type StageOptions, WorkerStage } from '../testing/scripted-codex/worker-stage.ts';

const hangs: Script = { on: { 'turn/start': [[{ playTurnWithoutEnd: 'half' }]] } };

async function open(t: TestContext, options: StageOptions = {}): Promise<WorkerStage> {
  const stage = await WorkerStage.open(options);
  t.after(() => stage.close());
  return stage;
}

async function boundSlot(stage: WorkerStage): Promise<string> {
  const claim = (await stage.slotDirs()).find((name) => name.endsWith('.json'));
  assert.ok(claim);
  return path.join(stage.root, 'slots', claim.replace('.json', ''));
}

/** A turn that hangs, with a file of its own in the workspace. */
async function hangingTurn(stage: WorkerStage): Promise<TurnKey> {
  const key = await stage.start(await stage.newSession());
  await stage.running(key);
  await writeFile(path.join(await boundSlot(stage), 'ws', 'half-done.txt'), 'half');
  return key;
}

async function filesOf(stage: WorkerStage, key: TurnKey): Promise<string[]> {
  let files: string[] = [];
  await stage.worker.changeFiles(key, async (ws) => {
    files = await WorkerStage.listing(ws);
  });
  return files;
}

const wasRestored = async (stage: WorkerStage, key: TurnKey): Promise<boolean> =>
  (await stage.story(key)).includes('session.restored');

test('the files of a cancelled turn stay when its snapshot found the disk full', async (t) => {
  const stage = await open(t, { scripts: [hangs] });
  const key = await hangingTurn(stage);
  stage.snapshotFailure = 'storage_full';
  await stage.worker.cancelTurn(key);
  await stage.until(async () => (await stage.directory.lookup(key.tenant, key.sessionId)) === null);
  stage.snapshotFailure = null;
  assert.deepEqual([await filesOf(stage, key), await wasRestored(stage, key)], [['half-done.txt'], false]);
});

test('the files of a lost turn stay when its recovery is lost as well, and the one after that', async (t) => {
  let lost = await WorkerStage.open({ scripts: [hangs] });
  const key = await hangingTurn(lost);
  for (let deaths = 0; deaths < 2; deaths++) {
    await lost.die();
    lost = await WorkerStage.open({ after: lost });
    lost.snapshotFailure = 'storage_full';
    await lost.worker.recoverSession(key);
  }
  await lost.die();
  const stage = await open(t, { after: lost });
  await stage.worker.recoverSession(key);
  assert.deepEqual([await filesOf(stage, key), await wasRestored(stage, key)], [['half-done.txt'], false]);
});

test('what a lost worker left is not removed when it cannot be fetched, and is fetched when it can', async (t) => {
  const lost = await WorkerStage.open({ scripts: [hangs] });
  const key = await hangingTurn(lost);
  await lost.die();
  // Something else stands where the session's files are brought together.
  const filling = path.join(lost.root, 'sessions', key.tenant, `${key.sessionId}.filling`);
  await rm(filling, { recursive: true, force: true });
  await mkdir(path.dirname(filling), { recursive: true });
  await writeFile(filling, '');
  const stage = await open(t, { after: lost });
  await stage.worker.recoverSession(key);
  assert.equal((await stage.ended(key)).status, 'interrupted');
  await rm(filling);
  assert.deepEqual(await filesOf(stage, key), ['half-done.txt']);
});

test('a slot whose files cannot be taken out keeps them for the next attempt; the session has not failed', async (t) => {
  const stage = await open(t, { scripts: [hangs, {}] });
  const key = await hangingTurn(stage);
  const rest = path.join(stage.root, 'sessions', key.tenant);
  await rm(rest, { recursive: true, force: true });
  await writeFile(rest, '');
  await stage.worker.cancelTurn(key);
  await rm(rest);
  assert.notEqual((await stage.session(key)).status, 'failed');
  assert.deepEqual(await filesOf(stage, key), ['half-done.txt']);
});

test('an orderly stop waits for the snapshot of a turn whose end was told before it', async () => {
  const stage = await WorkerStage.open();
  const session = await stage.newSession({ policy: { ...defaultPolicy, durability: 'async' } });
  const key = await stage.start(session);
  await stage.ended(key);
  await stage.close();
  const { snapshot, worker } = await stage.session(key);
  assert.deepEqual([snapshot?.turnId, worker], [key.turnId, null]);
});

test('turns that wait when a worker stops go on waiting where records outlive it', async (t) => {
  const first = await WorkerStage.open({ scripts: [hangs], outlivesUs: true });
  const session = await first.newSession();
  const running = await first.start(session);
  await first.running(running);
  const waiting = await first.start(session);
  await first.stop();
  assert.deepEqual(
    [(await first.turn(running)).status, (await first.turn(waiting)).status, (await first.session(waiting)).worker],
    ['interrupted', 'queued', null],
  );
  const stage = await open(t, { after: first });
  await stage.worker.recoverSession(waiting);
  assert.equal((await stage.ended(waiting)).status, 'completed');
  await first.die();
});

test('what is patched between two turns holds from the next one on', async (t) => {
  const stage = await open(t);
  const session = await stage.newSession({ policy: { ...defaultPolicy, approvals: 'untrusted' } });
  const key = await stage.start(session);
  await stage.ended(key);
  await stage.until(async () => {
    const standing = await stage.session(key);
    return (await stage.records.sessions.replace({ ...standing, policy: defaultPolicy })) !== null;
  });
  await stage.ended(await stage.start(session));
  const policies = stage.agents.flatMap((agent) =>
    agent.params('turn/start').map((params) => params['approvalPolicy']),
  );
  assert.deepEqual(policies, ['untrusted', 'never']);
});
