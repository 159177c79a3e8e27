// What a workspace looks like to who only reads it: a live directory and a snapshot alike. Listing,
// archives and comparisons are made from this.

import { setImmediate as nextTick } from 'node:timers/promises';
import { fileNotFound } from './file-errors.ts';

export type TreeEntry = {
  /** Relative to the workspace. */
  readonly path: string;
  readonly kind: 'file' | 'directory' | 'symlink' | 'special';
  /** Bytes; 0 for anything but a file. */
  readonly size: number;
  /** Milliseconds since the epoch. */
  readonly modifiedAt: number;
  readonly isExecutable: boolean;
  /** What a link says; null for anything else. */
  readonly target: string | null;
};

export type TreeFile = {
  readonly entry: TreeEntry;
  /** Of all octets of the file, hexadecimal. */
  readonly sha256: string;
  /** Whoever does not read it to its end calls `return` of its iterator: a descriptor may be open. */
  readonly content: AsyncIterable<Uint8Array>;
};

export type Extent = { readonly offset: number; readonly length: number };

export interface Tree {
  /** '' is the workspace itself. null where nothing is, and behind a link. */
  stat(path: string): Promise<TreeEntry | null>;
  /**
   * What is below `path`, or only in it, behind the path `after`, in byte order of paths. Names that are
   * not UTF-8 have no path and are left out. Rejects with `file_not_found` when no directory is there.
   */
  entries(
    path: string,
    scope: { readonly recursive: boolean; readonly after: string | null },
  ): AsyncIterable<TreeEntry>;
  /** Rejects with `file_not_found` for anything but a file; the stream fails when the file changes meanwhile. */
  read(path: string, extent: Extent | null): Promise<TreeFile>;
  /** The first octets of a file, as many as there are up to `most`; null when there is no such file. */
  head(path: string, most: number): Promise<Uint8Array | null>;
  /** null when there is no such file. */
  sha256(path: string): Promise<string | null>;
}

/** Strings that sort as the UTF-8 of the texts does. */
export function sortKey(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return /^[\x00-\x7f]*$/.test(text) ? text : Buffer.from(text).toString('latin1');
}

export function compareKeys(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

const latestMs = Date.UTC(9999, 11, 31);

/** Anybody may set a file's time to what no calendar has. */
export function plausibleTime(epochMs: number): number {
  return Math.trunc(Math.max(0, Math.min(epochMs, latestMs)));
}

export function joinPath(directory: string, name: string): string {
  return directory === '' ? name : `${directory}/${name}`;
}

export async function listTree(
  tree: Tree,
  query: { readonly path: string; readonly recursive: boolean; readonly after: string | null; readonly limit: number },
): Promise<{ readonly data: readonly TreeEntry[]; readonly hasMore: boolean }> {
  const data: TreeEntry[] = [];
  for await (const entry of tree.entries(query.path, query)) {
    if (data.length === query.limit) return { data, hasMore: true };
    data.push(entry);
  }
  return { data, hasMore: false };
}

/** Lets others run after every so many steps: what is synchronous must not be long. */
export class Breather {
  #steps = 0;

  async step(): Promise<void> {
    this.#steps += 1;
    if (this.#steps % 128 === 0) await nextTick();
  }
}

/** As it was before anything was in it. */
export const emptyTree: Tree = {
  stat: async (path) =>
    path === '' ? { path, kind: 'directory', size: 0, modifiedAt: 0, isExecutable: false, target: null } : null,
  // oxlint-disable-next-line require-yield
  entries: async function* nothing() {
    return;
  },
  read: async (path) => {
    throw fileNotFound(path);
  },
  head: async () => null,
  sha256: async () => null,
};
