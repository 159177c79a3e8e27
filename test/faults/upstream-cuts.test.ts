import assert from 'node:assert/strict';
import { test } from 'node:test';
import { liveTextEquals } from '../../src/testing/faults/history-checks.ts';
import { OracleModel, type AnswerFault } from '../../src/testing/faults/oracle-model.ts';
import { words } from '../e2e/event-checks.ts';
import { newDataDir } from './fault-scale.ts';
import { recordReliability } from './reliability-record.ts';
import { RunningFleet } from './running-fleet.ts';

const positions = 20;
const cutKinds = ['cut', 'eof'] as const;

test('an answer of the model cut at each of 20 deltas doubles no character [text-undoubled]', async (t) => {
  // The first call of each prompt is spoilt as its number says; Codex asks again.
  const seen = new Set<string>();
  await using oracle = await OracleModel.start({
    fault: ({ prompt }) => {
      const match = /^stream: (\d+) words\nwait: (\d+) ms$/.exec(prompt);
      if (match === null || seen.has(prompt)) return null;
      seen.add(prompt);
      const index = Number(match[2]) - 1;
      return { kind: cutKinds[Math.floor(index / positions)] ?? 'cut', afterDeltas: (index % positions) + 1 };
    },
  });
  await using fleet = await RunningFleet.start({ dataDir: newDataDir(t), flags: oracle.flags });
  const { client } = fleet;
  const cases = cutKinds.length * positions;
  const outcomes = await Promise.all(
    Array.from({ length: cases }, async (_, index) => {
      const prompt = `stream: ${positions + 4} words\nwait: ${index + 1} ms`;
      const { body, text } = await client.exec({ prompt });
      const events = await client.pages(body.session_id);
      return { index, body, text, events, calls: oracle.callsOf(prompt).length };
    }),
  );
  const superseded = outcomes.filter(({ events }) => events.some(({ type }) => type === 'item.superseded')).length;
  t.diagnostic(`${cases} answers cut, ${oracle.spoiltAnswers} really, ${superseded} items superseded`);
  for (const { index, body, text, events, calls } of outcomes) {
    const what = `${cutKinds[Math.floor(index / positions)]} behind delta ${(index % positions) + 1}`;
    assert.equal(body.status, 'completed', `${what}: ${text}`);
    assert.equal(calls, 2, `${what}: ${calls} calls`);
    // The demo model ends a script that ends with a wait by a word of its own.
    assert.deepEqual(liveTextEquals(`${words(positions + 4)}Done.`, events), [], what);
    assert.equal(body.stdout, 'Done.');
    const unsaid = events.filter(({ type }) => type !== 'item.superseded');
    assert.equal(
      liveTextEquals(`${words(positions + 4)}Done.`, unsaid).length,
      1,
      `${what}: without the word of it, text doubles`,
    );
  }
  assert.equal(superseded, cases);
  recordReliability({
    fault: 'an answer of the model cut at each of its first 20 deltas, by a reset and by an early end',
    count: `${cases} answers`,
    result: `all completed, each asked again once; ${superseded} items superseded, no character doubled`,
    control: 'without the word that an item is superseded the text doubles, and that is found',
  });
});

test('a model that never sends headers, or stops in mid-answer, ends its turn in time [turn-timeout]', async (t) => {
  const faults: Readonly<Record<string, AnswerFault>> = {
    'say: no headers': { kind: 'no_headers' },
    'stream: 30 words': { kind: 'stall', afterDeltas: 7 },
  };
  await using oracle = await OracleModel.start({ fault: ({ prompt }) => faults[prompt] ?? null });
  await using fleet = await RunningFleet.start({ dataDir: newDataDir(t), flags: oracle.flags });
  const { client } = fleet;
  const timeoutMs = 1_500;
  const answers = await Promise.all(
    Object.keys(faults).map((prompt) => client.exec({ prompt, session_id: prompt.slice(0, 3), timeout_ms: timeoutMs })),
  );
  for (const { body, text, elapsedMs } of answers) {
    assert.deepEqual([body.status, body.exit_code, body.error?.code], ['timed_out', 124, 'turn_timed_out'], text);
    assert.ok(elapsedMs >= timeoutMs && elapsedMs < timeoutMs + 8_000, `answered after ${Math.round(elapsedMs)} ms`);
  }
  assert.equal(oracle.spoiltAnswers, 2);
  await client.completed('say: it goes on', 'say');
  recordReliability({
    fault: 'a model that sends no headers, or stops in mid-answer',
    count: `${answers.length} turns`,
    result: `timed out within ${Math.round(Math.max(...answers.map(({ elapsedMs }) => elapsedMs)))} ms (limit ${timeoutMs} ms); the session goes on`,
    control: 'the model counts the answers that it spoilt',
  });
});
