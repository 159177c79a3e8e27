import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { ServiceError } from '../../core/errors.ts';
import { createSilentLogger } from '../../observability/logger.ts';
import { SystemClock } from '../../observability/system-clock.ts';
import type { GcsFault, GcsOperation } from '../../testing/gcs-faults.ts';
import { GcsServer } from '../../testing/gcs-server.ts';
import { GcsSnapshotStore, type GcsSnapshotStoreOptions } from './gcs-snapshot-store.ts';

const key = { tenant: 'acme', sessionId: '019f0000-0000-7000-8000-000000000001' };
const kib = 1024;
/** For calls that are to succeed, on a busy machine too; and for those that are to fail. */
const patientMs = 4_000;
const timeoutMs = 600;
const small = randomBytes(2_000);
const large = randomBytes(900 * kib);

function openStore(server: GcsServer, options: Partial<GcsSnapshotStoreOptions> = {}): Promise<GcsSnapshotStore> {
  return GcsSnapshotStore.open({
    project: null,
    bucket: 'fleet',
    prefix: 'codex-fleet',
    apiEndpoint: server.url,
    timeoutMs: patientMs,
    clock: new SystemClock(),
    logger: createSilentLogger(),
    chunkBytes: 256 * kib,
    ...options,
  });
}

type Tried = { readonly store: GcsSnapshotStore; readonly server: GcsServer };

async function withStore(
  run: (tried: Tried) => Promise<void>,
  options: Partial<GcsSnapshotStoreOptions> = {},
): Promise<void> {
  await using server = await GcsServer.start({ bucket: 'fleet', dir: null });
  const store = await openStore(server, options);
  try {
    await run({ store, server });
  } finally {
    await store.close();
  }
}

type Attempted = { readonly call: GcsOperation; readonly run: (tried: Tried) => Promise<unknown> };

/** Each of them meets the fault at that call of the server. */
const attempts: readonly Attempted[] = [
  { call: 'insert', run: ({ store }) => store.put(key, 'new', [small]) },
  { call: 'begin', run: ({ store }) => store.put(key, 'new', [large]) },
  { call: 'chunk', run: ({ store }) => store.put(key, 'new', [large]) },
  {
    call: 'media',
    run: async ({ store }) => assert.deepEqual(Buffer.from((await store.read(key, 'one')) ?? []), small),
  },
  { call: 'get', run: ({ store }) => store.read(key, 'one', { offset: 0, length: 0 }) },
  { call: 'list', run: ({ store }) => store.list(key) },
  { call: 'delete', run: ({ store }) => store.remove(key, ['one']) },
  { call: 'list', run: ({ store }) => store.erase(key) },
  {
    call: 'list',
    run: async ({ store }) => {
      for await (const _ of store.sessions()) continue;
    },
  },
];

/** An object under the new name is whole, and made once. */
function assertWhole({ server }: Tried): void {
  const found = server.bucket.get(`codex-fleet/acme/${key.sessionId}/new`);
  if (found === null) return;
  const content = server.bucket.content(found, 0, found.size);
  assert.ok(content.equals(small) || content.equals(large), 'a torn object is visible');
}

const passing: readonly { readonly name: string; readonly act: GcsFault['act'] }[] = [
  ...[408, 429, 500, 502, 503, 504].map((status) => ({ name: String(status), act: { status } })),
  { name: '403 rateLimitExceeded', act: { status: 403, reason: 'rateLimitExceeded' } },
  { name: 'a cut connection', act: 'cut' },
  { name: 'a hanging call', act: 'hang' },
];

for (const when of ['before', 'after'] as const) {
  test(`what passes is asked again (${when} it was done): each operation succeeds, and nothing is doubled or torn`, async () => {
    for (const { name, act } of passing) {
      await Promise.all(
        attempts.map(({ call, run }) =>
          withStore(async (tried) => {
            await tried.store.put(key, 'one', [small]);
            tried.server.faults.add({ on: [call], when, act });
            await run(tried).catch((error: unknown) => {
              throw new Error(`${name} at ${call}`, { cause: error });
            });
            assert.equal(tried.server.faults.left, 0, `${name} at ${call} was not met`);
            assertWhole(tried);
          }),
        ),
      );
    }
  });
}

const lasting = passing.filter(({ name }) => !/^(408|50[024])$/.test(name));

test('what does not pass is store_unavailable within the deadline, and a write that failed is not listed', async () => {
  for (const when of ['before', 'after'] as const) {
    for (const { name, act } of lasting) {
      await Promise.all(
        attempts.map(({ call, run }) =>
          withStore(
            async (tried) => {
              await tried.store.put(key, 'one', [small]);
              tried.server.faults.add({
                on: [call, ...(call === 'chunk' ? ['status' as const] : [])],
                when,
                act,
                times: 10_000,
              });
              const startedMs = performance.now();
              await assert.rejects(run(tried), { code: 'store_unavailable' }, `${name} at ${call}`);
              const tookMs = performance.now() - startedMs;
              assert.ok(tookMs < timeoutMs * 2, `${name} at ${call} took ${tookMs} ms`);
              tried.server.faults.clear();
              assert.deepEqual(
                tried.server.bucket.names.filter((one) => one.endsWith('/new')),
                [],
                `${name} ${when} ${call}`,
              );
            },
            { timeoutMs },
          ),
        ),
      );
    }
  }
});

test('a refusal names the permission and the role, and is not asked again', async () => {
  for (const status of [401, 403]) {
    for (const { call, run } of attempts) {
      await withStore(async (tried) => {
        await tried.store.put(key, 'one', [small]);
        const before = tried.server.counts.get(call) ?? 0;
        tried.server.faults.add({ on: [call], act: { status, reason: 'forbidden' } });
        await assert.rejects(run(tried), (error: ServiceError) => {
          assert.equal(error.code, 'store_unavailable');
          assert.deepEqual([error.details['reason'], error.details['status']], ['refused', status]);
          assert.match(String(error.details['missing']), /^storage\.objects\.(create|get|list|delete)$/);
          assert.match(error.message, /roles\/storage\.objectUser/);
          return true;
        });
        assert.equal((tried.server.counts.get(call) ?? 0) - before, 1, `${status} at ${call}`);
      });
    }
  }
});

test('a bucket that went away is no_bucket, and no object passes for absent by it', async () => {
  for (const { call, run } of attempts) {
    await withStore(async (tried) => {
      await tried.store.put(key, 'one', [small]);
      tried.server.faults.add({
        on: [call, 'permissions'],
        act: { status: 404, message: 'The specified bucket does not exist.', reason: 'notFound' },
        times: 9,
      });
      // An upload that is under way is lost by a 404; whose it was is not asked.
      const reason = call === 'chunk' ? /upload_lost/ : /no_bucket/;
      await assert.rejects(run(tried), (error: ServiceError) => reason.test(String(error.details['reason'])), call);
    });
  }
});

test('an answer that makes no sense is store_unavailable at once', async () => {
  for (const { call, run } of attempts) {
    await withStore(async (tried) => {
      await tried.store.put(key, 'one', [small]);
      tried.server.faults.add({ on: [call], act: { status: 418 } });
      await assert.rejects(run(tried), { code: 'store_unavailable' }, call);
    });
  }
});

test("our own write is known when its answer was lost; another's is store_conflict and stays", async () => {
  for (const content of [small, large]) {
    await withStore(async ({ store, server }) => {
      const last = content === small ? ({ on: ['insert'] } as const) : ({ on: ['chunk'], skip: 3 } as const);
      server.faults.add({ ...last, when: 'after', act: 'cut' });
      await store.put(key, 'one', [content]);
      assert.equal(server.faults.left, 0);
      await assert.rejects(store.put(key, 'one', [randomBytes(10)]), { code: 'store_conflict' });
      await assert.rejects(store.put(key, 'one', [randomBytes(700 * kib)]), { code: 'store_conflict' });
      assert.deepEqual(Buffer.from((await store.read(key, 'one')) ?? []), content);
    });
  }
});

test('a large write whose name another takes meanwhile is store_conflict, and changes nothing', async () => {
  await withStore(async ({ store, server }) => {
    async function* content(): AsyncGenerator<Uint8Array> {
      yield large.subarray(0, 600 * kib);
      await store.put(key, 'one', [small]);
      yield large.subarray(600 * kib);
    }
    await assert.rejects(store.put(key, 'one', content()), { code: 'store_conflict' });
    assert.deepEqual(Buffer.from((await store.read(key, 'one')) ?? []), small);
    assert.equal(server.bucket.unfinished, 0);
  });
});

test('an upload goes on from where the server stands, and repeats no more than the chunk', async () => {
  await withStore(async ({ store, server }) => {
    const content = randomBytes(5 * 1024 * kib);
    await store.put(key, 'whole', [content]);
    server.counts.clear();
    server.faults.add({ on: ['chunk'], skip: 1, act: 'cut' });
    server.faults.add({ on: ['chunk'], skip: 4, act: { status: 503 } });
    server.faults.add({ on: ['chunk'], skip: 6, when: 'after', act: 'cut' });
    await store.put(key, 'broken', [content]);
    assert.deepEqual(Buffer.from((await store.read(key, 'broken')) ?? []), content);
    assert.equal(server.counts.get('begin'), 1);
    assert.equal(server.counts.get('status'), 3);
    assert.ok((server.counts.get('chunk') ?? 0) <= 22);
  });
});

test('content that fails in mid-upload cancels it: nothing is listed, nothing is left unfinished', async () => {
  await withStore(async ({ store, server }) => {
    const broken = new Error('cannot be read');
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield large;
      throw broken;
    }
    await assert.rejects(store.put(key, 'one', failing()), broken);
    assert.deepEqual([server.bucket.names, server.bucket.unfinished], [[], 0]);
  });
});

test('octets that changed on their way are read again, and never handed out', async () => {
  await withStore(
    async ({ store, server }) => {
      await store.put(key, 'one', [small]);
      server.faults.add({ on: ['media'], act: 'wrong_octets' });
      assert.deepEqual(Buffer.from((await store.read(key, 'one')) ?? []), small);
      server.faults.add({ on: ['media'], act: 'wrong_octets', times: 10_000 });
      await assert.rejects(store.read(key, 'one'), (error: ServiceError) => error.details['reason'] === 'checksum');
    },
    { timeoutMs },
  );
});

test('a write that the server has other than it was sent is taken back', async () => {
  for (const [call, content] of [
    ['insert', small],
    ['chunk', large],
  ] as const) {
    await withStore(async ({ store, server }) => {
      server.faults.add({ on: [call], skip: call === 'chunk' ? 3 : 0, act: 'wrong_octets' });
      await assert.rejects(
        store.put(key, 'one', [content]),
        (error: ServiceError) => error.details['reason'] === 'checksum',
      );
      assert.deepEqual(server.bucket.names, []);
      await store.put(key, 'one', [content]);
    });
  }
});

test('slow bodies take longer than the deadline of a call, as long as they move', async () => {
  await withStore(
    async ({ store, server }) => {
      server.delayMs = 250;
      const content = randomBytes(2 * 1024 * kib);
      const startedMs = performance.now();
      await store.put(key, 'one', [content]);
      assert.ok(performance.now() - startedMs > 1_500);
      assert.deepEqual(Buffer.from((await store.read(key, 'one')) ?? []), content);
    },
    { timeoutMs: 1_500 },
  );
});

test('a server that stops and starts again: what was there is there, what waited goes on', async () => {
  const dir = mkdtempSync(path.join(tmpdir(), 'gcs-restart-'));
  try {
    await using server = await GcsServer.start({ bucket: 'fleet', dir });
    const store = await openStore(server, { timeoutMs: 10_000 });
    await store.put(key, 'before', [large]);
    await server.stop();
    const waiting = Promise.all([store.put(key, 'during', [large]), store.read(key, 'before'), store.list(key)]);
    await new Promise((resolve) => new SystemClock().after(150, () => resolve(null)));
    await using again = new GcsServer({ bucket: 'fleet', dir, port: Number(new URL(server.url).port) });
    await again.start();
    const [, read] = await waiting;
    assert.deepEqual(Buffer.from(read ?? []), large);
    assert.deepEqual(
      (await store.list(key)).map(({ name, bytes }) => [name, bytes]),
      [
        ['before', large.length],
        ['during', large.length],
      ],
    );
    await again.stop();
    const short = openStore(server, { timeoutMs: 300 });
    await assert.rejects(short, (error: ServiceError) => error.details['reason'] === 'unreachable');
    await store.close();
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
  assert.equal(existsSync(dir), false);
});

test('opening says in words what is missing: the permission and its role, the bucket, the way', async () => {
  await using server = await GcsServer.start({ bucket: 'fleet', dir: null });
  server.granted = (permission) => permission !== 'storage.objects.delete';
  await assert.rejects(openStore(server), {
    code: 'store_unavailable',
    message: 'the bucket fleet refuses us: missing storage.objects.delete; grant roles/storage.objectUser on it',
  });
  await assert.rejects(openStore(server, { bucket: 'elsewhere' }), { message: 'there is no bucket elsewhere' });
  server.faults.add({ on: ['permissions'], act: { status: 503 }, times: 1 });
  server.granted = () => true;
  await (await openStore(server)).close();
});
