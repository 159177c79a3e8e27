// Whose records these are: one document names the fleet that uses a prefix of a database. Who comes with another name
// is refused, because two fleets with one set of records would run each other's turns and erase each other's snapshots.

import { ServiceError } from '../../core/errors.ts';
import { afterFailure } from './conditional-write.ts';
import { plainOf, type Write, valueOf } from './document.ts';
import { collectionOf, commitOnce, readDocuments, type RecordStore, startCall } from './record-store.ts';

/** null where none has ever been opened. */
export async function readFleet(store: RecordStore): Promise<string | null> {
  const [document = null] = await readDocuments(store, startCall(store, 'open'), [nameOfFleet(store)], null);
  return document === null ? null : String(plainOf(document.fields['identity']));
}

/** Made by the first. Rejects with `store_unavailable`, in words for a person, where it was made by another fleet. */
export async function claimFleet(store: RecordStore, identity: string): Promise<void> {
  const call = startCall(store, 'open');
  const name = nameOfFleet(store);
  const making: Write = { set: name, fields: { identity: valueOf(identity) }, condition: { exists: false } };
  for (;;) {
    const [document = null] = await readDocuments(store, call, [name], null);
    if (document !== null) {
      if (plainOf(document.fields['identity']) === identity) return;
      throw anotherFleet(store);
    }
    try {
      await commitOnce(store, call, [making]);
      return;
    } catch (error) {
      // Whether it was ours that arrived, or another's, the document says.
      await afterFailure(store, call, error);
      await call.wait(error);
    }
  }
}

/** Below the database. */
function pathOfFleet(store: RecordStore): string {
  return `${collectionOf(store, 'fleet')}/identity`;
}

function nameOfFleet(store: RecordStore): string {
  return store.link.nameOf(pathOfFleet(store));
}

function anotherFleet(store: RecordStore): ServiceError {
  const path = pathOfFleet(store);
  const message =
    `another fleet uses this database under the same google.prefix: ${store.prefix}; fleets are told apart by ` +
    'cluster.secret. Give this one a google.prefix of its own. If it is the same fleet and its secret was changed, ' +
    `stop all its roles and remove the document ${path}`;
  return new ServiceError('store_unavailable', { store: 'firestore', reason: 'another_fleet', path }, { message });
}
