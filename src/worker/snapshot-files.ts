// A snapshot's workspace as a tree that can be listed, read and compared, like a live one. What a snapshot
// is and whether it is whole is known by who opened it.

import type { SnapshotReader } from '../snapshot/snapshot-reader.ts';
import type { TreeEntry as SnapshotEntry } from '../snapshot/tree.ts';
import { fileNotFound } from '../workspace/file-errors.ts';
import { type Extent, plausibleTime, sortKey, type Tree, type TreeEntry, type TreeFile } from '../workspace/tree.ts';

export class SnapshotFiles implements Tree {
  readonly #snapshot: Pick<SnapshotReader, 'ref' | 'entries' | 'read'>;

  constructor(snapshot: Pick<SnapshotReader, 'ref' | 'entries' | 'read'>) {
    this.#snapshot = snapshot;
  }

  async stat(path: string): Promise<TreeEntry | null> {
    const found = path === '' ? ({ kind: 'directory' } as const) : this.#snapshot.entries.get(path);
    return found === undefined ? null : this.#entryOf(path, found);
  }

  async *entries(
    path: string,
    { recursive, after }: { readonly recursive: boolean; readonly after: string | null },
  ): AsyncGenerator<TreeEntry> {
    if ((await this.stat(path))?.kind !== 'directory') throw fileNotFound(path);
    const prefix = path === '' ? '' : `${path}/`;
    const afterKey = after === null ? null : sortKey(after);
    for (const [below, entry] of this.#snapshot.entries) {
      if (!below.startsWith(prefix) || (!recursive && below.includes('/', prefix.length))) continue;
      if (afterKey === null || sortKey(below) > afterKey) yield this.#entryOf(below, entry);
    }
  }

  async read(path: string, extent: Extent | null): Promise<TreeFile> {
    const file = this.#snapshot.entries.get(path);
    if (file?.kind !== 'file') throw fileNotFound(path);
    return { entry: this.#entryOf(path, file), sha256: file.sha256, content: this.#snapshot.read(file, extent) };
  }

  async head(path: string, most: number): Promise<Uint8Array | null> {
    const file = this.#snapshot.entries.get(path);
    if (file?.kind !== 'file') return null;
    const pieces: Uint8Array[] = [];
    for await (const piece of this.#snapshot.read(file, { offset: 0, length: most })) pieces.push(piece);
    return Buffer.concat(pieces);
  }

  async sha256(path: string): Promise<string | null> {
    const file = this.#snapshot.entries.get(path);
    return file?.kind === 'file' ? file.sha256 : null;
  }

  #entryOf(path: string, entry: SnapshotEntry | { readonly kind: 'directory' }): TreeEntry {
    const isFile = entry.kind === 'file';
    return {
      path,
      kind: entry.kind,
      size: isFile ? entry.size : 0,
      // Of directories and links a snapshot keeps no time.
      modifiedAt: plausibleTime(isFile ? entry.modifiedAt : this.#snapshot.ref.takenAt),
      isExecutable: isFile && (entry.mode & 0o100) !== 0,
      target: entry.kind === 'symlink' ? entry.target : null,
    };
  }
}
