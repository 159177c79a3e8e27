import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatQuantity, parseQuantity } from './units.ts';

test('a quantity is a number with or without a unit of its kind, and nothing else', () => {
  const quantities: readonly [string, 'ms' | 'bytes' | null, number | null][] = [
    ['1500', 'ms', 1500],
    ['1.5s', 'ms', 1500],
    [' 5 m ', 'ms', 300_000],
    ['2H', 'ms', 7_200_000],
    ['5m', 'bytes', 5_242_880],
    ['600MB', 'bytes', 600_000_000],
    ['-3', null, -3],
    ['3s', null, null],
    ['3s', 'bytes', null],
    ['1e3', 'ms', null],
    ['0x10', null, null],
    ['', 'ms', null],
    ['soon', 'ms', null],
  ];
  for (const [text, unit, amount] of quantities) assert.equal(parseQuantity(text, unit), amount, `${text} as ${unit}`);
});

test('a quantity is shown as stored, and in the largest unit that divides it', () => {
  assert.deepEqual(
    [
      formatQuantity(90_000, 'ms'),
      formatQuantity(1_048_576, 'bytes'),
      formatQuantity(1_001, 'ms'),
      formatQuantity(0, 'ms'),
    ],
    ['90000 (90 s)', '1048576 (1 MiB)', '1001', '0'],
  );
});
