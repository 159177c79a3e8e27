// What the tables share: the connection, what is known of documents, names, and how much goes into one commit.

import type { Logger } from '../../observability/logger.ts';
import { Call, type CallTime } from './call.ts';
import { type StoredDocument, segmentOf, type Timestamp, type Write } from './document.ts';
import type { FirestoreLink } from './firestore-link.ts';
import type { WrittenPlaces } from './written-places.ts';

export type RecordStore = {
  readonly link: FirestoreLink;
  readonly places: WrittenPlaces;
  readonly time: CallTime;
  readonly prefix: string;
  readonly logger: Logger;
  /** Another for each call that writes. */
  readonly newWriteId: () => string;
};

export function startCall({ time }: RecordStore, operation: string): Call {
  return new Call(operation, time);
}

/** Of all fleets that share the database, ours alone has collections of that name. */
export function collectionOf({ prefix }: RecordStore, kind: string): string {
  return `${prefix}-${kind}`;
}

/** The document below which all of a tenant's lies; nothing is written into it. */
export function tenantName(store: RecordStore, tenant: string): string {
  return store.link.nameOf(`${collectionOf(store, 'tenants')}/${segmentOf(tenant)}`);
}

export function documentName(store: RecordStore, tenant: string, kind: string, id: string): string {
  return `${tenantName(store, tenant)}/${collectionOf(store, kind)}/${segmentOf(id)}`;
}

/** The documents that hold the rest of a record. Named by the write that made them: a reader of one revision never meets another's. */
export function partNames(
  store: RecordStore,
  name: string,
  parts: { readonly writeId: string; readonly count: number } | null,
): string[] {
  const count = parts?.count ?? 0;
  return Array.from(
    { length: count },
    (_, at) => `${name}/${collectionOf(store, 'parts')}/${parts?.writeId ?? ''}-${at + 1}`,
  );
}

export async function commitOnce(
  { link }: RecordStore,
  call: Call,
  writes: readonly Write[],
): Promise<readonly (Timestamp | null)[]> {
  return call.attempt((timeoutMs) => link.commit(writes, timeoutMs));
}

export function readDocuments(
  { link }: RecordStore,
  call: Call,
  names: readonly string[],
  select: readonly string[] | null,
): Promise<(StoredDocument | null)[]> {
  return call.repeat((timeoutMs) => link.get(names, select, timeoutMs));
}
