import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseQuantity } from './quantity.ts';

test('quantities of Kubernetes are numbers of cores and bytes', () => {
  const quantities = ['250m', '1', 2, '1.5', '.5', '512Mi', '2Gi', '1k', '3G', '1Ti', '0'];
  assert.deepEqual(quantities.map(parseQuantity), [
    0.25,
    1,
    2,
    1.5,
    0.5,
    536_870_912,
    2_147_483_648,
    1_000,
    3e9,
    1024 ** 4,
    0,
  ]);
});

test('what Kubernetes would not take is refused', () => {
  for (const wrong of ['', 'two', '2GB', '-1', '1 Gi', '0x10', 'm', '1.2.3']) {
    assert.throws(() => parseQuantity(wrong), /is no quantity/, wrong);
  }
});
