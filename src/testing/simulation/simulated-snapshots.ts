// Snapshots in a simulated world: one object each, with the words that the session's files hold and the
// events that it seals, in the snapshot store of the world. Stands in for Snapshots.

import type { EventLog, LogKey } from '../../contracts/event-log.ts';
import type { SnapshotStore } from '../../contracts/snapshots.ts';
import type { SessionKey } from '../../contracts/worker-link.ts';
import { ServiceError } from '../../core/errors.ts';
import type { StoredEvent } from '../../core/event.ts';
import type { SnapshotRef } from '../../core/session.ts';
import type { Snapshots } from '../../snapshot/snapshots.ts';
import type { TakeRequest } from '../../snapshot/take-snapshot.ts';
import type { SimulatedDisk } from './simulated-disk.ts';
import type { SimulatedProcess } from './simulated-process.ts';

export type SnapshotContent = { readonly words: readonly string[]; readonly events: readonly StoredEvent[] };

export function decodeSnapshot(bytes: Uint8Array | null): SnapshotContent {
  if (bytes === null) throw new ServiceError('session_corrupt', { problem: 'the snapshot is gone' });
  try {
    return JSON.parse(Buffer.from(bytes).toString()) as SnapshotContent;
  } catch {
    throw new ServiceError('session_corrupt', { problem: 'the snapshot is torn' });
  }
}

type Parts = {
  readonly disk: SimulatedDisk;
  readonly process: SimulatedProcess;
  readonly log: EventLog;
  readonly store: SnapshotStore;
};

export function simulatedSnapshots({ disk, log, process, store }: Parts): Snapshots {
  let numbers = 0;
  const contentOf = async (key: SessionKey, ref: SnapshotRef): Promise<SnapshotContent> =>
    decodeSnapshot(await store.read(key, ref.object));
  const take = async ({ base, epoch, key, place, sealUpTo, turnId }: TakeRequest) => {
    const words = [...disk.wordsAt(place)];
    const sealed = base === null ? [] : (await contentOf(key, base)).events;
    const events = [...sealed, ...(await eventsBetween(log, key, base?.lastSeq ?? 0, sealUpTo))];
    const lastSeq = events.at(-1)?.header.seq ?? 0;
    const object = `${epoch}.${++numbers}.${process.name.replaceAll(/[^a-z0-9]/g, '')}.0`;
    const content: SnapshotContent = { words, events };
    await store.put(key, object, [Buffer.from(JSON.stringify(content))]);
    const ref: SnapshotRef = { object, sha256: '', turnId, lastSeq, takenAt: process.clock.now(), rolloutBytes: 1 };
    return { ref, facts: { walked: false, skipped: [] } };
  };
  const snapshots = {
    take,
    hasGrownFrom: async () => true,
    restore: async (key: SessionKey, ref: SnapshotRef) => {
      disk.filling.set(key.sessionId, (await contentOf(key, ref)).words);
      return { ref, damaged: [] };
    },
    clear: async () => 0,
    forget: async () => {},
    erase: async () => {},
    stop: async () => {},
  };
  return snapshots as unknown as Snapshots;
}

async function eventsBetween(log: EventLog, key: LogKey, afterSeq: number, upTo: number): Promise<StoredEvent[]> {
  const { events } = await log.read(key, afterSeq, Number.MAX_SAFE_INTEGER);
  return events.filter(({ header }) => header.seq <= upTo);
}
