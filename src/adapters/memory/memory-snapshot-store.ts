// Snapshots in memory: for tests and for a fleet that keeps nothing. They live as long as the process does.

import type { ByteRange, SnapshotStore, StoredObject } from '../../contracts/snapshots.ts';
import type { SessionKey } from '../../contracts/worker-link.ts';
import { ServiceError } from '../../core/errors.ts';
import { tenantKey } from './tenant-key.ts';

const namePattern = /^[a-z0-9][a-z0-9._-]{0,127}$/;

export class MemorySnapshotStore implements SnapshotStore {
  readonly #sessions = new Map<string, Map<string, Uint8Array>>();
  readonly #keys = new Map<string, SessionKey>();

  async put(key: SessionKey, name: string, content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void> {
    if (!namePattern.test(name)) throw new ServiceError('internal', {}, { message: 'not the name of an object' });
    const pieces: Uint8Array[] = [];
    // A copy: one buffer may serve for all of them.
    for await (const piece of content) pieces.push(piece.slice());
    const mapKey = tenantKey(key.tenant, key.sessionId);
    const objects = this.#sessions.get(mapKey) ?? new Map<string, Uint8Array>();
    if (objects.has(name)) throw new ServiceError('store_conflict');
    objects.set(name, new Uint8Array(Buffer.concat(pieces)));
    this.#sessions.set(mapKey, objects);
    this.#keys.set(mapKey, { tenant: key.tenant, sessionId: key.sessionId });
  }

  async read(key: SessionKey, name: string, range?: ByteRange): Promise<Uint8Array | null> {
    const bytes = this.#objectsOf(key).get(name);
    if (bytes === undefined) return null;
    // Copies: what is stored stays as it is, whatever becomes of the answer.
    return range === undefined ? bytes.slice() : bytes.slice(range.offset, range.offset + range.length);
  }

  async list(key: SessionKey): Promise<readonly StoredObject[]> {
    return [...this.#objectsOf(key)]
      .map(([name, content]) => ({ name, bytes: content.length }))
      .sort((left, right) => (left.name < right.name ? -1 : 1));
  }

  async remove(key: SessionKey, names: readonly string[]): Promise<void> {
    const objects = this.#objectsOf(key);
    for (const name of names) objects.delete(name);
    if (objects.size === 0) await this.erase(key);
  }

  async erase(key: SessionKey): Promise<void> {
    this.#sessions.delete(tenantKey(key.tenant, key.sessionId));
    this.#keys.delete(tenantKey(key.tenant, key.sessionId));
  }

  async *sessions(): AsyncGenerator<SessionKey> {
    yield* [...this.#keys.values()];
  }

  #objectsOf(key: SessionKey): Map<string, Uint8Array> {
    return this.#sessions.get(tenantKey(key.tenant, key.sessionId)) ?? new Map<string, Uint8Array>();
  }
}
