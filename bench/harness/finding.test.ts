import assert from 'node:assert/strict';
import test from 'node:test';
import { compare, type Comparison, level, verdictOf } from './finding.ts';

const comparison: Omit<Comparison, 'rounds'> = {
  what: 'added',
  unit: 'ms',
  quantile: 0.5,
  as: 'added',
  bar: { atMost: 2 },
};

test('a difference within the bar is met, and beyond it missed', () => {
  const baseline = [
    [1, 1, 1],
    [5, 5, 5],
    [1, 1, 1],
  ];
  const control = baseline;
  const met = compare({
    ...comparison,
    rounds: {
      baseline,
      control,
      ours: [
        [2, 2, 2],
        [6, 6, 6],
        [2, 2, 2],
      ],
    },
  });
  const missed = compare({ ...comparison, rounds: { baseline, control, ours: [[4], [8], [4]] } });
  assert.deepEqual([met.value, verdictOf(met)], [1, 'met']);
  assert.deepEqual([missed.value, verdictOf(missed)], [3, 'missed']);
});

test('where the baseline differs from itself by more than the tolerance nothing is said of the bar', () => {
  const rounds = { baseline: [[1]], control: [[1.6]], ours: [[1]] };
  assert.equal(verdictOf(compare({ ...comparison, rounds })), 'inconclusive');
  assert.equal(verdictOf(compare({ ...comparison, rounds, tolerance: 1 })), 'met');
});

test('a control that is right by chance, its rounds all over the place, proves nothing either', () => {
  const baseline = [[1], [1], [1], [1]];
  const rounds = { baseline, control: [[5], [9], [-3], [-7]], ours: baseline };
  const finding = compare({ ...comparison, rounds });
  assert.deepEqual([finding.control, verdictOf(finding)], [0, 'inconclusive']);
});

test('samples that are missing are no proof', () => {
  const rounds = { baseline: [[]], control: [[]], ours: [[1]] };
  assert.equal(verdictOf(compare({ ...comparison, rounds })), 'inconclusive');
});

test('a ratio says how many times faster ours is', () => {
  const rounds = { baseline: [[100], [90]], control: [[101], [90]], ours: [[20], [30]] };
  const finding = compare({ ...comparison, rounds, as: 'times', bar: { atLeast: 4 } });
  assert.deepEqual([finding.value, verdictOf(finding)], [4, 'met']);
});

test('a tail is taken over the samples of all rounds', () => {
  const calm = Array.from({ length: 100 }, () => 1);
  const ours = [calm, [...calm.slice(1), 50]];
  const finding = compare({
    ...comparison,
    quantile: 0.99,
    rounds: { baseline: [calm, calm], control: [calm, calm], ours },
  });
  assert.equal(finding.value, 0);
});

test('a level is judged by all that was measured, and doubted when it does not repeat', () => {
  const bar = { atMost: 20 };
  const steady = level({ what: 'memory', unit: 'KiB', ours: [10, 12], control: [11, 13], bar });
  const jumping = level({ what: 'memory', unit: 'KiB', ours: [10, 12], control: [30, 33], bar });
  assert.deepEqual([steady.value, verdictOf(steady)], [11.5, 'met']);
  assert.equal(verdictOf(jumping), 'inconclusive');
});
