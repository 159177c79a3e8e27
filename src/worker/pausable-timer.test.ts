import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMetrics } from '../observability/metrics.ts';
import { buildTurnStart } from '../protocol/policy.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { PlayedAgent } from '../testing/scripted-codex/played-agent.ts';
import { sessionRecord, turnRecord } from '../testing/stored-records.ts';
import { AgentEar } from './agent-ear.ts';
import { PausableTimer, type TurnWaiting } from './pausable-timer.ts';
import { runTurn, type TurnRun } from './running-turn.ts';

test('only the time between run and pause counts, however often they are called', () => {
  const clock = new FakeClock();
  let fired = 0;
  const timer = new PausableTimer(clock, 100, () => fired++);
  clock.advance(1_000);
  timer.run();
  timer.run();
  clock.advance(60);
  timer.pause();
  timer.pause();
  clock.advance(1_000_000);
  timer.run();
  clock.advance(39);
  assert.equal(fired, 0);
  clock.advance(1);
  timer.run();
  clock.advance(1_000);
  assert.deepEqual([fired, clock.pendingTimers], [1, 0]);
});

test('a stopped timer does not count again', () => {
  const clock = new FakeClock();
  const timer = new PausableTimer(clock, 100, () => assert.fail('it was stopped'));
  timer.run();
  timer.stop();
  timer.run();
  clock.advance(1_000);
  assert.equal(clock.pendingTimers, 0);
});

const timeoutMs = 60_000;
const silenceMs = 20_000;

/** A turn of which nothing is heard after its start, and a person who can be waited for. */
async function startTurn(): Promise<{
  clock: FakeClock;
  agent: PlayedAgent;
  run: Promise<TurnRun>;
  wait: (isWaiting: boolean) => void;
}> {
  const clock = new FakeClock();
  const session = sessionRecord();
  const ear = new AgentEar({
    sessionId: session.id,
    writer: { write: () => '' } as unknown as ConstructorParameters<typeof AgentEar>[0]['writer'],
    clock,
    metrics: createMetrics(),
  });
  const agent = new PlayedAgent({
    script: { on: { 'turn/start': [[{ playTurnWithoutEnd: 'so far' }]] } },
    clock,
    onNotification: (notification, line) => ear.hear(notification, line),
  });
  const listeners = new Set<(isWaiting: boolean) => void>();
  const waiting: { -readonly [Key in keyof TurnWaiting]: TurnWaiting[Key] } = {
    isWaiting: false,
    onWaitingChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  const run = runTurn({
    agent,
    params: buildTurnStart({
      sessionId: session.id,
      prompt: 'go',
      approvals: 'untrusted',
      model: null,
      sandbox: 'workspace-write',
      network: false,
    }),
    heard: ear.beginTurn(turnRecord()),
    lastHeardMs: () => ear.lastHeardMs,
    onReconciled: () => {},
    stopRequested: new Promise(() => {}),
    overgrown: new Promise(() => {}),
    waiting,
    timeoutMs,
    silenceMs,
    clock,
  });
  await clock.advanceAsync(0);
  const wait = (isWaiting: boolean): void => {
    waiting.isWaiting = isWaiting;
    for (const listener of listeners) listener(isWaiting);
  };
  return { clock, agent, run, wait };
}

test('the time in which a person decides is not of the turn, and is no silence of Codex', async () => {
  const { clock, agent, run, wait } = await startTurn();
  await clock.advanceAsync(10_000);
  wait(true);
  await clock.advanceAsync(24 * 60 * 60 * 1000);
  assert.deepEqual(agent.asked, ['turn/start']);
  wait(false);
  await clock.advanceAsync(silenceMs - 1);
  assert.deepEqual(agent.asked, ['turn/start']);
  await clock.advanceAsync(1);
  assert.deepEqual(agent.asked, ['turn/start', 'thread/read']);
  await clock.advanceAsync(timeoutMs - 10_000 - silenceMs - 1);
  assert.equal(agent.asked.includes('turn/interrupt'), false);
  await clock.advanceAsync(1);
  assert.equal(agent.asked.includes('turn/interrupt'), true);
  await clock.advanceAsync(10_000);
  assert.equal((await run).outcome.status, 'timed_out');
});
