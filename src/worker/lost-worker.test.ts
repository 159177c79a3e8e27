// What a worker finds that starts where another died: each turn gets its one end, each session its files.

import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { isServiceError } from '../core/errors.ts';
import { defaultPolicy } from '../core/session.ts';
import type { TurnRecord } from '../core/turn.ts';
import type { Script } from '../testing/scripted-codex/script.ts';
import { type StageOptions, WorkerStage } from '../testing/scripted-codex/worker-stage.ts';

const hangs: Script = { on: { 'turn/start': [[{ playTurnWithoutEnd: 'half' }]] } };

async function open(t: TestContext, options: StageOptions = {}): Promise<WorkerStage> {
  const stage = await WorkerStage.open(options);
  t.after(() => stage.close());
  return stage;
}

/** Never closed: it dies in its test. */
const mortal = (options: StageOptions = {}): Promise<WorkerStage> => WorkerStage.open(options);

async function slotWorkspace(stage: WorkerStage): Promise<string> {
  const names = await stage.slotDirs();
  const claim = names.find((name) => name.endsWith('.json'));
  assert.ok(claim);
  return path.join(stage.root, 'slots', claim.slice(0, -'.json'.length), 'ws');
}

test('a turn that ran when its worker died is interrupted, once, and its session goes on with what it had done', async (t) => {
  const lost = await mortal({ scripts: [hangs] });
  const session = await lost.newSession();
  const turn = await lost.start(session);
  await lost.running(turn);
  await writeFile(path.join(await slotWorkspace(lost), 'half-done.txt'), 'half');
  await lost.die();

  const stage = await open(t, { after: lost });
  await stage.worker.recoverSession(turn);
  const ended = await stage.ended(turn);
  assert.deepEqual([ended.status, ended.reason, ended.error?.code], ['interrupted', 'worker_lost', 'worker_lost']);
  const next = await stage.start(session);
  assert.equal((await stage.ended(next)).status, 'completed');
  assert.equal(await readFile(path.join(await slotWorkspace(stage), 'half-done.txt'), 'utf8'), 'half');
  assert.deepEqual(await stage.story(turn), [
    'session.created',
    'turn.queued',
    'turn.started',
    'session.recovering',
    'turn.interrupted',
    'session.recovered',
    'turn.queued',
    'session.woken',
    'turn.started',
    'turn.completed',
  ]);
  assert.equal((await stage.session(turn)).epoch, 2);
});

test('turns that waited when their worker died run in their order', async (t) => {
  const lost = await mortal({ scripts: [hangs] });
  const session = await lost.newSession();
  const running = await lost.start(session);
  await lost.running(running);
  const waiting = [await lost.start(session), await lost.start(session)];
  await lost.die();

  const stage = await open(t, { after: lost });
  await stage.worker.recoverSession(running);
  const ends = [];
  for (const key of [running, ...waiting]) ends.push(await stage.ended(key));
  assert.deepEqual(
    ends.map(({ status }) => status),
    ['interrupted', 'completed', 'completed'],
  );
  assert.ok((ends[1]?.endedAt ?? 0) <= (ends[2]?.startedAt ?? 0));
});

test('a session that asked for it goes on after an interruption, before what waited, by a turn that says so', async (t) => {
  const lost = await mortal({ scripts: [hangs] });
  const session = await lost.newSession({ policy: { ...defaultPolicy, onInterrupt: 'continue' } });
  const running = await lost.start(session);
  await lost.running(running);
  const waiting = await lost.start(session);
  await lost.die();

  const stage = await open(t, { after: lost });
  await stage.worker.recoverSession(running);
  await stage.ended(waiting);
  const { data } = await stage.records.turns.list(session.tenant, session.id, { after: null, limit: 10, order: 'asc' });
  const byStart = data.toSorted((a, b) => (a.startedAt ?? 0) - (b.startedAt ?? 0));
  const continuation = data.find(({ continues }) => continues === running.turnId);
  assert.equal(continuation?.status, 'completed');
  assert.match(continuation.prompt, /interrupted/);
  assert.deepEqual(stage.agents.flatMap(({ asked }) => asked).filter((method) => method === 'turn/start').length, 2);
  assert.ok((continuation.startedAt ?? 0) <= (byStart.find(({ id }) => id === waiting.turnId)?.startedAt ?? 0));
});

test('work that ends each worker is continued three times and then left', async (t) => {
  let lost = await mortal({ scripts: [hangs] });
  const session = await lost.newSession({ policy: { ...defaultPolicy, onInterrupt: 'continue' } });
  const first = await lost.start(session);
  await lost.running(first);
  const openTurns = async (): Promise<TurnRecord[]> => {
    const query = { after: null, limit: 10, order: 'asc' } as const;
    const { data } = await lost.records.turns.list(session.tenant, session.id, query);
    return data.filter(({ endedAt }) => endedAt === null);
  };
  for (let deaths = 1; deaths <= 3; deaths++) {
    await lost.die();
    lost = await mortal({ after: lost, scripts: [hangs] });
    await lost.worker.recoverSession(first);
    await lost.until(async () => (await openTurns()).some(({ status }) => status === 'running'));
  }
  await lost.die();
  const stage = await open(t, { after: lost });
  await stage.worker.recoverSession(first);
  await stage.until(async () => (await openTurns()).length === 0);
  const { data } = await stage.records.turns.list(session.tenant, session.id, { after: null, limit: 10, order: 'asc' });
  assert.deepEqual(
    data.map(({ status }) => status),
    ['interrupted', 'interrupted', 'interrupted', 'interrupted'],
  );
});

test('an end that was recorded and not told is told by whoever takes the session, once', async (t) => {
  const lost = await mortal();
  const session = await lost.newSession();
  const key = await lost.start(session);
  const turn = await lost.ended(key);
  const standing = await lost.session(key);
  await lost.die();
  // As if the process had died between the commit and the event: the log ends before it.
  const events = await lost.log.read(key, 0, 1_000);
  const untold = events.events.filter(({ header }) => header.type !== 'turn.completed');
  await lost.log.erase(key);
  await lost.log.append(key, 1, untold);
  assert.deepEqual(standing.untold, [turn.id]);

  const stage = await open(t, { after: lost });
  await stage.worker.recoverSession(key);
  await stage.worker.recoverSession(key);
  assert.deepEqual(
    (await stage.story(key)).filter((type) => type === 'turn.completed'),
    ['turn.completed'],
  );
  await stage.ended(await stage.start(session));
  assert.equal((await stage.session(key)).untold.includes(turn.id), false);
});

test('ends that no snapshot holds are told again when the log is lost, and no other is', async (t) => {
  const before = await mortal({ mayLogBeLost: true });
  const session = await before.newSession();
  const first = await before.start(session);
  await before.ended(first);
  await before.ended(await before.start(session));
  await before.die();
  const dead = await mortal({ mayLogBeLost: true, after: before, scripts: [hangs] });
  const hung = await dead.start(session);
  await dead.running(hung);
  await dead.die();

  const stopped = await mortal({ mayLogBeLost: true, after: dead });
  await stopped.worker.recoverSession(hung);
  await stopped.ended(hung);
  await stopped.die();
  const { snapshot, unsealed = [] } = await stopped.session(hung);
  assert.equal(unsealed.includes(first.turnId), false);
  await stopped.log.erase(hung);

  const stage = await open(t, { mayLogBeLost: true, after: stopped });
  await stage.ended(await stage.start(session));
  const told = (await stage.events(hung)).filter(({ type }) => /^turn\.(completed|interrupted)$/.test(String(type)));
  assert.deepEqual(told.map((event) => event['turn_id']).slice(0, -1), unsealed);
  assert.ok(unsealed.includes(hung.turnId) && (snapshot?.lastSeq ?? 0) > 0);
});

test('a session that was let go has all that was told in its snapshot, whatever the log loses', async (t) => {
  const before = await mortal({ mayLogBeLost: true });
  const session = await before.newSession();
  const key = await before.start(session);
  await before.ended(key);
  await before.worker.hibernateSession(key);
  await before.until(async () => (await before.session(key)).worker === null);
  const told = await before.events(key);
  const { snapshot, unsealed } = await before.session(key);
  assert.ok(snapshot !== null);
  assert.deepEqual([snapshot.lastSeq, snapshot.turnId, unsealed], [told.at(-1)?.['seq'], key.turnId, []]);
  assert.equal(told.at(-1)?.['type'], 'session.hibernated');
  await before.log.erase(key);
  await before.die();

  const stage = await open(t, { mayLogBeLost: true, after: before });
  await stage.ended(await stage.start(session));
  const anew = await stage.events(key);
  assert.equal(anew[0]?.['seq'], snapshot.lastSeq + 1);
  assert.deepEqual(
    anew.filter(({ turn_id }) => turn_id === key.turnId),
    [],
  );
});

test('a recovery that dies behind its commit has given up nothing, and the next one says so', async (t) => {
  const lost = await mortal({ scripts: [hangs] });
  const session = await lost.newSession();
  const turn = await lost.start(session);
  await lost.running(turn);
  await writeFile(path.join(await slotWorkspace(lost), 'half-done.txt'), 'half');
  await lost.die();

  const { records } = lost;
  const second = await mortal({ after: lost });
  const dead = Promise.withResolvers<void>();
  const commit = records.commit.bind(records);
  records.commit = async (...given) => {
    const written = await commit(...given);
    second.die().then(dead.resolve, dead.reject);
    return written;
  };
  second.worker.recoverSession(turn).catch(() => undefined);
  await dead.promise;
  records.commit = commit;

  const stage = await open(t, { after: second });
  await stage.worker.recoverSession(turn);
  assert.equal((await stage.ended(turn)).status, 'interrupted');
  await stage.ended(await stage.start(session));
  assert.equal(await readFile(path.join(await slotWorkspace(stage), 'half-done.txt'), 'utf8'), 'half');
  assert.equal((await stage.story(turn)).includes('session.restored'), false);
});

test('files that rest and are not what the record says are replaced by the snapshot', async (t) => {
  const stage = await open(t);
  const session = await stage.newSession();
  const key = await stage.start(session);
  await stage.ended(key);
  await stage.worker.changeFiles(key, async (ws) => await writeFile(path.join(ws, 'kept.txt'), 'kept'));
  await stage.worker.hibernateSession(key);
  const rest = path.join(stage.root, 'sessions', session.tenant, session.id);
  await writeFile(path.join(rest, 'ws', 'kept.txt'), 'changed where it rested');
  await writeFile(path.join(rest, 'mark.json'), JSON.stringify({ machine: 'another', epoch: 1, object: null }));

  await stage.worker.changeFiles(key, async (ws) => {
    assert.equal(await readFile(path.join(ws, 'kept.txt'), 'utf8'), 'kept');
  });
});

test('a session whose resting files are gone is restored from its snapshot', async (t) => {
  const stage = await open(t);
  const session = await stage.newSession();
  const key = await stage.start(session);
  await stage.ended(key);
  await stage.worker.changeFiles(key, async (ws) => {
    await mkdir(path.join(ws, 'a'));
    await writeFile(path.join(ws, 'a', 'b.txt'), 'b');
  });
  await stage.worker.hibernateSession(key);
  await rm(path.join(stage.root, 'sessions'), { recursive: true });
  const next = await stage.start(session);
  assert.equal((await stage.ended(next)).status, 'completed');
  assert.deepEqual(await readdir(path.join(await slotWorkspace(stage), 'a')), ['b.txt']);
});

test('a damaged rollout at rest is noticed, and the session goes back to its snapshot', async (t) => {
  const stage = await open(t);
  const session = await stage.newSession();
  const key = await stage.start(session);
  await stage.ended(key);
  await stage.worker.hibernateSession(key);
  const rest = path.join(stage.root, 'sessions', session.tenant, session.id, 'sessions');
  const [name] = (await readdir(rest, { recursive: true })).filter((file) => file.endsWith('.jsonl'));
  assert.ok(name);
  const whole = await readFile(path.join(rest, name));
  await writeFile(path.join(rest, name), '');
  assert.equal((await stage.ended(await stage.start(session))).status, 'completed');
  const claim = path.join(path.dirname(await slotWorkspace(stage)), 'home', 'sessions', name);
  assert.deepEqual(await readFile(claim), whole);
});

test('a turn whose work cannot be stored is not completed, and the next one goes on when it can', async (t) => {
  const stage = await open(t);
  const session = await stage.newSession();
  await stage.ended(await stage.start(session));
  stage.snapshotFailure = 'storage_full';
  const refused = await stage.ended(await stage.start(session));
  assert.deepEqual([refused.status, refused.reason, refused.error?.code], ['failed', 'storage', 'storage_full']);
  stage.snapshotFailure = null;
  assert.equal((await stage.ended(await stage.start(session))).status, 'completed');
});

test('a session whose Codex crashes in two turns in a row is quarantined until somebody wakes it', async (t) => {
  const crashes: Script = { on: { 'turn/start': [[{ playTurnWithoutEnd: 'half' }, { signal: 'SIGSEGV' }]] } };
  const stage = await open(t, { scripts: [crashes, crashes, {}] });
  const session = await stage.newSession();
  const first = await stage.start(session);
  assert.equal((await stage.ended(first)).error?.code, 'agent_crashed');
  assert.equal((await stage.ended(await stage.start(session))).error?.code, 'agent_crashed');
  await stage.until(async () => (await stage.session(first)).status === 'quarantined');
  await assert.rejects(stage.start(session), (error: unknown) => isServiceError(error, 'session_quarantined'));
  await stage.worker.wakeSession(first);
  assert.equal((await stage.ended(await stage.start(session))).status, 'completed');
});

test('a conversation that has grown past its limit takes no more turns', async (t) => {
  const stage = await open(t, { rolloutBytes: 100 });
  const session = await stage.newSession();
  await stage.ended(await stage.start(session));
  await assert.rejects(stage.start(session), (error: unknown) => isServiceError(error, 'session_full'));
});

test('a session that chose it hears of the end before its work is durable', async (t) => {
  const stage = await open(t);
  const session = await stage.newSession({ policy: { ...defaultPolicy, durability: 'async' } });
  stage.snapshotFailure = 'storage_full';
  const key = await stage.start(session);
  assert.equal((await stage.ended(key)).status, 'completed');
  stage.snapshotFailure = null;
  assert.equal((await stage.session(key)).snapshot, null);
  const next = await stage.start(session);
  await stage.ended(next);
  await stage.until(async () => (await stage.session(key)).snapshot?.turnId === next.turnId);
});
