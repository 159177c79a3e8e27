import assert from 'node:assert/strict';
import { access, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, test } from 'node:test';
import { isTerminalEventType } from '../core/event.ts';
import { isServiceError } from '../core/errors.ts';
import { mintId } from '../core/ids.ts';
import { type StageOptions, WorkerStage } from '../testing/scripted-codex/worker-stage.ts';
import type { Step } from '../testing/scripted-codex/script.ts';
import { turnRecord } from '../testing/stored-records.ts';

let stage: WorkerStage;
afterEach(() => stage.close());

async function open(options: StageOptions = {}): Promise<WorkerStage> {
  stage = await WorkerStage.open(options);
  return stage;
}

const onTurn = (...steps: Step[]): StageOptions => ({ scripts: [{ on: { 'turn/start': [steps] } }, {}] });
const endless: StageOptions = { scripts: [{ on: { 'turn/start': [[{ playTurnWithoutEnd: 'so far' }]] } }, {}] };
const code = (wanted: string) => (error: unknown) => isServiceError(error) && error.code === wanted;

test('a turn is told from queue to end, with its record ended before its terminal event', async () => {
  const { log, records } = await open();
  const session = await stage.newSession();
  const statuses: string[] = [];
  await log.subscribe({ tenant: session.tenant, sessionId: session.id }, (events) => {
    for (const { header } of events) {
      if (!isTerminalEventType(header.type) || header.turnId === null) continue;
      void records.turns.get(session.tenant, header.turnId).then((turn) => statuses.push(turn?.status ?? 'none'));
    }
  });
  const key = await stage.start(session);
  const turn = await stage.ended(key);
  assert.deepEqual([turn.status, turn.finalMessage, turn.error], ['completed', 'done', null]);
  assert.deepEqual(await stage.story(key), ['session.created', 'turn.queued', 'turn.started', 'turn.completed']);
  assert.deepEqual(statuses, ['completed']);
  const { status, worker, epoch } = await stage.session(key);
  assert.deepEqual([status, worker, epoch], ['idle', 'worker-1', 1]);
});

test('a session runs one turn at a time, in the order in which they came', async () => {
  await open();
  const session = await stage.newSession();
  const keys = [await stage.start(session), await stage.start(session), await stage.start(session)];
  for (const key of keys) await stage.ended(key);
  const events = await stage.events({ tenant: session.tenant, sessionId: session.id });
  const told = events.filter(({ type }) => type === 'turn.started' || isTerminalEventType(String(type)));
  assert.deepEqual(
    told.map(({ turn_id }) => turn_id),
    keys.flatMap(({ turnId }) => [turnId, turnId]),
  );
  assert.equal(stage.agents.filter(({ asked }) => asked.includes('turn/start')).length, 1);
});

test('a turn may name another model than its session, under the same credential', async () => {
  await open();
  const session = await stage.newSession({ model: 'model-a' });
  const own = await stage.ended(await stage.start(session));
  const other = await stage.ended(await stage.start(session, { model: 'model-b' }));
  assert.deepEqual([own.status, other.status], ['completed', 'completed']);
  assert.deepEqual(
    stage.grants.issued.map(({ sessionId, epoch, models }) => ({ sessionId, epoch, models })),
    [{ sessionId: session.id, epoch: 1, models: [] }],
  );
});

test('the same turn handed in twice runs once', async () => {
  await open();
  const session = await stage.newSession();
  const key = await stage.start(session);
  await Promise.all([stage.worker.startTurn(key), stage.worker.startTurn(key)]);
  await stage.ended(key);
  await stage.worker.startTurn(key);
  assert.equal((await stage.story(key)).filter((type) => type === 'turn.queued').length, 1);
});

test('a running turn that is cancelled is interrupted, its process replaced, its session goes on', async () => {
  await open(endless);
  const session = await stage.newSession();
  const key = await stage.start(session);
  await stage.running(key);
  await stage.until(() => stage.agents[0]?.asked.includes('turn/start') === true);
  await stage.worker.cancelTurn(key);
  const turn = await stage.turn(key);
  assert.deepEqual([turn.status, turn.reason, turn.finalMessage], ['cancelled', 'user', 'so far']);
  assert.ok(stage.agents[0]?.asked.includes('turn/interrupt'));
  assert.equal(stage.agents[0]?.isGone, true);
  await assert.rejects(stage.worker.cancelTurn(key), code('turn_ended'));
  const next = await stage.ended(await stage.start(session));
  assert.equal(next.status, 'completed');
});

test('a turn cancelled in the queue of its session never starts, and has one terminal event', async () => {
  await open(endless);
  const session = await stage.newSession();
  const first = await stage.start(session);
  await stage.running(first);
  const second = await stage.start(session);
  await stage.worker.cancelTurn(second);
  const turn = await stage.ended(second);
  assert.deepEqual([turn.status, turn.startedAt], ['cancelled', null]);
  assert.equal((await stage.session(first)).status, 'running');
  await stage.worker.cancelTurn(first);
  const terminal = (await stage.story(first)).filter(isTerminalEventType);
  assert.deepEqual(terminal, ['turn.cancelled', 'turn.cancelled']);
});

test('a turn that its worker was never told of is cancelled all the same', async () => {
  await open(endless);
  const session = await stage.newSession();
  const first = await stage.start(session);
  await stage.running(first);
  const untold = turnRecord({ tenant: session.tenant, sessionId: session.id, id: mintId() });
  await stage.records.turns.create(untold);
  await stage.worker.cancelTurn({ ...first, turnId: untold.id });
  assert.equal((await stage.turn({ ...first, turnId: untold.id })).status, 'cancelled');
});

test('a turn cancelled while it waits for a slot leaves the queue', async () => {
  await open({ ...endless, slots: 1 });
  const running = await stage.start(await stage.newSession());
  await stage.running(running);
  const waiting = await stage.start(await stage.newSession());
  await stage.worker.cancelTurn(waiting);
  assert.equal((await stage.turn(waiting)).status, 'cancelled');
  assert.equal((await stage.worker.status()).waitingTurns, 0);
});

test('a turn runs no longer than its timeout', async () => {
  await open(endless);
  const key = await stage.start(await stage.newSession(), { timeoutMs: 30_000 });
  await stage.running(key);
  await stage.pass(31_000);
  const turn = await stage.ended(key);
  assert.deepEqual([turn.status, turn.reason, turn.error?.code], ['timed_out', 'timeout', 'turn_timed_out']);
});

test('a turn waits for a slot no longer than its queue timeout', async () => {
  await open({ ...endless, slots: 1 });
  await stage.running(await stage.start(await stage.newSession(), { timeoutMs: 600_000 }));
  const key = await stage.start(await stage.newSession(), { queueTimeoutMs: 5_000 });
  await stage.pass(6_000);
  const turn = await stage.ended(key);
  assert.deepEqual([turn.status, turn.reason, turn.error?.code], ['timed_out', 'queue_timeout', 'queue_timed_out']);
});

test('a full queue refuses at once, and says how many wait', async () => {
  await open({ ...endless, slots: 1, queueLimit: 1 });
  await stage.running(await stage.start(await stage.newSession()));
  await stage.start(await stage.newSession());
  await assert.rejects(stage.start(await stage.newSession()), code('queue_full'));
});

for (const [what, step, error] of [
  ['exits with 0', { exit: 0 }, 'agent_crashed'],
  ['is killed', { signal: 'SIGKILL' }, 'agent_crashed'],
  ['writes a line without an end', { endlessLineBytes: 1 }, 'agent_garbled'],
] as const) {
  test(`a turn whose Codex ${what} in mid-turn fails once as ${error}, and its session goes on`, async () => {
    await open(onTurn({ playTurnWithoutEnd: 'so far' }, { waitMs: 1_000 }, step));
    const session = await stage.newSession();
    const key = await stage.start(session);
    await stage.running(key);
    await stage.pass(1_000);
    const turn = await stage.ended(key);
    assert.deepEqual([turn.status, turn.reason, turn.error?.code], ['failed', 'crash', error]);
    assert.equal((await stage.story(key)).filter(isTerminalEventType).length, 1);
    assert.equal((await stage.ended(await stage.start(session))).status, 'completed');
  });
}

test('a turn whose Codex dies before it takes it runs on another one, and is told to have started once', async () => {
  await open(onTurn({ exit: 0 }));
  const key = await stage.start(await stage.newSession());
  assert.equal((await stage.ended(key)).status, 'completed');
  const story = await stage.story(key);
  assert.equal(story.filter((type) => type === 'turn.started').length, 1);
  assert.equal(story.filter(isTerminalEventType).length, 1);
});

test('a Codex that does not answer turn/start is replaced at the deadline of the call', async () => {
  await open(onTurn({ silence: true }));
  const session = await stage.newSession();
  const key = await stage.start(session);
  await stage.running(key);
  await stage.pass(11_000);
  const turn = await stage.ended(key);
  assert.deepEqual([turn.status, turn.error?.code], ['failed', 'agent_unresponsive']);
  assert.equal((await stage.ended(await stage.start(session))).status, 'completed');
});

test('a Codex that does not answer thread/resume costs the turn a minute and the session nothing', async () => {
  await open({ scripts: [{ on: { 'thread/resume': [[{ silence: true }]] } }, {}] });
  const session = await stage.newSession();
  const key = await stage.start(session);
  await stage.until(() => stage.agents[0]?.asked.includes('thread/resume') === true);
  await stage.pass(61_000);
  const turn = await stage.ended(key);
  assert.deepEqual([turn.status, turn.error?.code, turn.startedAt], ['failed', 'agent_unresponsive', null]);
  assert.equal((await stage.ended(await stage.start(session))).status, 'completed');
});

test('a turn is cancelled at once while its thread is being loaded', async () => {
  await open({ scripts: [{ on: { 'thread/resume': [[{ silence: true }]] } }, {}] });
  const key = await stage.start(await stage.newSession());
  await stage.until(() => stage.agents[0]?.asked.includes('thread/resume') === true);
  await stage.worker.cancelTurn(key);
  assert.equal((await stage.turn(key)).status, 'cancelled');
});

test('a lost turn/completed is made good by asking: the turn has the outcome that Codex tells', async () => {
  const end: Step = {
    notify: { method: 'turn/completed', params: { threadId: 'another', turn: { id: '$turn', status: 'completed' } } },
  };
  await open(onTurn({ playTurnWithoutEnd: 'the answer' }, end));
  const key = await stage.start(await stage.newSession(), { timeoutMs: 600_000 });
  await stage.running(key);
  await stage.pass(61_000);
  const turn = await stage.ended(key);
  assert.deepEqual([turn.status, turn.finalMessage], ['completed', 'the answer']);
});

test('a silent turn that Codex says still runs is waited for, up to its timeout', async () => {
  await open(endless);
  const key = await stage.start(await stage.newSession(), { timeoutMs: 300_000 });
  await stage.running(key);
  await stage.pass(200_000);
  assert.equal((await stage.turn(key)).status, 'running');
  assert.ok((stage.agents[0]?.asked.filter((method) => method === 'thread/read').length ?? 0) >= 3);
  await stage.pass(101_000);
  assert.equal((await stage.ended(key)).status, 'timed_out');
});

test('a stopped Codex is found out by its silence', async () => {
  await open(onTurn({ playTurnWithoutEnd: 'so far' }, { silence: true }));
  const session = await stage.newSession();
  const key = await stage.start(session, { timeoutMs: 600_000 });
  await stage.running(key);
  await stage.pass(72_000);
  const turn = await stage.ended(key);
  assert.deepEqual([turn.status, turn.reason, turn.error?.code], ['failed', 'crash', 'agent_unresponsive']);
  assert.equal((await stage.ended(await stage.start(session))).status, 'completed');
});

test('an overloaded Codex is asked again until it takes the call', async () => {
  await open({ scripts: [{ overloads: 3 }] });
  const key = await stage.start(await stage.newSession());
  await stage.until(() => stage.agents[0]?.asked.includes('thread/resume') === true);
  await stage.pass(5_000);
  assert.equal((await stage.ended(key)).status, 'completed');
});

test('garbage between the lines and a question of Codex do not disturb a turn', async () => {
  await open(
    onTurn(
      { garbageLines: 100 },
      { request: { method: 'item/tool/requestUserInput', params: {} } },
      { playTurn: 'fine' },
    ),
  );
  const turn = await stage.ended(await stage.start(await stage.newSession()));
  assert.deepEqual([turn.status, turn.finalMessage], ['completed', 'fine']);
});

test('a process that grows to twice its limit is ended in mid-turn, with a reason of its own', async () => {
  await open({ ...endless, pid: process.pid, rssBytes: 1 });
  const key = await stage.start(await stage.newSession());
  await stage.running(key);
  await stage.pass(3_000);
  const turn = await stage.ended(key);
  assert.deepEqual([turn.status, turn.reason, turn.error?.code], ['failed', 'budget', 'agent_overgrown']);
});

test('a slot is replaced between turns when it has run enough of them', async () => {
  await open({ recycleTurns: 2 });
  const session = await stage.newSession();
  for (let n = 0; n < 4; n++) await stage.ended(await stage.start(session));
  await stage.until(() => stage.agents.filter(({ isGone }) => isGone).length === 2);
  const ran = stage.agents.map(({ asked }) => asked.filter((method) => method === 'turn/start').length);
  assert.deepEqual(ran.slice(0, 2), [2, 2]);
});

test('an idle session hibernates with its files, and wakes with them', async () => {
  await open({ hibernateAfterMs: 60_000 });
  const session = await stage.newSession();
  const key = await stage.start(session);
  await stage.ended(key);
  await writeFile(path.join(stage.agents[0]?.paths.ws ?? '', 'note'), 'kept');
  await stage.pass(61_000);
  await stage.until(async () => (await stage.session(key)).status === 'hibernated');
  await stage.until(async () => (await stage.directory.lookup(key.tenant, key.sessionId)) === null);
  assert.equal(stage.agents[0]?.isGone, true);
  await stage.ended(await stage.start(session));
  const bound = stage.agents.find((agent) => !agent.isGone && agent.asked.includes('turn/start'));
  assert.equal(await readFile(path.join(bound?.paths.ws ?? '', 'note'), 'utf8'), 'kept');
  assert.deepEqual((await stage.story(key)).slice(3), [
    'turn.completed',
    'session.hibernated',
    'turn.queued',
    'session.woken',
    'turn.started',
    'turn.completed',
  ]);
});

test('a waiting turn gets the slot of the session that has been idle for longest', async () => {
  await open({ slots: 1 });
  const first = await stage.start(await stage.newSession());
  await stage.ended(first);
  const second = await stage.start(await stage.newSession());
  assert.equal((await stage.ended(second)).status, 'completed');
  assert.equal((await stage.session(first)).status, 'hibernated');
});

test('a grant that the model proxy forgot is made again, once', async () => {
  await open();
  const session = await stage.newSession();
  await stage.ended(await stage.start(session));
  stage.grants.standing.clear();
  const turn = await stage.ended(await stage.start(session));
  assert.equal(turn.status, 'completed');
  assert.equal(stage.grants.begun.length, 2);
});

test('an erased session ends its turn and leaves no file', async () => {
  await open(endless);
  const key = await stage.start(await stage.newSession());
  await stage.running(key);
  await stage.worker.eraseSession(key);
  assert.equal((await stage.turn(key)).status, 'cancelled');
  await assert.rejects(access(path.join(stage.root, 'sessions', key.tenant, key.sessionId)));
});

test('a session whose files and snapshots are gone fails its turn and takes no more', async () => {
  await open({ slots: 1 });
  const session = await stage.newSession();
  const key = await stage.start(session);
  await stage.ended(key);
  await stage.ended(await stage.start(await stage.newSession()));
  await stage.until(async () => (await stage.directory.lookup(key.tenant, key.sessionId)) === null);
  await rm(path.join(stage.root, 'sessions', key.tenant, key.sessionId), { recursive: true });
  await stage.snapshotStore.erase(key);
  const turn = await stage.ended(await stage.start(session));
  assert.deepEqual([turn.status, turn.error?.code], ['failed', 'session_corrupt']);
  await stage.until(async () => (await stage.session(key)).status === 'failed');
  await stage.until(async () => (await stage.directory.lookup(key.tenant, key.sessionId)) === null);
  await assert.rejects(stage.start(session), code('session_failed'));
});

test('a cancel of a turn whose session another has taken meanwhile does not say that the turn has ended', async () => {
  await open(endless);
  const key = await stage.start(await stage.newSession());
  await stage.running(key);
  await stage.until(async () => (await stage.session(key)).status === 'running');
  const taken = await stage.session(key);
  await stage.records.sessions.replace({ ...taken, epoch: taken.epoch + 1, boot: 'another', worker: 'another' });
  await assert.rejects(stage.worker.cancelTurn(key), code('worker_lost'));
  assert.equal((await stage.turn(key)).status, 'running');
});

test('a worker that lost its lease to another ends the work and writes nothing more', async () => {
  await open(endless);
  const key = await stage.start(await stage.newSession());
  await stage.running(key);
  await stage.until(async () => (await stage.story(key)).includes('turn.started'));
  const before = await stage.events(key);
  stage.directory.renew = async () => false;
  stage.directory.claim = async (lease) => ({ ...lease, worker: 'another', epoch: lease.epoch + 1 });
  await stage.pass(4_000);
  await stage.until(() => stage.agents[0]?.isGone === true);
  assert.equal((await stage.turn(key)).status, 'running');
  assert.deepEqual(await stage.events(key), before);
});

test('a lease that ended unwanted by others is taken again: the turn ends interrupted, those behind it run', async () => {
  await open(onTurn({ playTurnWithoutEnd: 'so far' }));
  const session = await stage.newSession();
  const key = await stage.start(session);
  await stage.running(key);
  const behind = await stage.start(session);
  // Neither the directory nor the records answer until the worker has given the session up.
  const { directory, records } = stage;
  const renew = directory.renew.bind(directory);
  const get = records.sessions.get.bind(records.sessions);
  directory.renew = () => new Promise<boolean>(() => {});
  records.sessions.get = () => new Promise<never>(() => {});
  await stage.pass(8_000);
  Object.assign(directory, { renew });
  Object.assign(records.sessions, { get });
  const bothEnded = Promise.all([stage.ended(key), stage.ended(behind)]);
  let isOver = false;
  void bothEnded.then(() => {
    isOver = true;
  });
  // What is tried again is tried by the clock, and how long the files take beside it is the machine's.
  while (!isOver) await stage.pass(1_000);
  const [turn, next] = await bothEnded;
  assert.deepEqual([turn.status, turn.reason, turn.error?.code], ['interrupted', 'worker_lost', 'worker_lost']);
  assert.equal(next.status, 'completed');
  const events = await stage.events(key);
  assert.equal(events.filter(({ type }) => type === 'session.recovering').length, 1);
  const ends = events.filter(({ type }) => isTerminalEventType(String(type))).map(({ turn_id }) => turn_id);
  assert.deepEqual(ends, [key.turnId, behind.turnId]);
  const epochs = events.map(({ cursor }) => String(cursor).split('.')[0]);
  assert.deepEqual([epochs[0], epochs.at(-1)], ['1', '2']);
});

test('a drain lets turns end, then interrupts the rest, and takes nothing new', async () => {
  await open(endless);
  const session = await stage.newSession();
  const key = await stage.start(session);
  await stage.running(key);
  const stopping = stage.worker.stop(10_000);
  await assert.rejects(stage.start(await stage.newSession()), code('draining'));
  await stage.pass(5_000);
  assert.equal((await stage.turn(key)).status, 'running');
  await stage.pass(6_000);
  await stopping;
  const turn = await stage.turn(key);
  assert.deepEqual([turn.status, turn.reason], ['interrupted', 'drain']);
});

test('a store that is away for a while delays the end of a turn and loses nothing', async () => {
  await open();
  const session = await stage.newSession();
  const { append } = stage.log;
  stage.log.append = () => Promise.reject(new Error('away'));
  const key = await stage.start(session);
  await stage.pass(3_000);
  assert.deepEqual(await stage.events(key), []);
  stage.log.append = append;
  await stage.pass(3_000);
  const turn = await stage.ended(key);
  assert.equal(turn.status, 'completed');
  const events = await stage.events(key);
  assert.deepEqual(
    events.map(({ seq }) => seq),
    events.map((_event, index) => index + 1),
  );
});

test('a command runs in the workspace, and not beside a turn', async () => {
  await open(endless);
  const session = await stage.newSession();
  const key = { tenant: session.tenant, sessionId: session.id };
  const result = await stage.worker.runCommand({ key, command: ['true'], timeoutMs: 1_000 });
  assert.deepEqual([result.exitCode, result.stdout], [0, 'ran\n']);
  await stage.running(await stage.start(session));
  await assert.rejects(stage.worker.runCommand({ key, command: ['true'], timeoutMs: 1_000 }), code('session_busy'));
});

test('a session that a command woke is not called hibernated', async () => {
  await open();
  const session = await stage.newSession({ status: 'hibernated', worker: 'worker-1' });
  const key = { tenant: session.tenant, sessionId: session.id };
  await stage.worker.runCommand({ key, command: ['true'], timeoutMs: 1_000 });
  await stage.until(async () => (await stage.story(key)).at(-1) === 'session.woken');
  await stage.until(async () => (await stage.session(key)).status === 'idle');
});
