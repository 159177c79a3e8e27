import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from './seeded-random.ts';

test('a seed gives the same numbers again, another seed others, all within their bounds', () => {
  const numbers = (seed: number): number[] => {
    const random = seededRandom(seed);
    return Array.from({ length: 1000 }, () => random.between(1, 6));
  };
  assert.deepEqual(numbers(7), numbers(7));
  assert.notDeepEqual(numbers(7), numbers(8));
  assert.deepEqual(new Set(numbers(7)), new Set([1, 2, 3, 4, 5, 6]));
});
