import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dollarsOf, googlePrices, hoursOfMonth, pricesInWords } from './google-prices.ts';

const nothing = { reads: 0, writes: 0, deletes: 0, class_a: 0, class_b: 0 };
const million = 1_000_000;

test('a million of each kind costs what the price list says', () => {
  const each = (kind: keyof typeof nothing): number => Number(dollarsOf({ ...nothing, [kind]: million }).toFixed(6));
  assert.deepEqual(
    { reads: each('reads'), writes: each('writes'), deletes: each('deletes'), a: each('class_a'), b: each('class_b') },
    { reads: 0.3, writes: 0.9, deletes: 0.1, a: 5, b: 0.4 },
  );
  assert.equal(dollarsOf(nothing), 0);
});

test('costs add up', () => {
  assert.equal(
    Number(
      dollarsOf({ reads: 2 * million, writes: million, deletes: 0, class_a: million, class_b: million }).toFixed(6),
    ),
    0.6 + 0.9 + 5 + 0.4,
  );
});

test('two reads a second come to a month of reads', () => {
  const reads = 2 * 3_600 * hoursOfMonth;
  assert.equal(dollarsOf({ ...nothing, reads }).toFixed(2), '1.58');
});

test('each price says when and where it was read', () => {
  for (const { readOn, source } of Object.values(googlePrices)) {
    assert.match(readOn, /^\d{4}-\d\d-\d\d$/);
    assert.match(source, /^https:\/\/(cloud|firebase)\.google\.com\//);
    assert.ok(pricesInWords().includes(`${readOn} (${source})`));
  }
});
