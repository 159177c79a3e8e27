import assert from 'node:assert/strict';
import { lstatSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { type Captured, capture, nothingToWaitFor, settle } from './capture.ts';
import { KnownFiles } from './known-files.ts';
import { piecesToMerge } from './tiers.ts';
import { ToolSearch } from './tool-calls.ts';

function workspace(t: TestContext): string {
  const root = mkdtempSync(path.join(tmpdir(), 'capture-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  return root;
}

async function captured(known: KnownFiles, root: string): Promise<Captured> {
  const job = {
    kind: 'capture',
    session: 's',
    workspace: root,
    indexFile: '',
    base: 'held',
    exclude: [],
    limits: { maxEntries: 100, maxBytes: 1e6, maxDepth: 9 },
    packBytes: 1e6,
    nextPack: 0,
    evacuate: [],
    chainEntries: [1],
  } as const;
  const handOver = async (): Promise<void> => {};
  return await capture(known, job, { handOver, breathe: () => nothingToWaitFor, nowMs: () => Date.now() });
}

// The kernel's clock ticks every few milliseconds: a second write within a tick of the first leaves the file's
// size and times as they were. That is brought about here by remembering the second write's times for the first.
async function changesSeen(t: TestContext, readAfterMs: number): Promise<string[]> {
  const root = workspace(t);
  const file = path.join(root, 'racy');
  const known = new KnownFiles();
  writeFileSync(file, 'first');
  settle(known, await captured(known, root));
  writeFileSync(file, 'other');
  const { size, mtimeMs, ctimeMs, ino } = lstatSync(file);
  const one = known.at('racy');
  assert.ok(one.seen !== null && one.entry?.kind === 'file');
  one.entry = { ...one.entry, modifiedAt: Math.round(mtimeMs) };
  one.seen = { size, mtimeMs, ctimeMs, ino, readAtMs: ctimeMs + readAfterMs, sha256: one.seen.sha256 };
  return [...(await captured(known, root)).changes.keys()];
}

test('a file that was read within a tick of being written is not believed to be unchanged', async (t) => {
  assert.deepEqual(await changesSeen(t, 5), ['racy']);
  assert.deepEqual(await changesSeen(t, -1000), ['racy']);
  // The control: read long after it was written, it is believed, and the change that leaves no trace is missed.
  assert.deepEqual(await changesSeen(t, 10_000), []);
});

test('what says that a tool ran, or cannot be read, or is not known, is a call of a tool', () => {
  const line = (type: string, payload: unknown): string => `${JSON.stringify({ type, payload })}\n`;
  const harmless = [
    line('response_item', { type: 'message' }),
    line('response_item', { type: 'reasoning' }),
    line('event_msg', { type: 'task_complete' }),
    line('turn_context', {}),
    '',
  ];
  const calls = [
    line('response_item', { type: 'function_call' }),
    line('response_item', { type: 'something new' }),
    line('event_msg', { type: 'patch_apply_end' }),
    line('something new', {}),
    '{"type":"turn_con',
    'null\n',
  ];
  // Whole, and in pieces that end anywhere.
  for (const pieceBytes of [10_000, 7, 1]) {
    const found = (text: string): boolean => {
      const search = new ToolSearch();
      const bytes = Buffer.from(text);
      for (let at = 0; at < bytes.length; at += pieceBytes)
        search.add(Buffer.from(bytes.subarray(at, at + pieceBytes)));
      return search.hasFound;
    };
    assert.equal(found(harmless.join('\n')), false);
    assert.deepEqual(
      harmless.map((one) => found(one)),
      harmless.map(() => false),
    );
    assert.deepEqual(
      calls.map((one) => found(harmless.join('') + one)),
      calls.map(() => true),
    );
  }
});

test('a line too long to be looked at is a call of a tool, however harmless', () => {
  const isCall = (bytes: number): boolean => {
    const search = new ToolSearch();
    search.add(Buffer.from(`${JSON.stringify({ type: 'turn_context', payload: 'x'.repeat(bytes) })}\n`));
    return search.hasFound;
  };
  assert.deepEqual([isCall(1_000_000), isCall(1_048_577)], [false, true]);
});

test('what grows turn by turn stays in few pieces, and each is rewritten seldom', () => {
  let levels: number[] = [];
  let written = 0;
  const sizes: number[] = [];
  for (let turn = 0; turn < 5000; turn += 1) {
    const count = piecesToMerge(levels);
    const merged = levels.slice(levels.length - count);
    const size = sizes.splice(sizes.length - count).reduce((sum, one) => sum + one, 1);
    levels = [...levels.slice(0, levels.length - count), count === 0 ? 0 : Math.max(...merged) + 1];
    sizes.push(size);
    written += size;
    assert.ok(levels.length <= 36, `${levels.length} pieces`);
  }
  assert.ok(written < 5000 * 6, `${written} written`);
});
