// What the capture thread knows of a session's files: what the committed tree holds of each, and what was
// found when its content was last hashed. The latter can be written to a file and read again; without it
// contents are only hashed once more.

import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { crc32, zstdDecompressSync } from 'node:zlib';
import type { Stats } from 'node:fs';
import { decodeChange, linesOf, type TreeEntry } from './tree.ts';

export type SeenFile = {
  readonly size: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly ino: number;
  /** When its content began to be read, by the clock that gives files their times; 0: do not believe it. */
  readAtMs: number;
  readonly sha256: string;
};

export type Known = {
  /** In the committed tree. */
  entry: TreeEntry | null;
  seen: SeenFile | null;
  /** The number of the last walk that came by. */
  walk: number;
};

/**
 * A file's times come from a clock that ticks: written twice within a tick, with a look in between, it looks
 * the same. What was written to less than this before it was read is read again the next time.
 */
const tickMs = 100;
const indexVersion = 1;

export function isUnchanged(seen: SeenFile | null, stats: Stats): seen is SeenFile {
  return (
    seen !== null &&
    seen.ino === stats.ino &&
    seen.ctimeMs === stats.ctimeMs &&
    seen.mtimeMs === stats.mtimeMs &&
    seen.size === stats.size
  );
}

/** The change time is the kernel's alone: whoever writes the file cannot set it. */
export function isSettled(seen: SeenFile): boolean {
  return seen.ctimeMs < seen.readAtMs - tickMs;
}

export class KnownFiles {
  /** By directory ('' or a path with / at its end), then by name: a walk looks up most names of a directory at once. */
  readonly #directories = new Map<string, Map<string, Known>>();
  /** Paths that differ from the whole tree at the chain's beginning, or did. */
  readonly sinceWhole = new Set<string>();
  /** By pack: bytes of files' content that the committed tree needs of it. */
  readonly live = new Map<number, number>();
  walks = 0;
  /** How many entries the committed tree has. */
  entries = 0;

  directory(prefix: string): Map<string, Known> {
    let names = this.#directories.get(prefix);
    if (names === undefined) {
      names = new Map();
      this.#directories.set(prefix, names);
    }
    return names;
  }

  find(prefix: string, name: string): Known | undefined {
    return this.#directories.get(prefix)?.get(name);
  }

  at(path: string): Known {
    const slash = path.lastIndexOf('/') + 1;
    const names = this.directory(path.slice(0, slash));
    const name = path.slice(slash);
    let known = names.get(name);
    if (known === undefined) {
      known = { entry: null, seen: null, walk: 0 };
      names.set(name, known);
    }
    return known;
  }

  *all(): Generator<readonly [prefix: string, name: string, known: Known], void, void> {
    for (const [prefix, names] of this.#directories) for (const [name, known] of names) yield [prefix, name, known];
  }

  setEntry(path: string, entry: TreeEntry | null): void {
    const known = this.at(path);
    countChunks(this.live, known.entry, -1);
    countChunks(this.live, entry, 1);
    this.entries += (entry === null ? 0 : 1) - (known.entry === null ? 0 : 1);
    known.entry = entry;
  }

  /** What the last walk did not meet and the tree does not hold either. */
  prune(): void {
    for (const [prefix, names] of this.#directories) {
      for (const [name, known] of names) if (known.entry === null && known.walk !== this.walks) names.delete(name);
      if (names.size === 0) this.#directories.delete(prefix);
    }
  }

  /** Another tree is the committed one; what was seen of the files stays. */
  async loadTree(parts: readonly Uint8Array[], breathe: () => Promise<void>): Promise<void> {
    for (const [, , known] of this.all()) known.entry = null;
    this.entries = 0;
    this.live.clear();
    this.sinceWhole.clear();
    for (const [index, part] of parts.entries()) {
      for (const line of linesOf(zstdDecompressSync(part))) {
        const [path, entry] = decodeChange(line);
        this.setEntry(path, entry);
        if (index > 0) this.sinceWhole.add(path);
        await breathe();
      }
    }
  }

  saveIndex(file: string): void {
    const lines: string[] = [];
    for (const [prefix, name, { seen }] of this.all()) {
      if (seen === null) continue;
      const { size, mtimeMs, ctimeMs, ino, readAtMs, sha256 } = seen;
      lines.push(JSON.stringify([prefix + name, size, mtimeMs, ctimeMs, ino, readAtMs, sha256]));
    }
    const body = lines.join('\n');
    const head = JSON.stringify({ version: indexVersion, checksum: crc32(body) });
    writeFileSync(`${file}.new`, `${head}\n${body}`, { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }

  loadIndex(file: string): void {
    try {
      const bytes = readFileSync(file);
      const end = bytes.indexOf(0x0a);
      const head = JSON.parse(bytes.toString('utf8', 0, end)) as { version: number; checksum: number };
      const body = bytes.subarray(end + 1);
      if (head.version !== indexVersion || head.checksum !== crc32(body)) return;
      for (const line of linesOf(body)) {
        const [path, size, mtimeMs, ctimeMs, ino, readAtMs, sha256] = JSON.parse(line) as IndexLine;
        this.at(path).seen = { size, mtimeMs, ctimeMs, ino, readAtMs, sha256 };
      }
    } catch {
      // Absent or damaged: every content is hashed again, and that is all.
    }
  }
}

type IndexLine = [
  path: string,
  size: number,
  mtimeMs: number,
  ctimeMs: number,
  ino: number,
  readAtMs: number,
  sha256: string,
];

/** Adds the entry's bytes to the packs they lie in, or takes them away. */
export function countChunks(live: Map<number, number>, entry: TreeEntry | null, sign: 1 | -1): void {
  if (entry?.kind !== 'file') return;
  for (const { pack, length } of entry.chunks) {
    const bytes = (live.get(pack) ?? 0) + sign * length;
    if (bytes === 0) live.delete(pack);
    else live.set(pack, bytes);
  }
}
