// Which of a session's objects nothing needs any more, and their removal: only such as a writer of this epoch
// or an earlier one put, and no later than the snapshot that the session stands at.

import type { SessionKey } from '../contracts/worker-link.ts';
import type { SnapshotRef } from '../core/session.ts';
import { Damaged, parseObjectName } from './manifest.ts';
import type { VerifiedObjects } from './verified-objects.ts';

/**
 * Keeps what `ref`, the snapshots before it that its manifest names, and `keep` consist of. Answers how many
 * objects are gone. Rejects with what the store rejects with; nothing that is needed is gone then.
 */
export async function clearSnapshots(
  objects: VerifiedObjects,
  key: SessionKey,
  epoch: number,
  ref: SnapshotRef,
  keep: readonly SnapshotRef[],
): Promise<number> {
  const limit = parseObjectName(ref.object);
  if (limit === null) return 0;
  const { previous } = await objects.manifest(key, ref);
  const needed = new Set<string>();
  for (const one of [ref, ...previous, ...keep]) {
    needed.add(one.object);
    try {
      for (const { object } of (await objects.manifest(key, one)).packs) needed.add(object);
    } catch (error) {
      // Cleared away before, or damaged: nothing more can be kept of it.
      if (!(error instanceof Damaged)) throw error;
    }
  }
  const dead = (await objects.store.list(key))
    .filter(({ name }) => {
      const parsed = parseObjectName(name);
      return parsed !== null && parsed.epoch <= epoch && parsed.number <= limit.number && !needed.has(name);
    })
    .map(({ name }) => name);
  if (dead.length > 0) await objects.store.remove(key, dead);
  return dead.length;
}
