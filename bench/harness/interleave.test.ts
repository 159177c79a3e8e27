import assert from 'node:assert/strict';
import test from 'node:test';
import { interleave } from './interleave.ts';

test('each variant runs equally often in every round, and warm-ups leave no samples', async () => {
  const calls: string[] = [];
  const variant = (name: string) => async (): Promise<number[]> => {
    calls.push(name);
    return [calls.length];
  };
  const rounds = await interleave({ a: variant('a'), b: variant('b') }, { rounds: 3, runsPerRound: 2, warmUps: 1 });
  assert.deepEqual(calls.toSorted().join(''), 'aaaaaaabbbbbbb');
  assert.deepEqual(
    rounds.a.map((samples) => samples.length),
    [2, 2, 2],
  );
  // In each pair of runs both had their turn: neither has the quiet part of the machine to itself.
  for (let at = 0; at < calls.length; at += 2) assert.notEqual(calls[at], calls[at + 1]);
});
