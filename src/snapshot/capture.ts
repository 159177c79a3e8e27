// Captures a workspace, in the capture thread: walks it, compares it with the committed tree, reads what may
// have changed, hands its content on in packs and says how the tree changed. Knows no store.

import { constants, zstdCompressSync } from 'node:zlib';
import { isGone, OpenDirectory } from '../workspace/open-directory.ts';
import { type Skipped, type WalkedEntry, walk } from '../workspace/walk.ts';
import type { CaptureJob, CaptureResult } from './capture-messages.ts';
import { ContentReader } from './content-reader.ts';
import { countChunks, isSettled, isUnchanged, type Known, type KnownFiles } from './known-files.ts';
import { sha256Of, type TreeCounts } from './manifest.ts';
import { PackWriter } from './pack-writer.ts';
import { type Chunk, encodeChange, isSameEntry, sortedByPath, type TreeEntry } from './tree.ts';

/** As many are told by name; the others are counted. */
const maxSkippedTold = 100;
const maxChainParts = 16;
/** Changes up to here never cause the tree to be written whole. */
const fewEntries = 256;
/** Hashes do not compress, and paths do at the least effort. */
const compression = { params: { [constants.ZSTD_c_compressionLevel]: 1 } } as const;

export type CaptureLinks = {
  readonly handOver: (pack: number, bytes: Uint8Array) => Promise<void>;
  /** To be called often: lets others have the thread when it has been held for long, and ends what was aborted. */
  readonly breathe: () => Promise<void>;
  readonly nowMs: () => number;
};

/** What a capture found; the tree of the session once its snapshot is committed. */
export type Captured = {
  readonly result: CaptureResult;
  readonly changes: ReadonlyMap<string, TreeEntry | null>;
};

export async function capture(known: KnownFiles, job: CaptureJob, links: CaptureLinks): Promise<Captured> {
  const skipped: Skipped[] = [];
  let skippedCount = 0;
  const onSkipped = (one: Skipped): void => {
    skippedCount += 1;
    if (skipped.length < maxSkippedTold) skipped.push(one);
  };
  const writer = new PackWriter(job.nextPack, job.packBytes, links.handOver);
  const evacuated = new Set(job.evacuate);
  const reader = new ContentReader({
    writer,
    packBytes: job.packBytes,
    maxBytes: job.limits.maxBytes,
    breathe: links.breathe,
    storedChunks: () => storedChunks(known, evacuated),
  });
  const changes = new Map<string, TreeEntry | null>();
  const counts = { files: 0, directories: 0, links: 0, bytes: 0 };
  let changed = 0;
  let met = 0;
  known.walks += 1;

  const root = OpenDirectory.openRoot(job.workspace);
  try {
    const quickLook = {
      path: job.workspace,
      isKnown: (prefix: string, name: string, stats: WalkedEntry['stats']) =>
        isUnchanged(known.find(prefix, name)?.seen ?? null, stats),
    };
    let prefix: string | null = null;
    let names = new Map<string, Known>();
    for (const walked of walk(root, { limits: job.limits, exclude: job.exclude, onSkipped, quickLook })) {
      if (walked.prefix !== prefix) {
        prefix = walked.prefix;
        names = known.directory(prefix);
      }
      let entry = keptEntry(names.get(walked.name), walked, evacuated);
      if (entry === null) {
        entry = await freshEntry(walked, names, reader, links, onSkipped);
        if (entry === null) continue;
      }
      const one = names.get(walked.name) ?? { entry: null, seen: null, walk: 0 };
      names.set(walked.name, one);
      one.walk = known.walks;
      if (one.entry !== null) met += 1;
      count(counts, entry);
      if (one.entry !== entry) {
        const isSame = one.entry !== null && isSameEntry(one.entry, entry);
        if (!isSame) changed += 1;
        if (!isSame || !isSamePlace(one.entry, entry)) changes.set(walked.prefix + walked.name, entry);
      }
      const breath = links.breathe();
      if (breath !== nothingToWaitFor) await breath;
    }
  } finally {
    root.close();
  }
  return finished(known, job, {
    changes,
    changed,
    met,
    counts,
    writer,
    skipped: { count: skippedCount, first: skipped },
  });
}

/** What `breathe` answers when there is no need to wait: awaiting it 100,000 times would cost 10 ms. */
export const nothingToWaitFor = Promise.resolve();

type Found = {
  readonly changes: Map<string, TreeEntry | null>;
  /** Of the changes, those that are not merely of where the content is kept. */
  readonly changed: number;
  /** Entries of the committed tree that are still there. */
  readonly met: number;
  readonly counts: TreeCounts;
  readonly writer: PackWriter;
  readonly skipped: CaptureResult['skipped'];
};

function finished(
  known: KnownFiles,
  job: CaptureJob,
  { changes, changed, met, counts, writer, skipped }: Found,
): Captured {
  const kept = changes.size;
  if (met < known.entries) {
    for (const [prefix, name, one] of known.all()) {
      if (one.entry !== null && one.walk !== known.walks) changes.set(prefix + name, null);
    }
  }
  const live = new Map(known.live);
  for (const [path, entry] of changes) {
    countChunks(live, known.at(path).entry, -1);
    countChunks(live, entry, 1);
  }
  const { bytes: rest, pack: restPack } = writer.take();
  const result: CaptureResult = {
    tree: changes.size === 0 && job.chainEntries.length > 0 ? null : treePart(known, job, changes),
    rest,
    restPack,
    live: [...live],
    counts,
    changed,
    deleted: changes.size - kept,
    skipped,
  };
  return { result, changes };
}

/** The entry as the tree has it, where nothing needs to be read to know that it still is so; else null. */
function keptEntry(
  one: Known | undefined,
  { kind, stats }: WalkedEntry,
  evacuated: ReadonlySet<number>,
): TreeEntry | null {
  const entry = one?.entry;
  if (one === undefined || entry === undefined || entry === null || entry.kind !== kind) return null;
  const mode = stats.mode & 0o777;
  if (entry.kind === 'directory') return entry.mode === mode ? entry : null;
  if (entry.kind === 'symlink') return null;
  const { seen } = one;
  if (!isUnchanged(seen, stats) || !isSettled(seen) || seen.sha256 !== entry.sha256) return null;
  if (evacuated.size > 0 && entry.chunks.some(({ pack }) => evacuated.has(pack))) return null;
  const modifiedAt = Math.round(stats.mtimeMs);
  return entry.mode === mode && entry.modifiedAt === modifiedAt ? entry : { ...entry, mode, modifiedAt };
}

/** null when it is gone by now, or cannot be read. */
async function freshEntry(
  { kind, name, parent, prefix, stats }: WalkedEntry,
  names: Map<string, Known>,
  reader: ContentReader,
  links: CaptureLinks,
  onSkipped: (skipped: Skipped) => void,
): Promise<TreeEntry | null> {
  if (kind === 'directory') return { kind, mode: stats.mode & 0o777 };
  try {
    if (kind === 'symlink') {
      const target = parent.readLink(name);
      if (target === null) onSkipped({ path: prefix + name, why: 'name_not_utf8' });
      return target === null ? null : { kind, target };
    }
    const readAtMs = links.nowMs();
    const content = await reader.read(parent, name);
    if (content === null) return null;
    const { sha256, size, chunks, stats: found, isStable } = content;
    const { ino, ctimeMs, mtimeMs } = found;
    const seen = { size: found.size, mtimeMs, ctimeMs, ino, readAtMs: isStable ? readAtMs : 0, sha256 };
    const known = names.get(name);
    if (known === undefined) names.set(name, { entry: null, seen, walk: 0 });
    else known.seen = seen;
    return { kind, mode: found.mode & 0o777, size, modifiedAt: Math.round(mtimeMs), sha256, chunks };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // What it has turned into since it was looked at is a matter for the next walk.
    if (isGone(error) || code === 'EINVAL') return null;
    if (code !== 'EACCES' && code !== 'EPERM' && code !== 'EIO') throw error;
    onSkipped({ path: prefix + name, why: 'unreadable' });
    return null;
  }
}

/** Of two entries that are the same otherwise. */
function isSamePlace(before: TreeEntry | null, now: TreeEntry): boolean {
  if (before?.kind !== 'file' || now.kind !== 'file') return true;
  return before.chunks.every(({ pack, offset }, index) => {
    const chunk = now.chunks[index];
    return chunk?.pack === pack && chunk.offset === offset;
  });
}

function storedChunks(known: KnownFiles, evacuated: ReadonlySet<number>): Map<string, Chunk> {
  const stored = new Map<string, Chunk>();
  for (const [, , { entry }] of known.all()) {
    if (entry?.kind !== 'file') continue;
    for (const chunk of entry.chunks) if (!evacuated.has(chunk.pack)) stored.set(chunk.sha256, chunk);
  }
  return stored;
}

function count(counts: { -readonly [Name in keyof TreeCounts]: number }, entry: TreeEntry): void {
  if (entry.kind === 'directory') counts.directories += 1;
  else if (entry.kind === 'symlink') counts.links += 1;
  else {
    counts.files += 1;
    counts.bytes += entry.size;
  }
}

/**
 * A chain is a whole tree and changes to it. Long chains become two parts; when the changes amount to half
 * of the tree it is written anew. So a change costs little, and so does reading the chain.
 */
function treePart(
  known: KnownFiles,
  job: CaptureJob,
  changes: ReadonlyMap<string, TreeEntry | null>,
): CaptureResult['tree'] {
  const [wholeEntries, ...changeEntries] = job.chainEntries;
  const altered = changeEntries.reduce((sum, entries) => sum + entries, changes.size);
  if (wholeEntries === undefined || altered > Math.max(fewEntries, wholeEntries / 2)) {
    // In the order in which it will be listed: whoever reads it has little left to sort.
    return encoded('whole', sortedByPath(wholeTree(known, changes)));
  }
  if (job.chainEntries.length < maxChainParts) return encoded('alters', changes);
  const summary = new Map<string, TreeEntry | null>();
  for (const path of known.sinceWhole) summary.set(path, known.at(path).entry);
  for (const [path, entry] of changes) summary.set(path, entry);
  return encoded('summarises', summary);
}

function* wholeTree(
  known: KnownFiles,
  changes: ReadonlyMap<string, TreeEntry | null>,
): Iterable<readonly [string, TreeEntry]> {
  for (const [prefix, name, { entry }] of known.all()) {
    if (entry !== null && !changes.has(prefix + name)) yield [prefix + name, entry];
  }
  for (const [path, entry] of changes) if (entry !== null) yield [path, entry];
}

function encoded(
  role: 'whole' | 'alters' | 'summarises',
  changes: Iterable<readonly [string, TreeEntry | null]>,
): CaptureResult['tree'] {
  const pieces: Buffer[] = [];
  let lines: string[] = [];
  let entries = 0;
  for (const [path, entry] of changes) {
    entries += 1;
    lines.push(encodeChange(path, entry));
    if (lines.length === 4096) {
      pieces.push(Buffer.from(lines.join('')));
      lines = [];
    }
  }
  pieces.push(Buffer.from(lines.join('')));
  const bytes = zstdCompressSync(Buffer.concat(pieces), compression);
  return { role, bytes, sha256: sha256Of(bytes), entries };
}

/** The snapshot of this capture is the committed one now. */
export function settle(known: KnownFiles, { result, changes }: Captured): void {
  for (const [path, entry] of changes) {
    known.setEntry(path, entry);
    known.sinceWhole.add(path);
  }
  if (result.tree?.role === 'whole') known.sinceWhole.clear();
  known.prune();
}
