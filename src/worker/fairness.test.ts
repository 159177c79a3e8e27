import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import type { TurnKey } from '../contracts/worker-link.ts';
import type { SessionRecord } from '../core/session.ts';
import { type StageOptions, WorkerStage } from '../testing/scripted-codex/worker-stage.ts';

let stage: WorkerStage;
afterEach(() => stage.close());

/** Turns of 100 ms each. */
const slow: StageOptions = {
  scripts: [{ on: { 'turn/start': [[{ waitMs: 100 }, { playTurn: 'done' }]] } }],
};

async function startedOrder(keys: readonly TurnKey[]): Promise<TurnKey[]> {
  const turns = await Promise.all(keys.map(async (key) => ({ key, turn: await stage.turn(key) })));
  turns.sort((a, b) => (a.turn.startedAt ?? 0) - (b.turn.startedAt ?? 0));
  return turns.map(({ key }) => key);
}

async function allEnded(keys: readonly TurnKey[]): Promise<void> {
  for (let n = 0; n < 2_000; n++) {
    const open = (await Promise.all(keys.map((key) => stage.turn(key)))).filter(({ endedAt }) => endedAt === null);
    if (open.length === 0) return;
    await stage.clock.advanceAsync(20);
    // A slot's files move in real time: a clock that ran far ahead of it would show turns as waiting for a disk.
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.fail('not every turn ended');
}

async function turnsOf(session: SessionRecord, count: number): Promise<TurnKey[]> {
  const keys: TurnKey[] = [];
  for (let n = 0; n < count; n++) keys.push(await stage.start(session));
  return keys;
}

test('a tenant that sends ten times as much, in many sessions, does not hold up the other', async () => {
  stage = await WorkerStage.open({ ...slow, slots: 2, warm: 2 });
  const greedy: TurnKey[] = [];
  for (let n = 0; n < 40; n++) greedy.push(await stage.start(await stage.newSession({ tenant: 'greedy' })));
  const modest: TurnKey[] = [];
  for (let n = 0; n < 4; n++) modest.push(await stage.start(await stage.newSession({ tenant: 'modest' })));
  await allEnded([...greedy, ...modest]);
  const order = (await startedOrder([...greedy, ...modest])).map(({ tenant }) => tenant);
  // Two run before the modest one comes; from then on every other place is its own.
  modest.forEach((_key, index) => {
    const place = order.flatMap((tenant, at) => (tenant === 'modest' ? [at] : []))[index] ?? Infinity;
    assert.ok(place <= 2 + 2 * (index + 1) * 2, `turn ${index} of the modest tenant started as number ${place}`);
  });
});

test('a tenant whose sessions hold every slot with turns of their own gives one up to the other', async () => {
  stage = await WorkerStage.open({ ...slow, slots: 2, warm: 2 });
  const greedy = [
    ...(await turnsOf(await stage.newSession({ tenant: 'greedy' }), 20)),
    ...(await turnsOf(await stage.newSession({ tenant: 'greedy' }), 20)),
  ];
  const [modest] = await turnsOf(await stage.newSession({ tenant: 'modest' }), 1);
  assert.ok(modest);
  await allEnded([...greedy, modest]);
  const order = await startedOrder([...greedy, modest]);
  assert.ok(order.indexOf(modest) <= 4, `it started as number ${order.indexOf(modest)}`);
});

test('forty sessions on two slots all complete', async () => {
  stage = await WorkerStage.open({ ...slow, slots: 2, warm: 1 });
  const keys: TurnKey[] = [];
  for (let n = 0; n < 40; n++) keys.push(await stage.start(await stage.newSession()));
  await allEnded(keys);
  const statuses = await Promise.all(keys.map(async (key) => (await stage.turn(key)).status));
  assert.deepEqual([...new Set(statuses)], ['completed']);
  assert.ok(stage.agents.length >= 20);
});

test('who waits is told where it stands, in its record and as events, at most once a second', async () => {
  stage = await WorkerStage.open({
    slots: 1,
    warm: 1,
    scripts: [{ on: { 'turn/start': [[{ waitMs: 3_000 }, { playTurn: 'done' }]] } }],
  });
  const first = await stage.start(await stage.newSession());
  await stage.running(first);
  await stage.start(await stage.newSession());
  await stage.start(await stage.newSession());
  const last = await stage.start(await stage.newSession());
  const positions = async (): Promise<unknown[]> =>
    (await stage.events(last)).filter(({ type }) => type === 'turn.queued').map(({ position }) => position);
  await stage.until(async () => (await positions()).length === 1);
  assert.deepEqual(await positions(), [3]);
  for (let second = 0; second < 60 && (await stage.turn(last)).endedAt === null; second++) {
    await stage.pass(1_000);
    await new Promise((resolve) => setTimeout(resolve, 40));
  }
  await stage.ended(last);
  assert.deepEqual(await positions(), [3, 2, 1]);
  const told = (await stage.events(last))
    .filter(({ type }) => type === 'turn.queued')
    .map(({ at }) => Date.parse(String(at)));
  told.forEach((at, index) => assert.ok(index === 0 || at - (told[index - 1] ?? 0) >= 1_000));
});
