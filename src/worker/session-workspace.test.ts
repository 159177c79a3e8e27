import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { ServiceError } from '../core/errors.ts';
import type { SnapshotRef } from '../core/session.ts';
import type { TreeEntry } from '../snapshot/tree.ts';
import { bytesOf, openLiveWorkspace } from '../testing/live-workspace.ts';
import type { ReadableSnapshot, SessionWorkspace } from './session-workspace.ts';

const key = { tenant: 'default', sessionId: '019a0000-0000-7000-8000-000000000000' };
const ref: SnapshotRef = { object: 's', sha256: '', turnId: null, lastSeq: 0, takenAt: 0, rolloutBytes: 0 };
const everything = { path: '', recursive: true, after: null, limit: 100 };

type Content = Readonly<Record<string, string>>;

function snapshotOf(files: Content): ReadableSnapshot {
  const entries = new Map<string, TreeEntry>();
  for (const [path, content] of Object.entries(files)) {
    const names = path.split('/');
    for (let depth = 1; depth < names.length; depth += 1) {
      entries.set(names.slice(0, depth).join('/'), { kind: 'directory', mode: 0o755 });
    }
    const sha256 = createHash('sha256').update(content).digest('hex');
    const size = Buffer.byteLength(content);
    // As a chunk, its hash stands for the content.
    const chunks = [{ sha256: content, pack: 0, offset: 0, length: size }];
    entries.set(path, { kind: 'file', mode: 0o644, size, modifiedAt: 1000, sha256, chunks });
  }
  return {
    ref: { ...ref, takenAt: 5000 },
    entries: new Map([...entries].sort(([left], [right]) => Buffer.compare(Buffer.from(left), Buffer.from(right)))),
    async *read({ chunks }, range) {
      const content = Buffer.from(chunks[0]?.sha256 ?? '');
      yield range === null ? content : content.subarray(range.offset, range.offset + range.length);
    },
  };
}

async function told(files: SessionWorkspace): Promise<unknown> {
  const { data } = await files.listFiles(key, everything);
  const read = await files.readFile(key, 'a/b', { offset: 1, length: 3 });
  return {
    list: data.map(({ path, kind, size }) => [path, kind, size]),
    etag: read.etag,
    size: read.entry.size,
    part: (await bytesOf(read.content)).toString(),
  };
}

test('a session is told the same whether a slot has it or a snapshot', async (t) => {
  const content = { a_: '', 'a/b': 'content', 'a-': 'x' };
  const live = await openLiveWorkspace(t);
  mkdirSync(join(live.ws, 'a'));
  for (const [path, text] of Object.entries(content)) writeFileSync(join(live.ws, path), text);
  const resting = await openLiveWorkspace(t, {
    live: () => null,
    newestSnapshot: async () => snapshotOf(content),
    change: () => assert.fail('nothing is changed'),
  });
  assert.deepEqual(await told(resting.link), await told(live.link));
  const list = (await resting.link.listFiles(key, { path: '', recursive: false, after: 'a', limit: 1 })).data;
  assert.deepEqual(
    list.map(({ path }) => path),
    ['a-'],
  );
  for (const files of [live.link, resting.link]) {
    await assert.rejects(files.readFile(key, 'a', null), { code: 'file_not_found' });
    await assert.rejects(files.listFiles(key, { ...everything, path: 'a-' }), { code: 'file_not_found' });
    await assert.rejects(files.deleteFile(key, 'absent', null), { code: 'file_not_found' });
    await assert.rejects(files.readArchive(key, 'a/b', 'tar.gz'), { code: 'file_not_found' });
  }
});

test('of a tenant that is not served here nothing comes to the disk, and of its upload nothing is read', async (t) => {
  const { link, spool } = await openLiveWorkspace(t, {
    admit: () => {
      throw new ServiceError('worker_reserved');
    },
    change: () => assert.fail('nothing is changed'),
  });
  const upload = async function* (): AsyncGenerator<Uint8Array> {
    yield await Promise.resolve(assert.fail('nothing is read'));
  };
  const write = { path: 'a', content: upload(), isExecutable: false, ifMatch: null, ifNoneMatch: false };
  await assert.rejects(link.writeFile(key, write), { code: 'worker_reserved' });
  await assert.rejects(link.writeArchive(key, '', 'tar.gz', upload()), { code: 'worker_reserved' });
  assert.deepEqual(readdirSync(spool), []);
});

test('an archive of a snapshot is unpacked as it was', async (t) => {
  const resting = await openLiveWorkspace(t, {
    live: () => null,
    newestSnapshot: async () => snapshotOf({ 'a/b': 'content' }),
  });
  const live = await openLiveWorkspace(t);
  const archive = await resting.link.readArchive(key, '', 'tar.zst');
  await live.link.writeArchive(key, '', 'tar.zst', archive);
  assert.equal(await readFile(join(live.ws, 'a/b'), 'utf8'), 'content');
});

test('a slot that goes while its files are asked for gives way to the snapshot', async (t) => {
  let asked = 0;
  const { link } = await openLiveWorkspace(t, {
    live: () => ((asked += 1) === 1 ? '/nowhere/at/all' : null),
    newestSnapshot: async () => snapshotOf({ f: 'kept' }),
  });
  const { data } = await link.listFiles(key, everything);
  assert.deepEqual(
    data.map(({ path }) => path),
    ['f'],
  );
  // One that has its slot and not its files is damaged, not empty.
  const broken = await openLiveWorkspace(t, { live: () => '/nowhere/at/all' });
  await assert.rejects(broken.link.listFiles(key, everything), { code: 'ENOENT' });
});

test('a busy session is not touched, and the upload is not kept', async (t) => {
  const { link, ws, spool } = await openLiveWorkspace(t, {
    change: () => Promise.reject(new ServiceError('session_busy')),
  });
  writeFileSync(join(ws, 'f'), 'x');
  const content = (async function* pieces() {
    yield Buffer.from('y');
  })();
  const write = { path: 'f', content, isExecutable: false, ifMatch: null, ifNoneMatch: false };
  await assert.rejects(link.writeFile(key, write), { code: 'session_busy' });
  await assert.rejects(link.deleteFile(key, 'f', null), { code: 'session_busy' });
  assert.equal(await readFile(join(ws, 'f'), 'utf8'), 'x');
  assert.deepEqual(readdirSync(spool), []);
});

test('a diff is against what the session or the turn began with', async (t) => {
  const { link, ws } = await openLiveWorkspace(t, {
    sessionBase: async () => ref,
    openSnapshot: async (_key, wanted) =>
      wanted.object === 's'
        ? snapshotOf({ f: 'first\n', same: '=' })
        : wanted.object === 't'
          ? snapshotOf({ f: 'second\n', same: '=' })
          : null,
  });
  writeFileSync(join(ws, 'f'), 'second\n');
  writeFileSync(join(ws, 'same'), '=');
  symlinkSync('f', join(ws, 'z'));
  const pathsSince = async (base: Parameters<SessionWorkspace['diff']>[1]): Promise<unknown> =>
    (await link.diff(key, base)).map(({ path, status }) => [path, status]);
  const added = ['z', 'added'];
  assert.deepEqual(await pathsSince({ of: 'session' }), [['f', 'modified'], added]);
  assert.deepEqual(await pathsSince({ of: 'turn', base: { ...ref, object: 't' } }), [added]);
  assert.deepEqual(await pathsSince({ of: 'turn', base: null }), [['f', 'added'], ['same', 'added'], added]);
  await assert.rejects(link.diff(key, { of: 'turn', base: { ...ref, object: 'gone' } }), { code: 'snapshot_gone' });
});
