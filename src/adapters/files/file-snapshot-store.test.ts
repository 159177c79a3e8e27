import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { snapshotStoreSuite } from '../../testing/contract-suites/snapshot-store-suite.ts';
import { FileSnapshotStore } from './file-snapshot-store.ts';
import { mountTinyDisk } from '../../testing/tiny-disk.ts';

const key = { tenant: 'acme', sessionId: '019f0000-0000-7000-8000-000000000001' };

function newHome(): { home: string; root: string; dir: string; close: () => void } {
  const home = mkdtempSync(join(tmpdir(), 'file-snapshots-'));
  const root = join(home, 'snapshots');
  const close = (): void => rmSync(home, { recursive: true, force: true });
  return { home, root, dir: join(root, key.tenant, key.sessionId), close };
}

async function withHome(run: (home: ReturnType<typeof newHome>) => Promise<void>): Promise<void> {
  const home = newHome();
  try {
    await run(home);
  } finally {
    home.close();
  }
}

for (const durable of [true, false]) {
  snapshotStoreSuite(`the file store (${durable ? 'durable' : 'not durable'})`, async () => {
    const { root, close } = newHome();
    return { adapter: new FileSnapshotStore(root, { durable }), close: async () => close() };
  });
}

test('what a crashed put left is never listed, and is swept by the first put of the next run', async () => {
  await withHome(async ({ root, dir }) => {
    await new FileSnapshotStore(root).put(key, 'one', [Buffer.from('1')]);
    writeFileSync(join(dir, '.put-0123456789ab-7'), 'half');
    const store = new FileSnapshotStore(root);
    assert.deepEqual(await store.list(key), [{ name: 'one', bytes: 1 }]);
    assert.equal(readdirSync(dir).length, 2);
    await Promise.all(['two', 'three'].map((name) => store.put(key, name, [Buffer.from(name)])));
    assert.deepEqual(readdirSync(dir).sort(), ['one', 'three', 'two']);
  });
});

test('what a crashed erase left goes with the next one', async () => {
  await withHome(async ({ root, dir }) => {
    const store = new FileSnapshotStore(root);
    await store.put(key, 'one', [Buffer.from('1')]);
    const left = join(root, key.tenant, `.erased-${key.sessionId}`);
    mkdirSync(left);
    writeFileSync(join(left, 'old'), 'x');
    await store.erase(key);
    assert.deepEqual([existsSync(left), existsSync(dir)], [false, false]);
  });
});

test('files and directories are for their owner alone', async () => {
  await withHome(async ({ root, dir }) => {
    await new FileSnapshotStore(root).put(key, 'one', [Buffer.from('1')]);
    for (const path of [root, join(root, key.tenant), dir, join(dir, 'one')]) {
      assert.equal(statSync(path).mode & 0o077, 0, path);
    }
  });
});

test('an erase in the midst of puts leaves nothing half done: each is whole or refused', async () => {
  await withHome(async ({ root, dir }) => {
    const store = new FileSnapshotStore(root);
    for (let round = 0; round < 20; round++) {
      const puts = Array.from({ length: 4 }, (_, index) =>
        store.put(key, `object-${index}`, [Buffer.alloc(50_000, 1)]),
      );
      const results = await Promise.allSettled([...puts, store.erase(key)]);
      const refused = results.flatMap((result) => (result.status === 'rejected' ? [result.reason.code] : []));
      assert.deepEqual(
        refused.filter((code) => code !== 'store_unavailable'),
        [],
      );
      assert.deepEqual(
        (await store.list(key)).filter(({ bytes }) => bytes !== 50_000),
        [],
      );
      await store.erase(key);
      assert.equal(existsSync(dir), false);
    }
  });
});

test('a full disk is storage_full, leaves nothing behind, and is used again when there is space', async (t) => {
  await withHome(async ({ home, root, dir }) => {
    const unmount = mountTinyDisk(home, '1m');
    if (unmount === null) {
      t.skip('needs the right to mount a tmpfs');
      return;
    }
    try {
      const store = new FileSnapshotStore(root);
      await store.put(key, 'first', [Buffer.alloc(600_000)]);
      await assert.rejects(store.put(key, 'second', [Buffer.alloc(300_000), Buffer.alloc(300_000)]), {
        code: 'storage_full',
      });
      assert.deepEqual(readdirSync(dir), ['first']);
      await store.remove(key, ['first']);
      await store.put(key, 'second', [Buffer.alloc(600_000)]);
      assert.deepEqual(await store.list(key), [{ name: 'second', bytes: 600_000 }]);
    } finally {
      unmount();
    }
  });
});

test('a disk that is read-only is store_unavailable, with the cause, and can still be read', async (t) => {
  await withHome(async ({ home, root }) => {
    const unmount = mountTinyDisk(home, '1m');
    if (unmount === null) {
      t.skip('needs the right to mount a tmpfs');
      return;
    }
    try {
      const store = new FileSnapshotStore(root);
      await store.put(key, 'one', [Buffer.from('1')]);
      execFileSync('/bin/mount', ['-o', 'remount,ro', home]);
      await assert.rejects(store.put(key, 'two', [Buffer.from('2')]), (error: Error & { details?: unknown }) => {
        assert.deepEqual([error.details, (error.cause as { code?: string }).code], [{ reason: 'read_only' }, 'EROFS']);
        return true;
      });
      await assert.rejects(store.erase(key), { code: 'store_unavailable' });
      assert.equal((await store.read(key, 'one'))?.toString(), '1');
    } finally {
      unmount();
    }
  });
});

test('what stands where a session belongs and is no directory is store_unavailable, not a crash', async () => {
  await withHome(async ({ root }) => {
    mkdirSync(root);
    writeFileSync(join(root, key.tenant), 'a file');
    const store = new FileSnapshotStore(root);
    await assert.rejects(store.put(key, 'one', [Buffer.from('1')]), { code: 'store_unavailable' });
    assert.deepEqual(await store.list(key), []);
  });
});
