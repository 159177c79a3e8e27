import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../src/testing/faults/seeded-random.ts';
import { trendOf } from './trend.ts';

const steps = 67;

function noisy(seed: number, slope: number, spread: number): number[] {
  const random = seededRandom(seed);
  return Array.from({ length: steps }, (_, step) => 1000 + slope * step + spread * (random.next() - 0.5));
}

test('noise has no trend, a leak in the same noise has one, and its slope is found', () => {
  const verdicts = Array.from({ length: 50 }, (_, seed) => {
    const still = trendOf(noisy(seed, 0, 20));
    const leaking = trendOf(noisy(seed, 0.5, 20));
    return {
      alarm: still.slope > still.noise,
      found: leaking.slope > leaking.noise,
      isNear: Math.abs(leaking.slope - 0.5) < 0.2,
    };
  });
  assert.ok(verdicts.filter(({ alarm }) => alarm).length <= 1);
  assert.equal(verdicts.filter(({ found }) => found).length, 50);
  assert.equal(verdicts.filter(({ isNear }) => isNear).length, 50);
});

test('a burst of high values at the end is no leak: it tilts the slope by less than a tenth of what a line would', () => {
  const values = noisy(1, 0, 2).map((value, step) => (step > steps - 6 ? value + 500 : value));
  assert.ok(trendOf(values).slope < 0.05, `${trendOf(values).slope}`);
});
