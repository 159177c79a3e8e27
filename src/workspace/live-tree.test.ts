import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  closeSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { bytesOf, openLiveWorkspace } from '../testing/live-workspace.ts';
import { LiveTree } from './live-tree.ts';
import { Spool } from './spool.ts';

const key = { tenant: 'default', sessionId: '019a0000-0000-7000-8000-000000000000' };
const swapMs = 2000;

function tempDir(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'fleet-tree-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

const openFds = (): number => readdirSync('/proc/self/fd').length;
const sha256 = (content: string | Buffer): string => createHash('sha256').update(content).digest('hex');

/** In a process of its own: where `dir` and `file` are, it puts links to `outside`, and the real ones again. */
async function startSwapper(t: TestContext, ws: string, outside: string): Promise<ChildProcess> {
  const script = `
    const fs = require('node:fs');
    const [ws, outside, trash] = process.argv.slice(1);
    const attempt = (step) => { try { step(); } catch {} };
    let count = 0;
    const swap = () => {
      attempt(() => fs.renameSync(ws + '/dir', trash + '/' + (count += 1)));
      attempt(() => fs.symlinkSync(outside, ws + '/dir'));
      attempt(() => fs.unlinkSync(ws + '/file'));
      attempt(() => fs.symlinkSync(outside + '/secret', ws + '/file'));
      attempt(() => fs.unlinkSync(ws + '/dir'));
      attempt(() => fs.mkdirSync(ws + '/dir'));
      attempt(() => fs.unlinkSync(ws + '/file'));
      attempt(() => fs.writeFileSync(ws + '/file', 'inside', { flag: 'wx' }));
      attempt(() => fs.writeFileSync(ws + '/dir/inner', 'inside', { flag: 'wx' }));
    };
    swap();
    process.stdout.write('ready');
    for (;;) swap();
  `;
  const trash = join(ws, '../trash');
  mkdirSync(trash);
  const child = spawn(process.execPath, ['-e', script, ws, outside, trash], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  await new Promise((resolve) => child.stdout?.once('data', resolve));
  return child;
}

async function textOf(content: AsyncIterable<Uint8Array>): Promise<string> {
  return (await bytesOf(content)).toString();
}

test('while links are swapped in and out, nothing outside is read, written or removed', async (t) => {
  const { link: files, ws, outside } = await openLiveWorkspace(t);
  writeFileSync(join(outside, 'secret'), 'outside');
  const swapper = await startSwapper(t, ws, outside);
  const seen = { inside: 0, written: 0, removed: 0, astray: 0, naive: 0 };
  const end = performance.now() + swapMs;
  for (let round = 0; performance.now() < end; round += 1) {
    for (const path of ['dir/secret', 'dir/inner', 'file']) {
      const text = await files.readFile(key, path, null).then(
        ({ content }) => textOf(content),
        () => null,
      );
      if (text === 'inside') seen.inside += 1;
      else if (text === 'outside') seen.astray += 1;
      // The control: what a path leads to when it is simply opened.
      try {
        if (readFileSync(join(ws, path), 'utf8') === 'outside') seen.naive += 1;
      } catch {
        // Between two states.
      }
    }
    const content = (async function* pieces() {
      yield Buffer.from('written');
    })();
    const write = { path: `dir/made-${round}/x`, content, isExecutable: false, ifMatch: null, ifNoneMatch: false };
    const count = (name: 'written' | 'removed') => (): void => {
      seen[name] += 1;
    };
    await files.writeFile(key, write).then(count('written'), () => undefined);
    await files.deleteFile(key, 'dir/inner', null).then(count('removed'), () => undefined);
    await files.deleteFile(key, 'dir/secret', null).catch(() => undefined);
    for await (const entry of new LiveTree(ws).entries('', { recursive: true, after: null })) {
      if (entry.path === 'dir/secret') seen.astray += 1;
    }
  }
  assert.equal(swapper.exitCode, null);
  assert.equal(seen.astray, 0);
  assert.ok(Math.min(seen.inside, seen.written, seen.removed, seen.naive) > 0, JSON.stringify(seen));
  t.diagnostic(JSON.stringify(seen));
  assert.deepEqual(readdirSync(outside), ['secret']);
  assert.equal(readFileSync(join(outside, 'secret'), 'utf8'), 'outside');
});

test('hash and content of a small file belong together while it is written', async (t) => {
  const root = tempDir(t);
  const path = join(root, 'f');
  writeFileSync(path, 'x'.repeat(100_000));
  const tree = new LiveTree(root);
  for (let round = 0; round < 50; round += 1) {
    const reading = tree.read('f', null);
    writeFileSync(path, String(round).repeat(1 + round * 100));
    const file = await reading;
    const text = await textOf(file.content);
    assert.deepEqual([file.sha256, file.entry.size], [sha256(text), text.length]);
  }
});

const largeBytes = 64 * 1024 * 1024;

function writeLarge(path: string): string {
  const hash = createHash('sha256');
  const fd = openSync(path, 'w');
  for (let index = 0; index < largeBytes / 1024 / 1024; index += 1) {
    const piece = Buffer.alloc(1024 * 1024, index + 1);
    hash.update(piece);
    writeSync(fd, piece);
  }
  closeSync(fd);
  return hash.digest('hex');
}

test('a large file is read in small pieces, whole and in part, with its descriptor closed behind it', async (t) => {
  const root = tempDir(t);
  const expected = writeLarge(join(root, 'large'));
  const tree = new LiveTree(root);
  const fdsBefore = openFds();
  const before = process.memoryUsage().arrayBuffers;
  const file = await tree.read('large', null);
  const hash = createHash('sha256');
  let most = 0;
  for await (const piece of file.content) {
    assert.ok(piece.length <= 256 * 1024);
    hash.update(piece);
    most = Math.max(most, process.memoryUsage().arrayBuffers);
  }
  assert.deepEqual([hash.digest('hex'), file.sha256], [expected, expected]);
  assert.ok(most - before < 40 * 1024 * 1024, `${most - before}`);
  const part = await tree.read('large', { offset: largeBytes - 3, length: 100 });
  assert.deepEqual([part.sha256, await textOf(part.content)], [expected, '@@@']);
  const unread = await tree.read('large', null);
  await unread.content[Symbol.asyncIterator]().return?.();
  const begun = await tree.read('large', null);
  for await (const _ of begun.content) break;
  assert.equal(openFds(), fdsBefore);
});

test('a large file that changes while it is streamed fails instead of lying', async (t) => {
  const root = tempDir(t);
  const path = join(root, 'large');
  const fdsBefore = openFds();
  const changes: readonly (readonly [what: string, change: () => void])[] = [
    ['grows', () => appendFileSync(path, 'x')],
    ['shrinks', () => truncate(path, 100)],
    ['has other bytes', () => overwrite(path)],
    [
      'has other bytes and its old time',
      () => {
        const { atime, mtime } = statSync(path);
        overwrite(path);
        utimesSync(path, atime, mtime);
      },
    ],
  ];
  for (const [what, change] of changes) {
    writeLarge(path);
    // A time that utimes can set again to the last digit.
    utimesSync(path, 1_700_000_000, 1_700_000_000);
    const file = await new LiveTree(root).read('large', null);
    const reader = file.content[Symbol.asyncIterator]();
    await reader.next();
    change();
    await assert.rejects(
      async () => {
        for (let next = await reader.next(); next.done !== true; next = await reader.next());
      },
      { code: 'store_conflict' },
      what,
    );
  }
  assert.equal(openFds(), fdsBefore);
});

function truncate(path: string, length: number): void {
  const fd = openSync(path, 'r+');
  ftruncateSync(fd, length);
  closeSync(fd);
}

function overwrite(path: string): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, 'other', largeBytes - 5);
  closeSync(fd);
}

test('a directory goes whatever is in it, however deep, and descriptors do not run out', async (t) => {
  const { link: files, ws, spool, outside } = await openLiveWorkspace(t);
  let at = join(ws, 'deep');
  mkdirSync(at);
  // Deeper than descriptors could be held, and than a path could be.
  const here = process.cwd();
  t.after(() => process.chdir(here));
  for (let level = 0; level < 3000; level += 1) {
    process.chdir(at);
    at = 'dd';
    mkdirSync(at);
    writeFileSync('f', '');
  }
  process.chdir(here);
  const fdsBefore = openFds();
  const listed = await files.listFiles(key, { path: '', recursive: true, after: null, limit: 1_000_000 });
  assert.ok(listed.data.length > 200);
  await files.deleteFile(key, 'deep', null);
  assert.deepEqual([readdirSync(ws), readdirSync(spool), readdirSync(outside)], [[], [], []]);
  assert.equal(openFds(), fdsBefore);
});

test('what an upload left behind when its process died is cleared at the next start', async (t) => {
  const root = tempDir(t);
  mkdirSync(join(root, 'spool/half/way'), { recursive: true });
  writeFileSync(join(root, 'spool/half/way/there'), 'x');
  writeFileSync(join(root, 'spool/file'), 'x');
  await Spool.open(join(root, 'spool'));
  assert.deepEqual(readdirSync(join(root, 'spool')), []);
});

test('a time that no calendar has is told as one that has', async (t) => {
  const root = tempDir(t);
  writeFileSync(join(root, 'f'), '');
  utimesSync(join(root, 'f'), 1e11, 1e11);
  const entry = await new LiveTree(root).stat('f');
  assert.ok(entry !== null && entry.modifiedAt <= Date.UTC(9999, 11, 31) && entry.modifiedAt > 0);
});
