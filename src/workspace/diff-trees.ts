// What is different between two trees, path by path in byte order. Directories are not told of: files and
// links are, a link by what it says. Bounded in time and size; what is too much of either has no patch.

import type { Clock } from '../core/clock.ts';
import { textPatch } from './text-patch.ts';
import { Breather, compareKeys, sortKey, type Tree, type TreeEntry } from './tree.ts';

export type TreeChange = {
  readonly path: string;
  readonly status: 'added' | 'modified' | 'deleted';
  readonly isBinary: boolean;
  /** Unified, as git writes it; null for a binary file, and for what is too much to be compared. */
  readonly patch: string | null;
  readonly additions: number;
  readonly deletions: number;
};

export type DiffLimits = {
  /** A longer file gets no patch. */
  readonly fileBytes: number;
  /** Of all patches together. */
  readonly patchCharacters: number;
  /** For all comparisons together; after it there are no more patches. */
  readonly timeMs: number;
};

export const defaultDiffLimits: DiffLimits = {
  fileBytes: 1024 * 1024,
  patchCharacters: 16 * 1024 * 1024,
  timeMs: 10_000,
};

const sniffedBytes = 8192;
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export async function diffTrees(
  base: Tree,
  now: Tree,
  clock: Pick<Clock, 'monotonicMs'>,
  limits: DiffLimits = defaultDiffLimits,
): Promise<readonly TreeChange[]> {
  const changes: TreeChange[] = [];
  const breather = new Breather();
  const deadlineMs = clock.monotonicMs() + limits.timeMs;
  let charactersLeft = limits.patchCharacters;
  for await (const [before, after] of pairs(base, now)) {
    await breather.step();
    if (await isSame(base, before, now, after)) continue;
    const old = await contentOf(base, before, limits.fileBytes);
    const young = await contentOf(now, after, limits.fileBytes);
    const path = (after ?? before)?.path ?? '';
    const isBinary = old.kind === 'binary' || young.kind === 'binary';
    const mayCompare = charactersLeft > 0 && clock.monotonicMs() < deadlineMs;
    const found =
      old.kind === 'text' && young.kind === 'text' && mayCompare
        ? textPatch(path, { mode: modeOf(before), text: old.text }, { mode: modeOf(after), text: young.text })
        : null;
    const fitting = found !== null && found.patch.length <= charactersLeft ? found : null;
    charactersLeft -= fitting?.patch.length ?? 0;
    changes.push({
      path,
      status: before === null ? 'added' : after === null ? 'deleted' : 'modified',
      isBinary,
      patch: fitting?.patch ?? null,
      additions: fitting?.additions ?? 0,
      deletions: fitting?.deletions ?? 0,
    });
  }
  return changes;
}

type Side = TreeEntry | null;

/** Of each path that is in either, what it is in both. */
async function* pairs(base: Tree, now: Tree): AsyncGenerator<readonly [Side, Side]> {
  const all = { recursive: true, after: null } as const;
  const left = base.entries('', all)[Symbol.asyncIterator]();
  const right = now.entries('', all)[Symbol.asyncIterator]();
  try {
    let before = await nextEntry(left);
    let after = await nextEntry(right);
    while (before !== null || after !== null) {
      const order = before === null ? 1 : after === null ? -1 : compareKeys(sortKey(before.path), sortKey(after.path));
      yield [order <= 0 ? before : null, order >= 0 ? after : null];
      if (order <= 0) before = await nextEntry(left);
      if (order >= 0) after = await nextEntry(right);
    }
  } finally {
    await left.return?.();
    await right.return?.();
  }
}

async function nextEntry(entries: AsyncIterator<TreeEntry>): Promise<Side> {
  for (let next = await entries.next(); next.done !== true; next = await entries.next()) {
    const { kind } = next.value;
    if (kind === 'file' || kind === 'symlink') return next.value;
  }
  return null;
}

async function isSame(base: Tree, before: Side, now: Tree, after: Side): Promise<boolean> {
  if (before === null || after === null || before.kind !== after.kind) return false;
  if (before.kind === 'symlink') return before.target === after.target;
  if (before.size !== after.size || before.isExecutable !== after.isExecutable) return false;
  return (await base.sha256(before.path)) === (await now.sha256(after.path));
}

type Content = { readonly kind: 'text'; readonly text: string } | { readonly kind: 'binary' | 'too large' };

async function contentOf(tree: Tree, entry: Side, mostBytes: number): Promise<Content> {
  if (entry === null) return { kind: 'text', text: '' };
  if (entry.kind === 'symlink') return { kind: 'text', text: entry.target ?? '' };
  const isLarge = entry.size > mostBytes;
  // One that went while we looked is empty now.
  const bytes = (await tree.head(entry.path, isLarge ? sniffedBytes : mostBytes + 1)) ?? new Uint8Array(0);
  if (bytes.subarray(0, sniffedBytes).includes(0)) return { kind: 'binary' };
  try {
    // A character may be cut at the end of what was looked at.
    const text = decoder.decode(isLarge ? withoutCutCharacter(bytes) : bytes);
    return isLarge || bytes.length > mostBytes ? { kind: 'too large' } : { kind: 'text', text };
  } catch {
    return { kind: 'binary' };
  }
}

function withoutCutCharacter(bytes: Uint8Array): Uint8Array {
  let end = bytes.length;
  while (end > bytes.length - 4 && end > 0 && ((bytes[end - 1] ?? 0) & 0xc0) === 0x80) end -= 1;
  return ((bytes[end - 1] ?? 0) & 0xc0) === 0xc0 ? bytes.subarray(0, end - 1) : bytes.subarray(0, end);
}

function modeOf(entry: Side): string | null {
  if (entry === null) return null;
  if (entry.kind === 'symlink') return '120000';
  return entry.isExecutable ? '100755' : '100644';
}
