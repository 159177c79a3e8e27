// A snapshot opened for reading: its entries, and the contents of its files, verified piece by piece.

import type { ByteRange } from '../contracts/snapshots.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import type { SnapshotRef } from '../core/session.ts';
import type { Manifest } from './manifest.ts';
import type { SnapshotTree } from './snapshot-trees.ts';
import type { FileNode } from './tree.ts';
import type { VerifiedObjects } from './verified-objects.ts';

export class SnapshotReader {
  readonly ref: SnapshotRef;
  /** By path, in the order of the paths' bytes. */
  readonly entries: SnapshotTree;
  readonly #objects: VerifiedObjects;
  readonly #key: SessionKey;
  readonly #manifest: Manifest;

  constructor(objects: VerifiedObjects, key: SessionKey, ref: SnapshotRef, manifest: Manifest, entries: SnapshotTree) {
    this.#objects = objects;
    this.#key = key;
    this.ref = ref;
    this.#manifest = manifest;
    this.entries = entries;
  }

  /**
   * The content of one of `entries`, or as much of the range as there is, in pieces of at most 8 MiB.
   * Throws `session_corrupt` where it is damaged: what came before that is sound.
   */
  async *read(file: FileNode, range: ByteRange | null): AsyncGenerator<Uint8Array, void, void> {
    const from = range?.offset ?? 0;
    const to = Math.min(file.size, range === null ? file.size : from + range.length);
    let start = 0;
    for (const chunk of file.chunks) {
      const end = start + chunk.length;
      if (start < to && end > from) {
        const bytes = await this.#objects.read(this.#key, this.#manifest, chunk, 'files');
        yield bytes.subarray(Math.max(0, from - start), Math.min(chunk.length, to - start));
      }
      start = end;
    }
  }
}
