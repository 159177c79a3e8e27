import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FirestoreProxy } from '../../testing/firestore-proxy.ts';
import { firestoreStores } from '../../testing/firestore-stores.ts';
import { deliveryRecord, turnRecord } from '../../testing/stored-records.ts';

const stores = firestoreStores();
const { skip } = stores;
const { sessionId } = turnRecord();

function idOf(number: number): string {
  return `019f0000-0000-7000-8000-${String(number).padStart(12, '0')}`;
}

test('a page of forty records of two megabytes is read in few requests, in time and without holding much more', {
  skip,
}, async (t) => {
  const options = { prefix: 'large', timeoutMs: 60_000 };
  const { turns } = await stores.open(options);
  const text = 'x'.repeat(2_000_000);
  const count = 40;
  for (let number = 0; number < count; number++) {
    await turns.create(turnRecord({ id: idOf(number), prompt: `${number} ${text}`, createdAt: 1_000 + number }));
  }
  const beforeBytes = process.memoryUsage().rss;
  let mostBytes = 0;
  const watch = setInterval(() => (mostBytes = Math.max(mostBytes, process.memoryUsage().rss)), 20);
  const startMs = performance.now();
  const { data, hasMore } = await turns.list('acme', sessionId, { after: null, limit: count, order: 'asc' });
  clearInterval(watch);
  const tookMs = Math.round(performance.now() - startMs);
  const grownMiB = Math.round((mostBytes - beforeBytes) / 2 ** 20);
  t.diagnostic(`${tookMs} ms, ${grownMiB} MiB more`);
  assert.equal(hasMore, false);
  assert.deepEqual(
    data.map(({ prompt }) => prompt.split(' ')[0]),
    Array.from({ length: count }, (_, number) => String(number)),
  );
  assert.ok(data.every(({ prompt }) => prompt.endsWith(text)));
  assert.ok(tookMs < 30_000, `${tookMs} ms`);
  assert.ok(grownMiB < 600, `${grownMiB} MiB`);

  // Two parts each: sixteen in a request.
  const proxy = await FirestoreProxy.start((await stores.emulator()).host);
  t.after(() => proxy.stop());
  let requests = 0;
  proxy.faultOf = (method, request) => {
    if (method === 'BatchGetDocuments' && request.includes('large-parts')) requests++;
    return null;
  };
  const proxied = await stores.open({ ...options, emulatorHost: proxy.host });
  await proxied.turns.list('acme', sessionId, { after: null, limit: 16, order: 'asc' });
  assert.equal(requests, 2);
});

test('large and small records, and one that goes while it is read, come in their order', { skip }, async () => {
  const records = await stores.open({ prefix: 'mixed' });
  const { deliveries } = records;
  const sizes = [1, 2_000_000, 1, 1, 3_000_000, 1_000_000, 1];
  for (const [number, size] of sizes.entries()) {
    const data = 'y'.repeat(size);
    await deliveries.create(deliveryRecord({ id: idOf(number), order: number + 1, data, createdAt: 1_000 + number }));
  }
  const lane = deliveryRecord().lane;
  const ids = async (limit: number): Promise<string[]> =>
    (await deliveries.listLane('acme', lane, limit)).map(({ id }) => id);
  assert.deepEqual(
    await ids(10),
    sizes.map((_, number) => idOf(number)),
  );
  const erasing = deliveries.erase('acme', idOf(4));
  const found = await ids(10);
  await erasing;
  const left = sizes.flatMap((_, number) => (number === 4 ? [] : [idOf(number)]));
  assert.deepEqual(
    found.filter((id) => id !== idOf(4)),
    left,
  );
  assert.deepEqual(await ids(10), left);
});
