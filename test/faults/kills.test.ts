import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  exactlyOneTerminal,
  promptsAtMostOnce,
  reReadsByteIdentical,
} from '../../src/testing/faults/history-checks.ts';
import { OracleModel } from '../../src/testing/faults/oracle-model.ts';
import { newDataDir, scaled, seededRun } from './fault-scale.ts';
import { KeptHistory } from './kept-history.ts';
import { RunningFleet } from './running-fleet.ts';
import { commandOutput } from './workspace-tree.ts';

const sessions = 10;
const kills = 20;
const turnsPerSession = scaled(20);
const longestLifeMs = 1_500;

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
  timeout: 230_000 * Math.max(1, turnsPerSession / 20),
}, async (t) => {
  const random = seededRun(t);
  await using oracle = await OracleModel.start();
  await using fleet = await RunningFleet.start({
    dataDir: newDataDir(t),
    flags: ['--storage', 'sqlite', ...oracle.flags],
  });
  using history = new KeptHistory(fleet, oracle);
  const names = Array.from({ length: sessions }, (_, session) => `killed-${session}`);

  let isOver = false;
  const sending = Promise.all(
    names.map(async (name, session) => {
      for (let turn = 0; turn < turnsPerSession; turn += 1) {
        const { sessionId, turnId } = await history.send(promptOf(session, turn), name);
        // Every third is waited for, so that some kills fall between turns.
        if (turn % 3 !== 0) continue;
        for (let ended = null; ended === null && !isOver; ) {
          ended = await history.whileItLives((client) => client.turnEnded(sessionId, turnId, 30_000));
        }
      }
    }),
  );
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
    let killed = 0;
    let isSent = false;
    let hasFailed = false;
    sending.then(
      () => (isSent = true),
      () => (hasFailed = true),
    );
    while (!hasFailed && (killed < kills || (!isSent && killed < 4 * kills))) {
      await new Promise((resolve) => setTimeout(resolve, random.between(0, longestLifeMs)));
      await fleet.restart();
      killed += 1;
    }
    await sending;
    isOver = true;
    const first = await history.settle();
    for (const name of names) await history.look(name);
    await fleet.restart();
    await watching;
    const { problems, ends } = await history.settle();
    t.diagnostic(
      `${history.turns.length} turns, ${fleet.starts - 1} kills, ${JSON.stringify(ends)}, ` +
        `${history.seen.length} events read before, ${oracle.calls.length} calls of the model`,
    );
    assert.deepEqual([...first.problems, ...problems], []);
    assert.equal(history.turns.length, sessions * turnsPerSession);
    assert.ok((ends['interrupted'] ?? 0) > 0, 'some were killed in mid-turn');
    await marksAreThere(history, fleet);
    assertSpoiltIsSeen(history, oracle);
  } finally {
    isOver = true;
    await fleet.kill9();
    await watching.catch(() => undefined);
  }
});

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

/** The checks fail on this very history once something is wrong with it. */
function assertSpoiltIsSeen({ turns, seen }: KeptHistory, oracle: OracleModel): void {
  const [call] = oracle.calls;
  assert.ok(call !== undefined);
  assert.equal(promptsAtMostOnce([...oracle.calls, { ...call, codexTurn: 'another' }], turns).length > 0, true);
  assert.equal(reReadsByteIdentical(seen, seen.slice(1)).length > 0, true);
  assert.equal(exactlyOneTerminal(turns, new Map(), []).length, turns.length);
}
