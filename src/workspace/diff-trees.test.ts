import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { SystemClock } from '../observability/system-clock.ts';
import { defaultDiffLimits, diffTrees, type DiffLimits, type TreeChange } from './diff-trees.ts';
import { LiveTree } from './live-tree.ts';
import { quoted, textPatch } from './text-patch.ts';
import { emptyTree } from './tree.ts';

type Files = Readonly<Record<string, string | Buffer>>;
type Stage = { readonly before: string; readonly after: string };

function stageOf(t: TestContext, before: Files, after: Files): Stage {
  const root = mkdtempSync(join(tmpdir(), 'fleet-diff-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  for (const [name, files] of Object.entries({ before, after })) {
    mkdirSync(join(root, name));
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(root, name, path)), { recursive: true });
      writeFileSync(join(root, name, path), content);
    }
  }
  return { before: join(root, 'before'), after: join(root, 'after') };
}

function diffOf({ before, after }: Stage, limits: Partial<DiffLimits> = {}): Promise<readonly TreeChange[]> {
  const trees = [new LiveTree(before), new LiveTree(after)] as const;
  return diffTrees(...trees, new SystemClock(), { ...defaultDiffLimits, ...limits });
}

const lines = (count: number, word = 'line'): string =>
  Array.from({ length: count }, (_, index) => `${word} ${index}\n`).join('');

test('each change is told once, in byte order, and what is the same is not told', async (t) => {
  const stage = stageOf(
    t,
    { same: 'same', gone: 'a\nb\n', 'dir/changed': 'one\ntwo\nthree\n', 'a-b': 'x', kind: 'text\n' },
    { same: 'same', 'dir/changed': 'one\n2\nthree\n', 'a/b': 'new\n', 'a-b': 'y', empty: '' },
  );
  mkdirSync(join(stage.after, 'empty-directory'));
  symlinkSync('target', join(stage.after, 'kind'));
  const changes = await diffOf(stage);
  assert.deepEqual(
    changes.map(({ path, status, additions, deletions }) => [path, status, additions, deletions]),
    [
      ['a-b', 'modified', 1, 1],
      ['a/b', 'added', 1, 0],
      ['dir/changed', 'modified', 1, 1],
      ['empty', 'added', 0, 0],
      ['gone', 'deleted', 0, 2],
      ['kind', 'modified', 1, 1],
    ],
  );
  assert.equal(
    changes[2]?.patch,
    'diff --git a/dir/changed b/dir/changed\n--- a/dir/changed\n+++ b/dir/changed\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n',
  );
  assert.deepEqual(await diffTrees(emptyTree, emptyTree, new SystemClock()), []);
});

const cut = Buffer.concat([Buffer.alloc(8191, 'x'), Buffer.from('é'), Buffer.alloc(2_000_000, 'x')]);
const contents: readonly (readonly [what: string, content: Buffer, isBinary: boolean, hasPatch: boolean])[] = [
  ['text', Buffer.from('plain\n'), false, true],
  ['UTF-8', Buffer.from('é🎈\uFEFF\n'), false, true],
  ['a NUL', Buffer.from('a\0b'), true, false],
  ['a NUL behind the first 8 KiB', Buffer.concat([Buffer.alloc(9000, 'x'), Buffer.from([0])]), false, true],
  ['Latin-1', Buffer.from([0x63, 0x61, 0x66, 0xe9]), true, false],
  ['half a character', Buffer.from('é').subarray(0, 1), true, false],
  ['too large', Buffer.alloc(1024 * 1024 + 1, 'x'), false, false],
  ['as large as may be', Buffer.alloc(1024 * 1024, 'x'), false, true],
  ['too large, with a character at the edge of what is looked at', cut, false, false],
  ['too large and binary', Buffer.alloc(2_000_000), true, false],
];

test('what is binary is marked, and what is too large has no patch', async (t) => {
  for (const [what, content, isBinary, hasPatch] of contents) {
    const [change] = await diffOf(stageOf(t, {}, { f: content }));
    assert.deepEqual([change?.isBinary, change?.patch !== null], [isBinary, hasPatch], what);
  }
});

test('git applies what we say', async (t) => {
  const spaced = lines(30).replace('line 4\n', '').replace('line 20\n', 'other\nmore\n');
  const stage = stageOf(
    t,
    {
      'with space': lines(30),
      'quo"te\ttab': 'a\n',
      é: 'a',
      gone: 'a\nb',
      'gone-empty': '',
      mode: 'x\n',
      head: 'b\nc\n',
      emptied: 'a\nb\n',
      filled: '',
    },
    {
      'with space': spaced,
      'quo"te\ttab': 'b\n',
      é: 'a\n',
      new: 'no newline',
      'new-empty': '',
      mode: 'x\n',
      head: 'a\nb\nc\n',
      emptied: '',
      filled: 'a\n\nb',
    },
  );
  chmodSync(join(stage.after, 'mode'), 0o755);
  symlinkSync('somewhere', join(stage.after, 'link'));
  const patch = (await diffOf(stage)).map((change) => change.patch).join('');
  execFileSync('git', ['apply', '--whitespace=nowarn', '-'], {
    cwd: stage.before,
    input: patch,
    env: { PATH: process.env['PATH'], GIT_CEILING_DIRECTORIES: dirname(stage.before), HOME: stage.before },
  });
  assert.deepEqual(await diffOf(stage), []);
  assert.deepEqual(readdirSync(stage.before), readdirSync(stage.after));
  assert.equal(readFileSync(join(stage.before, 'new'), 'utf8'), 'no newline');
});

test('patches end where their size or time does, and the changes are told all the same', async (t) => {
  const before = Object.fromEntries(['a', 'b', 'c'].map((name) => [name, lines(100)]));
  const after = Object.fromEntries(['a', 'b', 'c'].map((name) => [name, lines(100, 'other')]));
  const stage = stageOf(t, before, after);
  const all = await diffOf(stage);
  assert.deepEqual(
    all.map(({ patch }) => patch !== null),
    [true, true, true],
  );
  const patchCharacters = 2 * (all[0]?.patch?.length ?? 0);
  const few = await diffOf(stage, { patchCharacters });
  assert.deepEqual(
    few.map(({ patch, additions }) => [patch !== null, additions]),
    [
      [true, 100],
      [true, 100],
      [false, 0],
    ],
  );
  const none = await diffOf(stage, { timeMs: 0 });
  assert.deepEqual(
    none.map(({ patch, status }) => [patch, status]),
    [
      [null, 'modified'],
      [null, 'modified'],
      [null, 'modified'],
    ],
  );
});

test('a comparison that would take long is given up', () => {
  const start = performance.now();
  const shuffled = (seed: number): string =>
    Array.from({ length: 40_000 }, (_, index) => `${(index * seed) % 39_989}\n`).join('');
  const side = (text: string) => ({ mode: '100644', text });
  assert.equal(textPatch('f', side(shuffled(7)), side(shuffled(13))), null);
  assert.equal(textPatch('f', side('\n'.repeat(60_000)), side('\n'.repeat(60_001))), null);
  assert.ok(performance.now() - start < 2000);
  assert.equal(textPatch('f', side(lines(40_000)), side(`${lines(40_000)}end\n`))?.additions, 1);
});

test('names that would break a line are quoted as git does', () => {
  assert.deepEqual(['plain', 'é', 'a b', 'a"b', 'a\\b', 'a\nb', 'a\u0001b'].map(quoted), [
    'plain',
    'é',
    'a b',
    '"a\\"b"',
    '"a\\\\b"',
    '"a\\nb"',
    '"a\\001b"',
  ]);
});
