// Records in a Firestore emulator for a test file: new ones on demand, each with a prefix of its own, so that those of
// one emulator never meet; all closed after it.

import assert from 'node:assert/strict';
import { after } from 'node:test';
import { FirestoreRecords, type FirestoreRecordsOptions } from '../adapters/firestore/firestore-records.ts';
import { createSilentLogger } from '../observability/logger.ts';
import { SystemClock } from '../observability/system-clock.ts';
import { FirestoreEmulator, isFirestoreInstalled, missingFirestore } from './firestore-emulator.ts';

export type FirestoreStores = {
  /** For `describe` and `test`: why they are left out, or false. */
  readonly skip: string | false;
  /** The one that all tests of the file share; started when first asked for. */
  readonly emulator: () => Promise<FirestoreEmulator>;
  readonly open: (options?: Partial<FirestoreRecordsOptions>) => Promise<FirestoreRecords>;
};

export function firestoreStores(): FirestoreStores {
  const skip = isFirestoreInstalled() ? false : missingFirestore;
  let starting: Promise<FirestoreEmulator | null> | null = null;
  let prefixes = 0;
  const opened: FirestoreRecords[] = [];
  after(async () => {
    await Promise.all(opened.map((records) => records.close()));
    await (await starting)?.stop();
  });
  const running = async (): Promise<FirestoreEmulator> => {
    starting ??= FirestoreEmulator.start();
    return (await starting) ?? assert.fail(missingFirestore);
  };
  return {
    skip,
    emulator: running,
    open: async (options = {}) => {
      prefixes++;
      const records = await FirestoreRecords.open({
        project: null,
        database: '(default)',
        prefix: `fleet-${prefixes}`,
        timeoutMs: 10_000,
        clock: new SystemClock(),
        logger: createSilentLogger(),
        retainJobsMs: 1_000,
        retainDeliveriesMs: 1_000,
        ...options,
        emulatorHost: options.emulatorHost ?? (await running()).host,
      });
      opened.push(records);
      return records;
    },
  };
}
