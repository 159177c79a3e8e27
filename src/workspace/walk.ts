// Everything that a workspace holds, found without following anything. An agent may write while we look:
// what goes or changes kind in between is left out, what cannot be kept is named. In no order, but for
// each directory being told before what is in it. What is read of the files is for others.

import { lstatSync, type Stats } from 'node:fs';
import { ServiceError } from '../core/errors.ts';
import { type EntryName, isGone, type OpenDirectory } from './open-directory.ts';

export type WalkLimits = {
  /** Files, directories and links together. */
  readonly maxEntries: number;
  /** Of the files' sizes. */
  readonly maxBytes: number;
  /** Directories within directories. Each is held open while what is below it is walked. */
  readonly maxDepth: number;
};

export type SkipReason =
  /** A socket, a FIFO, a device. */
  | 'special_file'
  | 'name_not_utf8'
  /** We may not read it, or reading fails. */
  | 'unreadable'
  | 'too_deep';

export type Skipped = { readonly path: string; readonly why: SkipReason };

export type WalkedEntry = {
  /** Before the name, relative to the root: '' or a path with / at its end. */
  readonly prefix: string;
  readonly name: string;
  /** Where it stands: open until the next entry is asked for. */
  readonly parent: OpenDirectory;
  readonly kind: 'file' | 'directory' | 'symlink';
  readonly stats: Stats;
};

export type WalkOptions = {
  readonly limits: WalkLimits;
  /** Exact paths, each left out with all below it. */
  readonly exclude: readonly string[];
  readonly onSkipped: (skipped: Skipped) => void;
  /**
   * Who knows the tree already: an entry is looked at by its whole path below `path` first, at half the cost.
   * A link put where a directory was can lead that look astray, so only what `isKnown` recognises (by inode
   * and time of change) is taken from it.
   */
  readonly quickLook?: {
    readonly path: string;
    readonly isKnown: (prefix: string, name: string, stats: Stats) => boolean;
  };
};

/** Longer ones fit no system call. */
const maxPathBytes = 4095;

type Level = {
  readonly directory: OpenDirectory;
  readonly prefix: string;
  readonly names: readonly EntryName[];
  next: number;
};

/** `root` stays open. Throws `workspace_too_large` with {files | bytes, limit}. */
export function* walk(root: OpenDirectory, options: WalkOptions): Generator<WalkedEntry, void, void> {
  const { limits, onSkipped } = options;
  const excluded = new Set(options.exclude);
  const levels: Level[] = [{ directory: root, prefix: '', names: root.names(limits.maxEntries + 1), next: 0 }];
  let entries = 0;
  let bytes = 0;
  try {
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      const name = level.names[level.next++];
      if (name === undefined) {
        levels.pop();
        if (level.directory !== root) level.directory.close();
        continue;
      }
      if (typeof name !== 'string') {
        onSkipped({ path: level.prefix + name.toString('utf8'), why: 'name_not_utf8' });
        continue;
      }
      const { prefix, directory } = level;
      if (excluded.size > 0 && excluded.has(prefix + name)) continue;
      if (prefix.length > maxPathBytes / 4 && Buffer.byteLength(prefix + name) > maxPathBytes) {
        onSkipped({ path: (prefix + name).slice(0, 256), why: 'too_deep' });
        continue;
      }
      const stats = quickStats(options.quickLook, prefix, name) ?? safeStats(level, name, onSkipped);
      if (stats === null) continue;
      const kind = kindOf(stats);
      if (kind === null) {
        onSkipped({ path: prefix + name, why: 'special_file' });
        continue;
      }
      entries += 1;
      if (entries > limits.maxEntries)
        throw new ServiceError('workspace_too_large', { files: entries, limit: limits.maxEntries });
      if (kind === 'file') bytes += stats.size;
      if (bytes > limits.maxBytes) throw new ServiceError('workspace_too_large', { bytes, limit: limits.maxBytes });
      yield { prefix, name, parent: directory, kind, stats };
      if (kind !== 'directory') continue;
      if (levels.length > limits.maxDepth) onSkipped({ path: prefix + name, why: 'too_deep' });
      else enter(levels, level, name, options);
    }
  } finally {
    for (const { directory } of levels) if (directory !== root) directory.close();
  }
}

function enter(levels: Level[], parent: Level, name: string, { limits, onSkipped }: WalkOptions): void {
  const path = parent.prefix + name;
  let directory: OpenDirectory | null = null;
  try {
    directory = parent.directory.openDirectory(name);
    levels.push({ directory, prefix: `${path}/`, names: directory.names(limits.maxEntries + 1), next: 0 });
  } catch (error) {
    directory?.close();
    if (!isGone(error)) onSkipped({ path, why: refusal(error) });
  }
}

function safeStats(level: Level, name: string, onSkipped: WalkOptions['onSkipped']): Stats | null {
  try {
    return level.directory.stat(name);
  } catch (error) {
    if (!isGone(error)) onSkipped({ path: level.prefix + name, why: refusal(error) });
    return null;
  }
}

function quickStats(look: WalkOptions['quickLook'], prefix: string, name: string): Stats | null {
  if (look === undefined) return null;
  try {
    const stats = lstatSync(`${look.path}/${prefix}${name}`, { throwIfNoEntry: false });
    return stats !== undefined && look.isKnown(prefix, name, stats) ? stats : null;
  } catch {
    // Too long a path, a directory that may not be searched: the safe look says what it is.
    return null;
  }
}

/** What keeps us from one entry is said of it; what keeps us from all of them ends the walk. */
function refusal(error: unknown): SkipReason {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'EACCES' || code === 'EPERM') return 'unreadable';
  throw error;
}

function kindOf(stats: Stats): WalkedEntry['kind'] | null {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  return stats.isSymbolicLink() ? 'symlink' : null;
}
