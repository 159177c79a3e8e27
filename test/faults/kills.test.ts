import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TurnResource } from '../../src/api/turns.ts';
import {
  exactlyOneTerminal,
  promptsAtMostOnce,
  reReadsByteIdentical,
} from '../../src/testing/faults/history-checks.ts';
import { OracleModel } from '../../src/testing/faults/oracle-model.ts';
import { newDataDir, scaled, seededRun } from './fault-scale.ts';
import { KeptHistory } from './kept-history.ts';
import { recordReliability } from './reliability-record.ts';
import { RunningFleet } from './running-fleet.ts';
import { commandOutput } from './workspace-tree.ts';

const sessions = 10;
const kills = scaled(20);
const turnsPerSession = scaled(20);
/** After so many turns were accepted, at the latest: two kills may fall into one recovery. */
const longestDelayMs = 600;

/** Each says its number, so that no two prompts are the same; one leaves a mark in the workspace. */
function promptOf(session: number, turn: number): string {
  const name = `turn ${session}-${turn}`;
  const scripts = [
    `say: ${name}`,
    `run: echo ${name} >> done.txt`,
    `stream: 30 words at 10 ms\nsay: ${name}`,
    `wait: 150 ms\nsay: ${name}`,
  ];
  return scripts[(session + turn) % scripts.length] ?? '';
}

test('whenever a fleet is killed, each accepted turn ends once, runs at most once, and nothing that was read changes [durable-kill]', {
  timeout: 400_000 * Math.max(1, turnsPerSession / 20),
}, async (t) => {
  const random = seededRun(t);
  await using oracle = await OracleModel.start();
  await using fleet = await RunningFleet.start({
    dataDir: newDataDir(t),
    flags: ['--storage', 'sqlite', ...oracle.flags],
  });
  using history = new KeptHistory(fleet, oracle);
  const names = Array.from({ length: sessions }, (_, session) => `killed-${session}`);
  const goOn = names.filter((_, session) => session % 2 === 1);
  for (const id of goOn) {
    const { status, text } = await fleet.client.request('POST', '/api/v1/sessions', { id, on_interrupt: 'continue' });
    assert.equal(status, 201, text);
  }

  let isOver = false;
  let hasFailed = false;
  const sending = Promise.all(
    names.map(async (name, session) => {
      for (let turn = 0; turn < turnsPerSession; turn += 1) {
        // Every third waits for its end, so that some kills fall between turns.
        await history.send(promptOf(session, turn), name, { background: turn % 3 !== 0 });
      }
    }),
  );
  sending.catch(() => (hasFailed = true)); // Awaited below.
  const watching = Promise.all(
    names.map(async (name) => {
      while (!isOver) {
        if (history.has(name)) await history.watch(name);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }),
  );
  watching.catch(() => undefined); // Awaited below.
  try {
    const goals = Array.from({ length: kills }, () => random.between(0, sessions * turnsPerSession - 1));
    for (const goal of goals.toSorted((one, other) => one - other)) {
      while (history.turns.length < goal && !hasFailed) await new Promise((resolve) => setTimeout(resolve, 10));
      await new Promise((resolve) => setTimeout(resolve, random.between(0, longestDelayMs)));
      if (!hasFailed) await fleet.restart();
    }
    await sending;
    isOver = true;
    const first = await history.settle();
    for (const name of names) await history.look(name);
    await fleet.restart();
    await watching;
    const { problems, ends, turns } = await history.settle();
    t.diagnostic(
      `${history.turns.length} turns, ${fleet.starts - 1} kills, ${JSON.stringify(ends)}, ` +
        `${turns.length - history.turns.length} of them go on with another, ` +
        `${history.seen.length} events read before, ${oracle.calls.length} calls of the model`,
    );
    const wanted = new Set(await Promise.all(goOn.map(async (name) => (await fleet.client.session(name)).id)));
    assert.deepEqual([...first.problems, ...problems, ...wrongSuccessors(turns, wanted)], []);
    assert.equal(history.turns.length, sessions * turnsPerSession);
    assert.ok((ends['interrupted'] ?? 0) > 0, 'some were killed in mid-turn');
    assert.ok(wrongSuccessors(turns, new Set()).length > 0, 'some went on');
    await marksAreThere(history, fleet);
    assertSpoiltIsSeen(history, oracle);
    recordReliability({
      fault: 'kill -9 of the whole fleet at random moments of running turns',
      count: `${fleet.starts - 1} kills, ${history.turns.length} turns`,
      result:
        `each turn ended once (${countsOf(ends)}) and ran at most once, ${turns.length - history.turns.length} were gone on with, ` +
        `${history.seen.length} events read before and after are the same bytes, files of completed turns are there once`,
      control: 'in this history: a prompt run twice, an event lost, turns without an end are each found',
    });
  } finally {
    isOver = true;
    await fleet.kill9();
    await watching.catch(() => undefined);
  }
});

/** Where it was asked for, an interrupted turn has one that goes on with it, three in a row; elsewhere none has. */
function wrongSuccessors(turns: readonly TurnResource[], wanted: ReadonlySet<string>): string[] {
  const byId = new Map(turns.map((turn) => [turn.id, turn]));
  const placeInRow = (turn: TurnResource): number => {
    const before = turn.continues === null ? undefined : byId.get(turn.continues);
    return before === undefined ? 0 : placeInRow(before) + 1;
  };
  return turns.flatMap((turn) => {
    const mayGoOn = wanted.has(turn.session_id) && turn.status === 'interrupted' && placeInRow(turn) < 3;
    const count = turns.filter(({ continues }) => continues === turn.id).length;
    return count === (mayGoOn ? 1 : 0) ? [] : [`${turn.status} turn ${turn.id} is gone on with ${count} times`];
  });
}

/** What a completed turn has written is there, once, and nothing is there twice. */
async function marksAreThere(history: KeptHistory, fleet: RunningFleet): Promise<void> {
  for (const sessionId of new Set(history.turns.map((turn) => turn.sessionId))) {
    const stdout = await commandOutput(fleet.client, sessionId, 'cat done.txt');
    const marks = [...stdout.matchAll(/turn \d+-\d+/g)].map(([mark]) => mark);
    assert.deepEqual(marks, [...new Set(marks)], 'no command ran twice');
    for (const { prompt, turnId } of history.turns.filter((turn) => turn.sessionId === sessionId)) {
      const mark = /^run: echo (\S+ \S+)/.exec(prompt)?.[1];
      if (mark === undefined || (await fleet.client.turn(sessionId, turnId)).status !== 'completed') continue;
      assert.ok(marks.includes(mark), `the file of a completed turn has lost ${mark}`);
    }
  }
}

function countsOf(ends: Readonly<Record<string, number>>): string {
  return Object.entries(ends)
    .map(([status, count]) => `${count} ${status}`)
    .join(', ');
}

/** The checks fail on this very history once something is wrong with it. */
function assertSpoiltIsSeen({ turns, seen }: KeptHistory, oracle: OracleModel): void {
  const calls = oracle.calls.filter(({ prompt }) => turns.some((turn) => turn.prompt === prompt));
  const [call] = calls;
  const [event] = seen;
  assert.ok(call !== undefined && event !== undefined);
  assert.deepEqual(promptsAtMostOnce([...calls, { ...call, codexTurn: 'another' }], turns), [
    `${JSON.stringify(call.prompt)} ran in 2 turns`,
  ]);
  const { seq, sessionId } = event;
  const lost = seen.filter((one) => one.seq !== seq || one.sessionId !== sessionId);
  assert.deepEqual([...new Set(reReadsByteIdentical(seen, lost))], [`event ${seq} of session ${sessionId} is gone`]);
  assert.equal(exactlyOneTerminal(turns, new Map(), []).length, turns.length);
}
