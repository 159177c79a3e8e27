import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { CRC32C, Storage } from '@google-cloud/storage';
import { createSilentLogger } from '../../observability/logger.ts';
import { SystemClock } from '../../observability/system-clock.ts';
import { snapshotStoreSuite } from '../../testing/contract-suites/snapshot-store-suite.ts';
import { GcsServer } from '../../testing/gcs-server.ts';
import { crc32c, crc32cText } from './crc32c.ts';
import { GcsSnapshotStore, type GcsSnapshotStoreOptions } from './gcs-snapshot-store.ts';

const key = { tenant: 'acme', sessionId: '019f0000-0000-7000-8000-000000000001' };
const kib = 1024;

function openStore(server: GcsServer, options: Partial<GcsSnapshotStoreOptions> = {}): Promise<GcsSnapshotStore> {
  return GcsSnapshotStore.open({
    project: null,
    bucket: 'fleet',
    prefix: 'codex-fleet',
    apiEndpoint: server.url,
    timeoutMs: 5_000,
    clock: new SystemClock(),
    logger: createSilentLogger(),
    ...options,
  });
}

async function withStore(
  run: (store: GcsSnapshotStore, server: GcsServer) => Promise<void>,
  options: Partial<GcsSnapshotStoreOptions> = {},
): Promise<void> {
  await using server = await GcsServer.start({ bucket: 'fleet', dir: null });
  const store = await openStore(server, options);
  try {
    await run(store, server);
    assert.equal(server.authorizations, 0);
  } finally {
    await store.close();
  }
}

for (const chunkBytes of [8 * kib * kib, 256 * kib]) {
  snapshotStoreSuite(`the Cloud Storage store (chunks of ${chunkBytes / kib} KiB)`, async () => {
    const server = await GcsServer.start({ bucket: 'fleet', dir: null });
    const adapter = await openStore(server, { chunkBytes });
    const close = async (): Promise<void> => {
      await adapter.close();
      await server.stop();
    };
    return { adapter, close };
  });
}

test('checksums are those of the client library, however the octets come', () => {
  for (const length of [0, 1, 7, 8, 9, 1_000, 65_537]) {
    const bytes = randomBytes(length);
    const theirs = new CRC32C();
    theirs.update(bytes);
    const half = Math.floor(length / 3);
    const ours = crc32c(bytes.subarray(half), crc32c(bytes.subarray(0, half)));
    assert.equal(crc32cText(ours), theirs.toString(), String(length));
  }
});

test('the client library reads what we write, and we what it writes', async () => {
  await withStore(
    async (store, server) => {
      const bucket = new Storage({ apiEndpoint: server.url, projectId: 'p' }).bucket('fleet');
      const small = randomBytes(1_000);
      const large = randomBytes(700 * kib);
      await store.put(key, 'small', [small]);
      await store.put(key, 'large', [large]);
      const root = `codex-fleet/acme/${key.sessionId}/`;
      assert.deepEqual((await bucket.file(`${root}small`).download())[0], small);
      assert.deepEqual((await bucket.file(`${root}large`).download())[0], large);
      const [files] = await bucket.getFiles({ prefix: root });
      assert.deepEqual(
        files.map(({ name }) => name),
        [`${root}large`, `${root}small`],
      );
      await bucket.file(`${root}theirs`).save(small, { resumable: false, preconditionOpts: { ifGenerationMatch: 0 } });
      await bucket.file(`${root}chunked`).save(large, { resumable: true, chunkSize: 256 * kib });
      assert.deepEqual(Buffer.from((await store.read(key, 'theirs')) ?? []), small);
      assert.deepEqual(Buffer.from((await store.read(key, 'chunked')) ?? []), large);
      await bucket.file(`${root}theirs`).delete();
      assert.equal(await store.read(key, 'theirs'), null);
    },
    { chunkBytes: 256 * kib },
  );
});

test('a put of many chunks keeps every octet, at every border', async () => {
  await withStore(
    async (store, server) => {
      for (const bytes of [256 * kib - 1, 256 * kib, 256 * kib + 1, 512 * kib, 1_000 * kib]) {
        const content = randomBytes(bytes);
        await store.put(key, `object-${bytes}`, [content]);
        const read = await store.read(key, `object-${bytes}`);
        assert.equal(sha(read), sha(content), String(bytes));
      }
      assert.equal(server.bucket.unfinished, 0);
      assert.equal(server.counts.get('insert'), 2);
      assert.equal(server.counts.get('begin'), 3);
    },
    { chunkBytes: 256 * kib },
  );
});

test('long lists come page by page, and so does an erasure', async () => {
  await withStore(async (store, server) => {
    const names = Array.from({ length: 1_203 }, (_, index) => `object-${String(index).padStart(5, '0')}`);
    for (const name of names) {
      const upload = server.bucket.begin({
        name: `codex-fleet/acme/${key.sessionId}/${name}`,
        contentType: 'x/y',
        metadata: {},
        crc32c: null,
        ifGenerationMatch: null,
      });
      if ('id' in upload) server.bucket.finish(upload, null);
    }
    assert.deepEqual(
      (await store.list(key)).map(({ name }) => name),
      names,
    );
    assert.equal(server.counts.get('list'), 2);
    await store.erase(key);
    assert.deepEqual(server.bucket.names, []);
  });
});

test('sessions of many tenants are named page by page, what is none of ours is not', async () => {
  await withStore(async (store, server) => {
    const make = (name: string): void => {
      const upload = server.bucket.begin({
        name,
        contentType: '',
        metadata: {},
        crc32c: null,
        ifGenerationMatch: null,
      });
      if ('id' in upload) server.bucket.finish(upload, null);
    };
    for (let index = 0; index < 2_100; index += 1) make(`codex-fleet/acme/session-${index}/one`);
    for (const strange of [
      'codex-fleet/stray',
      'codex-fleet/acme/stray',
      'other/acme/s/one',
      'codex-fleet/a.b/s/one',
    ]) {
      make(strange);
    }
    const named = new Set<string>();
    for await (const { tenant, sessionId } of store.sessions()) named.add(`${tenant} ${sessionId}`);
    assert.equal(named.size, 2_100);
    assert.equal(
      [...named].every((one) => one.startsWith('acme session-')),
      true,
    );
  });
});

test('each operation is counted as it is billed', async () => {
  const counted = { class_a: 0, class_b: 0, free: 0 };
  await withStore(
    async (store) => {
      await store.put(key, 'one', [Buffer.from('1')]);
      await store.put(key, 'two', [randomBytes(300 * kib)]);
      await store.read(key, 'one');
      await store.read(key, 'absent');
      await store.list(key);
      await store.remove(key, ['one']);
      // Chunks belong to the upload that began; who looks at the bucket at the start reads once.
      assert.deepEqual(counted, { class_a: 3, class_b: 2, free: 3 });
    },
    { chunkBytes: 256 * kib, onOperations: (kind, count) => (counted[kind] += count) },
  );
});

test('what a closed store is asked is store_unavailable, and what it was doing ends at once', async () => {
  await withStore(async (store, server) => {
    server.faults.add({ on: ['list'], act: 'hang' });
    const hanging = store.list(key);
    const ended = assert.rejects(hanging, { code: 'store_unavailable' });
    await new Promise((resolve) => setImmediate(resolve));
    await store.close();
    await ended;
    await assert.rejects(store.list(key), { code: 'store_unavailable' });
  });
});

function sha(bytes: Uint8Array | null): string {
  return createHash('sha256')
    .update(bytes ?? 'null')
    .digest('hex');
}
