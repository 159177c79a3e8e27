// Writes that happen once and only on what the writer saw, by preconditions alone: contended transactions take seconds.
// Each call marks what it writes. Where an answer was lost, or a repeat is refused because its first try had arrived,
// the mark in the document tells whether the write was ours.

import { ServiceError } from '../../core/errors.ts';
import type { Call } from './call.ts';
import { isSameTime, type StoredDocument, type Timestamp, type Write } from './document.ts';
import { firestoreError, kindOfFailure } from './firestore-errors.ts';
import { documentOf, type RecordShape, type Stored, standingOf, trailAfter } from './record-document.ts';
import { commitOnce, documentName, partNames, readDocuments, type RecordStore } from './record-store.ts';
import type { Standing } from './written-places.ts';

/** A commit is 10 MiB with everything around the texts. */
export const mostBytesInCommit = 10 * 1024 * 1024 - 256 * 1024;
/** Refusals that nothing in the documents explains: so many, and it is the store that is wrong. */
const mostUnexplained = 3;

/** A new revision of a record of one kind. */
export type Replacement = {
  readonly name: string;
  /** The one that the writer saw. */
  readonly revision: number;
  readonly constant: string;
  readonly bytes: number;
  /** On what stands, by that write. */
  write(standing: Standing, writeId: string): readonly Write[];
  /** What stands after it, from then on. */
  standing(before: Standing, writeId: string, updateTime: Timestamp): Standing;
};

export function replacementOf<T extends Stored>(store: RecordStore, shape: RecordShape<T>, next: T): Replacement {
  const name = documentName(store, next.tenant, shape.kind, next.id);
  const stored = { ...next, revision: next.revision + 1 };
  const constant = shape.constantOf(next);
  const { bytes, fields, parts } = documentOf(shape, stored);
  const partsOf = (writeId: string): Standing['parts'] =>
    parts.length === 0 ? null : { writeId, count: parts.length };
  return {
    name,
    revision: next.revision,
    constant,
    bytes,
    write: (standing, writeId) => [
      {
        set: name,
        fields: fields(writeId, standing.trail),
        condition: { updateTime: standing.updateTime },
      },
      ...partNames(store, name, partsOf(writeId)).map(
        (part, at): Write => ({ set: part, fields: parts[at] ?? {}, condition: null }),
      ),
      ...partNames(store, name, standing.parts).map((part): Write => ({ delete: part, condition: null })),
    ],
    standing: (before, writeId, updateTime) => ({
      revision: stored.revision,
      updateTime,
      trail: trailAfter(writeId, before.trail),
      parts: partsOf(writeId),
      constant,
    }),
  };
}

/** All of them or none. false when one stands at another revision, or is gone. */
export async function replaceAll(
  store: RecordStore,
  call: Call,
  replacements: readonly Replacement[],
): Promise<boolean> {
  assertFits(replacements.reduce((sum, { bytes }) => sum + bytes, 0));
  const names = replacements.map(({ name }) => name);
  const writeId = store.newWriteId();
  const known = replacements.map(({ name, revision }) => {
    const standing = store.places.get(name);
    return standing?.revision === revision ? standing : null;
  });
  let standings = known.includes(null) ? await readStandings(store, call, names) : known;
  for (let unexplained = 0; ; ) {
    // All were written at once, so that one mark speaks for all; the others may be gone by now.
    if (standings.some((standing) => standing?.trail.includes(writeId))) return true;
    const before = standings.filter((standing, at) => standing?.revision === replacements[at]?.revision);
    if (before.length < replacements.length) return false;
    const writes = replacements.map((replacement, at) =>
      replacement.write(standingAt(before, at, replacement), writeId),
    );
    try {
      const times = await commitOnce(store, call, writes.flat());
      let first = 0;
      for (const [at, replacement] of replacements.entries()) {
        const updateTime = times[first];
        first += writes[at]?.length ?? 0;
        if (!updateTime) store.places.forget(replacement.name);
        else
          store.places.keep(
            replacement.name,
            replacement.standing(standingAt(before, at, replacement), writeId, updateTime),
          );
      }
      return true;
    } catch (error) {
      await afterFailure(store, call, error);
      standings = await readStandings(store, call, names);
      const isUnchanged = standings.every(
        (now, at) => now !== null && isSameTime(now.updateTime, standingAt(before, at).updateTime),
      );
      if (kindOfFailure(error) === 'condition' && isUnchanged && ++unexplained >= mostUnexplained)
        throw refused(error, call);
    }
  }
}

export type Created =
  | { readonly outcome: 'created' }
  | { readonly outcome: 'exists'; readonly document: StoredDocument };

/**
 * `first` is the record's own document. `findStanding` is asked when something stood in the way that is not at its
 * name. A record that is created, erased and created again within one call whose answers were lost was never reported.
 */
export async function createAll<T extends Stored>(
  store: RecordStore,
  call: Call,
  shape: RecordShape<T>,
  record: T,
  beside: (writeId: string) => readonly Write[],
  findStanding: () => Promise<StoredDocument | null>,
): Promise<Created> {
  const writeId = store.newWriteId();
  const name = documentName(store, record.tenant, shape.kind, record.id);
  const { bytes, fields, parts } = documentOf(shape, record);
  assertFits(bytes);
  const partsOf = parts.length === 0 ? null : { writeId, count: parts.length };
  const writes: readonly Write[] = [
    { set: name, fields: fields(writeId, []), condition: { exists: false } },
    ...beside(writeId),
    ...partNames(store, name, partsOf).map(
      (part, at): Write => ({ set: part, fields: parts[at] ?? {}, condition: null }),
    ),
  ];
  for (let unexplained = 0; ; ) {
    try {
      const [updateTime] = await commitOnce(store, call, writes);
      const { revision } = record;
      const constant = shape.constantOf(record);
      if (updateTime) store.places.keep(name, { revision, updateTime, trail: [writeId], parts: partsOf, constant });
      return { outcome: 'created' };
    } catch (error) {
      await afterFailure(store, call, error);
      const [document = null] = await readDocuments(store, call, [name], null);
      if (document !== null) {
        const isOurs = standingOf(document)?.trail.includes(writeId) ?? false;
        return isOurs ? { outcome: 'created' } : { outcome: 'exists', document };
      }
      const standing = kindOfFailure(error) === 'condition' ? await findStanding() : null;
      if (standing !== null) return { outcome: 'exists', document: standing };
      if (kindOfFailure(error) === 'condition' && ++unexplained >= mostUnexplained) throw refused(error, call);
    }
  }
}

/** Rejects when trying again makes no sense, or would be too late. */
export async function afterFailure({ logger }: RecordStore, call: Call, error: unknown): Promise<void> {
  if (kindOfFailure(error) === 'condition') return;
  if (!call.mayRepeat(error)) throw firestoreError(error, call.operation);
  logger.debug({ event: 'firestore_repeats', operation: call.operation, err: error }, 'Firestore is asked again');
  await call.wait(error);
}

async function readStandings(store: RecordStore, call: Call, names: readonly string[]): Promise<(Standing | null)[]> {
  const documents = await readDocuments(store, call, names, ['meta']);
  return documents.map((document, at) => {
    const standing = document === null ? null : standingOf(document);
    const name = names[at] ?? '';
    if (standing === null) store.places.forget(name);
    else store.places.keep(name, standing);
    return standing;
  });
}

function standingAt(standings: readonly (Standing | null)[], at: number, replacement?: Replacement): Standing {
  const standing = standings[at] ?? null;
  if (standing === null) throw new ServiceError('internal');
  if (replacement !== undefined && standing.constant !== replacement.constant) {
    throw new ServiceError('internal', {}, { message: "a session's alias never changes" });
  }
  return standing;
}

function assertFits(bytes: number): void {
  if (bytes > mostBytesInCommit) {
    throw new ServiceError('payload_too_large', { limit_bytes: mostBytesInCommit, size_bytes: bytes });
  }
}

function refused(cause: unknown, { operation }: Call): ServiceError {
  return new ServiceError('store_unavailable', { store: 'firestore', reason: 'failing', operation }, { cause });
}
