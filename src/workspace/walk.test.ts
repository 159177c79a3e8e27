import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { isServiceError } from '../core/errors.ts';
import { isGone, NotRegularFile, OpenDirectory } from './open-directory.ts';
import { type Skipped, walk, type WalkOptions } from './walk.ts';

const limits = { maxEntries: 1000, maxBytes: 1000, maxDepth: 8 };

function temporary(t: TestContext): string {
  const root = mkdtempSync(path.join(tmpdir(), 'walk-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  return root;
}

function walked(root: string, options: Partial<WalkOptions> = {}): { found: string[]; skipped: Skipped[] } {
  const skipped: Skipped[] = [];
  const directory = OpenDirectory.openRoot(root);
  try {
    const all = walk(directory, { limits, exclude: [], onSkipped: (one) => skipped.push(one), ...options });
    const found = [...all].map(({ prefix, name, kind }) => `${kind} ${prefix}${name}`).sort();
    return { found, skipped: skipped.sort((left, right) => (left.path < right.path ? -1 : 1)) };
  } finally {
    directory.close();
  }
}

test('files, directories and links are found; what cannot be kept is named', (t) => {
  const root = temporary(t);
  mkdirSync(path.join(root, 'empty'));
  mkdirSync(path.join(root, 'a/b'), { recursive: true });
  writeFileSync(path.join(root, 'a/b/file'), 'x');
  writeFileSync(path.join(root, 'replacement \uFFFD'), '');
  writeFileSync(Buffer.concat([Buffer.from(`${root}/a/bad `), Buffer.from([0xff])]), '');
  symlinkSync('..', path.join(root, 'a/up'));
  symlinkSync('/etc', path.join(root, 'etc'));
  execFileSync('sh', ['-c', 'mkfifo "$1"', 'sh', path.join(root, 'fifo')]);
  assert.deepEqual(walked(root), {
    found: [
      'directory a',
      'directory a/b',
      'directory empty',
      'file a/b/file',
      'file replacement \uFFFD',
      'symlink a/up',
      'symlink etc',
    ],
    skipped: [
      { path: 'a/bad \uFFFD', why: 'name_not_utf8' },
      { path: 'fifo', why: 'special_file' },
    ],
  });
});

test('an excluded path is left out with all below it, and nothing else', (t) => {
  const root = temporary(t);
  for (const dir of ['node_modules/x', 'a/node_modules', 'node_modules2']) {
    mkdirSync(path.join(root, dir), { recursive: true });
  }
  assert.deepEqual(walked(root, { exclude: ['node_modules', 'a/b'] }).found, [
    'directory a',
    'directory a/node_modules',
    'directory node_modules2',
  ]);
});

test('too many entries, too many bytes and too deep a tree each end as they should', (t) => {
  const root = temporary(t);
  mkdirSync(path.join(root, '1/2/3/4/5'), { recursive: true });
  writeFileSync(path.join(root, 'file'), 'x'.repeat(100));
  const limited = (changes: Partial<typeof limits>): unknown => {
    try {
      return walked(root, { limits: { ...limits, ...changes } });
    } catch (error) {
      return isServiceError(error) ? [error.code, error.details] : error;
    }
  };
  assert.deepEqual(limited({ maxEntries: 3 }), ['workspace_too_large', { files: 4, limit: 3 }]);
  assert.deepEqual(limited({ maxBytes: 99 }), ['workspace_too_large', { bytes: 100, limit: 99 }]);
  assert.deepEqual(limited({ maxDepth: 2 }), {
    found: ['directory 1', 'directory 1/2', 'directory 1/2/3', 'file file'],
    skipped: [{ path: '1/2/3', why: 'too_deep' }],
  });
});

test('what goes while it is walked is left out, and no descriptor stays open', (t) => {
  const root = temporary(t);
  for (const dir of ['a/x', 'b/x', 'c/x']) mkdirSync(path.join(root, dir), { recursive: true });
  const before = readdirSync('/proc/self/fd').length;
  const directory = OpenDirectory.openRoot(root);
  const all = walk(directory, { limits, exclude: [], onSkipped: () => assert.fail('nothing is to be skipped') });
  const first = all.next().value;
  assert.ok(first !== undefined);
  for (const name of ['a', 'b', 'c']) {
    rmSync(path.join(root, name), { recursive: true });
    if (name === first.name) symlinkSync('/etc', path.join(root, name));
  }
  assert.deepEqual([...all], []);
  for (const one of walk(directory, {
    limits,
    exclude: [],
    onSkipped: () => assert.fail('nothing is to be skipped'),
  })) {
    assert.equal(one.kind, 'symlink');
    // Given up half-way.
    break;
  }
  directory.close();
  assert.equal(readdirSync('/proc/self/fd').length, before);
});

test('a quick look is believed only where what it saw is recognised', (t) => {
  const root = temporary(t);
  writeFileSync(path.join(root, 'file'), 'x');
  const elsewhere = temporary(t);
  mkdirSync(path.join(elsewhere, 'file'));
  for (const isKnown of [() => true, () => false]) {
    const { found } = walked(root, { quickLook: { path: elsewhere, isKnown } });
    assert.deepEqual(found, [isKnown() ? 'directory file' : 'file file']);
  }
});

test('an open directory leads to what is in it, through no link, and waits for nobody', (t) => {
  const root = temporary(t);
  mkdirSync(path.join(root, 'dir'));
  writeFileSync(path.join(root, 'file'), 'x');
  symlinkSync('file', path.join(root, 'link'));
  symlinkSync('dir', path.join(root, 'dirlink'));
  execFileSync('sh', ['-c', 'mkfifo "$1"', 'sh', path.join(root, 'fifo')]);
  const directory = OpenDirectory.openRoot(root);
  assert.throws(() => OpenDirectory.openRoot(path.join(root, 'dirlink')), isGone);
  for (const name of ['link', 'dirlink', 'absent']) assert.throws(() => directory.openFile(name), isGone);
  for (const name of ['dirlink', 'file', 'absent']) assert.throws(() => directory.openDirectory(name), isGone);
  for (const name of ['fifo', 'dir']) assert.throws(() => directory.openFile(name), NotRegularFile);
  assert.throws(() => directory.createFile('link', 0o600), { code: 'EEXIST' });
  for (const name of ['', '.', '..', 'dir/file', '../x', 'a\0b']) assert.throws(() => directory.at(name));
  assert.equal(directory.readLink('link'), 'file');
  directory.close();
  directory.close();
  assert.throws(() => directory.at('file'));
});
