import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeyOrder } from './key-order.ts';

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('what is done to one thing is done in the order of asking, also behind what failed; others do not wait', async () => {
  const order = new KeyOrder();
  const told: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = order.run('a', async () => {
    told.push('a begins');
    await gate.promise;
    told.push('a ends');
    throw new Error('failed');
  });
  const second = order.run('a', async () => void told.push('a again'));
  await order.run('b', async () => void told.push('b'));
  await settled();
  assert.deepEqual([told, order.size], [['a begins', 'b'], 1]);
  gate.resolve();
  await assert.rejects(first, /failed/);
  await second;
  assert.deepEqual(told, ['a begins', 'b', 'a ends', 'a again']);
  await settled();
  assert.equal(order.size, 0, 'nothing is remembered of what is over');
});
