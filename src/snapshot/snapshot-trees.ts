// The trees of snapshots, parsed for those who list and compare them; the latest used ones are kept. Large
// ones are parsed in slices, so that nobody else waits.

import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { zstdDecompress } from 'node:zlib';
import type { SessionKey } from '../contracts/worker-link.ts';
import { sessionName, treeIdOf } from './bound-session.ts';
import type { Manifest } from './manifest.ts';
import { applyChange, decodeChange, linesOf, sortedByPath, type TreeEntry } from './tree.ts';
import type { VerifiedObjects } from './verified-objects.ts';

const decompress = promisify(zstdDecompress);

export type SnapshotTree = ReadonlyMap<string, TreeEntry>;

/** Of all kept trees together; one is kept whatever its size. */
const maxEntries = 600_000;
const sliceLines = 1000;

export class SnapshotTrees {
  readonly #objects: VerifiedObjects;
  readonly #trees = new Map<string, Promise<SnapshotTree>>();
  readonly #sizes = new Map<string, number>();

  constructor(objects: VerifiedObjects) {
    this.#objects = objects;
  }

  /** By path, in the order of the paths' bytes. Rejects with Damaged and what the store rejects with. */
  async get(key: SessionKey, manifest: Manifest): Promise<SnapshotTree> {
    const name = `${sessionName(key)}\n${treeIdOf(manifest)}`;
    const tree = this.#trees.get(name) ?? this.#parsed(key, manifest);
    this.#trees.delete(name);
    this.#trees.set(name, tree);
    try {
      this.#sizes.set(name, (await tree).size);
    } catch (error) {
      if (this.#trees.get(name) === tree) this.#trees.delete(name);
      throw error;
    }
    this.#dropExcess();
    return await tree;
  }

  #dropExcess(): void {
    let entries = [...this.#sizes.values()].reduce((sum, size) => sum + size, 0);
    for (const [name] of this.#trees) {
      if (entries <= maxEntries || this.#trees.size <= 1) return;
      entries -= this.#sizes.get(name) ?? 0;
      this.#trees.delete(name);
      this.#sizes.delete(name);
    }
  }

  async #parsed(key: SessionKey, manifest: Manifest): Promise<SnapshotTree> {
    const tree = new Map<string, TreeEntry>();
    for (const part of await this.#objects.tree(key, manifest)) {
      let lines = 0;
      for (const line of linesOf(await decompress(part))) {
        applyChange(tree, decodeChange(line));
        lines += 1;
        if (lines % sliceLines === 0) await setImmediate();
      }
    }
    return new Map(sortedByPath(tree));
  }
}
