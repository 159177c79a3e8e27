// What a workspace holds, as a snapshot keeps it: one line of JSON per entry. A tree is written whole, or as
// the changes to an earlier one. Where the lines lie is for the manifest to say.

import { ServiceError } from '../core/errors.ts';

/** A piece of a file and where its bytes lie: in which pack (by the manifest's number), from where, how many. */
export type Chunk = {
  readonly sha256: string;
  readonly pack: number;
  readonly offset: number;
  readonly length: number;
};

export type FileNode = {
  readonly kind: 'file';
  /** Permission bits, 0 to 0o777. */
  readonly mode: number;
  readonly size: number;
  /** Milliseconds since the epoch. */
  readonly modifiedAt: number;
  /** Of the whole content, hexadecimal. */
  readonly sha256: string;
  /** In the order of the content; none for an empty file. */
  readonly chunks: readonly Chunk[];
};

export type TreeEntry =
  | FileNode
  | { readonly kind: 'directory'; readonly mode: number }
  /** `target` is what the link says; nothing follows it. */
  | { readonly kind: 'symlink'; readonly target: string };

/** By path; null: it was deleted. */
export type TreeChange = readonly [path: string, entry: TreeEntry | null];

type Line =
  | [path: string]
  | [path: string, kind: 'd', mode: number]
  | [path: string, kind: 'l', target: string]
  | [path: string, kind: 'f', mode: number, size: number, modifiedAt: number, sha256: string, chunks: ChunkParts[]];
/** The hash is left out where it is the file's own. */
type ChunkParts = [pack: number, offset: number, length: number, sha256?: string];

/** Ends with a newline. */
export function encodeChange(path: string, entry: TreeEntry | null): string {
  return `${JSON.stringify(lineOf(path, entry))}\n`;
}

function lineOf(path: string, entry: TreeEntry | null): Line {
  switch (entry?.kind) {
    case undefined:
      return [path];
    case 'directory':
      return [path, 'd', entry.mode];
    case 'symlink':
      return [path, 'l', entry.target];
    case 'file': {
      const chunks = entry.chunks.map(
        ({ pack, offset, length, sha256 }): ChunkParts =>
          sha256 === entry.sha256 ? [pack, offset, length] : [pack, offset, length, sha256],
      );
      return [path, 'f', entry.mode, entry.size, entry.modifiedAt, entry.sha256, chunks];
    }
  }
}

/** Its hash has been verified: what does not parse was written wrongly. */
export function decodeChange(text: string): TreeChange {
  const line = JSON.parse(text) as Line;
  if (line.length === 1) return [line[0], null];
  switch (line[1]) {
    case 'd':
      return [line[0], { kind: 'directory', mode: line[2] }];
    case 'l':
      return [line[0], { kind: 'symlink', target: line[2] }];
    case 'f': {
      const [path, , mode, size, modifiedAt, sha256, parts] = line;
      const chunks = parts.map(([pack, offset, length, own = sha256]) => ({ sha256: own, pack, offset, length }));
      return [path, { kind: 'file', mode, size, modifiedAt, sha256, chunks }];
    }
    default:
      throw new ServiceError('session_corrupt', { part: 'tree', problem: 'an entry of an unknown kind' });
  }
}

export function applyChange(tree: Map<string, TreeEntry>, [path, entry]: TreeChange): void {
  if (entry === null) tree.delete(path);
  else tree.set(path, entry);
}

/** The lines of a tree, each handed on: a tree can be larger than a string may be. */
export function* linesOf(bytes: Buffer): Generator<string, void, void> {
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(0x0a, start);
    const stop = end === -1 ? bytes.length : end;
    yield bytes.toString('utf8', start, stop);
    start = stop + 1;
  }
}

export function isSameEntry(left: TreeEntry, right: TreeEntry): boolean {
  if (left.kind === 'directory') return right.kind === 'directory' && left.mode === right.mode;
  if (left.kind === 'symlink') return right.kind === 'symlink' && left.target === right.target;
  return (
    right.kind === 'file' &&
    left.sha256 === right.sha256 &&
    left.mode === right.mode &&
    left.modifiedAt === right.modifiedAt &&
    left.size === right.size
  );
}

/** Order by UTF-8 bytes, which is the order of code points: UTF-16 puts surrogates before U+E000 to U+FFFF. */
function comparePaths(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let index = 0; index < length; index += 1) {
    const a = left.charCodeAt(index);
    const b = right.charCodeAt(index);
    if (a === b) continue;
    const isSurrogateA = a >= 0xd800 && a <= 0xdfff;
    const isSurrogateB = b >= 0xd800 && b <= 0xdfff;
    return isSurrogateA === isSurrogateB ? a - b : isSurrogateA ? 1 : -1;
  }
  return left.length - right.length;
}

/** In the order of `comparePaths`. */
export function sortedByPath<T>(
  entries: Iterable<readonly [path: string, value: T]>,
): (readonly [path: string, value: T])[] {
  const all = [...entries];
  // Without surrogates the order of code units, which is much the faster, is the same.
  const isPlain = all.every(([path]) => !surrogate.test(path));
  return all.sort(([left], [right]) =>
    isPlain ? (left < right ? -1 : left > right ? 1 : 0) : comparePaths(left, right),
  );
}

const surrogate = /[\ud800-\udfff]/;
