import assert from 'node:assert/strict';
import { test } from 'node:test';
import { growth, median, othersPerTurn, type Started } from './measures.ts';

test('growth is found under noise, and noise is no growth', () => {
  const noise = [3, -2, 4, -1, 0, 2, -3, 1, -4, 2, 3, -1, 0, -2, 4, 1];
  assert.ok(Math.abs(growth(noise.map((n) => 100 + n))) < 4);
  assert.ok(Math.abs(growth([...noise.map((n) => 100 + n), 400])) < 6, 'one outlier is none');
  assert.ok(growth(noise.map((n, index) => 100 + n + 5 * index)) > 60);
  assert.equal(median([5, 1, 3]), 3);
});

test('a queue that is fair passes, one in the order of coming does not', () => {
  const coming = [...Array.from({ length: 40 }, () => 'greedy'), ...Array.from({ length: 4 }, () => 'polite')];
  const inOrder = (order: readonly string[]): Started[] =>
    order.map((tenant, index) => ({ tenant, createdAtMs: 0, startedAtMs: 10 + index }));
  const fair = [
    ...Array.from({ length: 4 }, () => ['greedy', 'polite']).flat(),
    ...Array.from({ length: 36 }, () => 'greedy'),
  ];
  assert.ok(Math.max(...othersPerTurn(inOrder(fair), 'polite', 2)) <= 1);
  assert.ok(Math.max(...othersPerTurn(inOrder(coming), 'polite', 2)) > 30);
});
