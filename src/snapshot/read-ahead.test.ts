import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readAhead } from './read-ahead.ts';

type Asked = { readonly item: number; readonly answer: (text: string) => void; readonly fail: (error: Error) => void };

function reading(items: readonly number[], bounds: { maxReads: number; maxBytes: number }) {
  const asked: Asked[] = [];
  const ahead = readAhead(
    items,
    (bytes) => bytes,
    (item) => new Promise<string>((answer, fail) => asked.push({ item, answer, fail })),
    bounds,
  );
  return { asked, ahead };
}

test('so many are asked for at once, and another only when the first was taken and let go', async () => {
  const { asked, ahead } = reading([1, 2, 3, 4, 5], { maxReads: 3, maxBytes: 100 });
  const first = ahead.next();
  assert.deepEqual(
    asked.map(({ item }) => item),
    [1, 2, 3],
  );
  // Answers that come early wait their turn, and count.
  asked[1]?.answer('two');
  asked[2]?.answer('three');
  await Promise.resolve();
  assert.equal(asked.length, 3);
  asked[0]?.answer('one');
  assert.deepEqual((await first).value, [1, 'one']);
  assert.equal(asked.length, 3);
  assert.deepEqual((await ahead.next()).value, [2, 'two']);
  assert.equal(asked.length, 4);
});

test('their bytes are bounded, and one that is larger is read alone', async () => {
  const { asked, ahead } = reading([60, 40, 1, 200, 5], { maxReads: 10, maxBytes: 100 });
  const items = (): number[] => asked.map(({ item }) => item);
  const taken: unknown[] = [];
  let pending = ahead.next();
  const take = async (index: number): Promise<void> => {
    asked[index]?.answer(String(index));
    taken.push((await pending).value);
    pending = ahead.next();
  };
  assert.deepEqual(items(), [60, 40]);
  await take(0);
  assert.deepEqual(items(), [60, 40, 1]);
  await take(1);
  assert.deepEqual(items(), [60, 40, 1]);
  await take(2);
  assert.deepEqual(items(), [60, 40, 1, 200]);
  await take(3);
  assert.deepEqual(items(), [60, 40, 1, 200, 5]);
  await take(4);
  assert.equal((await pending).done, true);
  assert.deepEqual(
    taken,
    [60, 40, 1, 200, 5].map((item, index) => [item, String(index)]),
  );
});

test('a failure comes in its turn, and those behind it end unheard', async () => {
  const { asked, ahead } = reading([1, 2, 3], { maxReads: 3, maxBytes: 100 });
  const first = ahead.next();
  asked[1]?.fail(new Error('the second'));
  asked[2]?.fail(new Error('the third'));
  asked[0]?.answer('one');
  assert.deepEqual((await first).value, [1, 'one']);
  await assert.rejects(ahead.next(), /the second/);
  assert.equal((await ahead.next()).done, true);
});
