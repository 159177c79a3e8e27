// Reads what snapshots consist of, and hands out nothing whose hash does not match. Manifests are kept for
// the next time, up to a number.

import type { SessionObjects } from '../contracts/snapshots.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import type { SnapshotRef } from '../core/session.ts';
import {
  Damaged,
  decodeManifest,
  type Extent,
  type Manifest,
  objectOf,
  parseObjectName,
  sha256Of,
} from './manifest.ts';

export type Part = 'manifest' | 'rollout' | 'tree' | 'files' | 'events';

const maxCachedManifests = 512;
/** Most manifests are within; a longer one is asked for again. */
const likelyManifestBytes = 64 * 1024;
const maxManifestBytes = 64 * 1024 * 1024;

export class VerifiedObjects {
  readonly store: SessionObjects;
  /** By tenant, session and object: an id of one tenant opens nothing of another's. */
  readonly #manifests = new Map<string, Manifest>();

  constructor(store: SessionObjects) {
    this.store = store;
  }

  /** Rejects with Damaged, `session_failed` for a later format, and what the store rejects with. */
  async manifest(key: SessionKey, ref: SnapshotRef): Promise<Manifest> {
    const cached = this.#manifests.get(cacheKey(key, ref.object));
    if (cached !== undefined) return cached;
    const { manifest } = await this.readManifest(key, ref.object, ref.sha256);
    this.remember(key, ref.object, manifest);
    return manifest;
  }

  remember(key: SessionKey, object: string, manifest: Manifest): void {
    const name = cacheKey(key, object);
    this.#manifests.delete(name);
    this.#manifests.set(name, manifest);
    for (const [oldest] of this.#manifests) {
      if (this.#manifests.size <= maxCachedManifests) return;
      this.#manifests.delete(oldest);
    }
  }

  /** As it is stored now. `sha256`: null when only the manifest itself can say. */
  async readManifest(
    key: SessionKey,
    object: string,
    sha256: string | null,
  ): Promise<{ manifest: Manifest; sha256: string }> {
    const offset = parseObjectName(object)?.manifestAt ?? null;
    if (offset === null) throw new Damaged('manifest', object, 'not the name of a manifest');
    let bytes = await this.store.read(key, object, { offset, length: likelyManifestBytes });
    if (bytes?.length === likelyManifestBytes) {
      bytes = await this.store.read(key, object, { offset, length: maxManifestBytes });
    }
    if (bytes === null) throw new Damaged('manifest', object, 'it is missing');
    return decodeManifest(object, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), sha256);
  }

  async read(key: SessionKey, manifest: Manifest, extent: Extent, part: Part): Promise<Uint8Array> {
    const object = objectOf(manifest, extent.pack);
    const { offset, length } = extent;
    const bytes = await this.store.read(key, object, { offset, length });
    if (bytes === null) throw new Damaged(part, object, 'it is missing');
    if (bytes.length !== length) throw new Damaged(part, object, 'it is cut');
    if (sha256Of(bytes) !== extent.sha256) throw new Damaged(part, object, 'its hash does not match');
    return bytes;
  }

  /** Compressed, in the order of the chain. */
  async tree(key: SessionKey, manifest: Manifest): Promise<readonly Uint8Array[]> {
    return await Promise.all(manifest.tree.map((part) => this.read(key, manifest, part, 'tree')));
  }
}

function cacheKey(key: SessionKey, object: string): string {
  return `${key.tenant}\n${key.sessionId}\n${object}`;
}
