import { test } from 'node:test';
import type { Records } from '../../contracts/records.ts';
import type { Subject } from '../../testing/contract-suites/contract-suite.ts';
import { jobRecordsSuite } from '../../testing/contract-suites/job-records-suite.ts';
import { recordsSuite } from '../../testing/contract-suites/records-suite.ts';
import { webhookRecordsSuite } from '../../testing/contract-suites/webhook-records-suite.ts';
import { firestoreStores } from '../../testing/firestore-stores.ts';

const stores = firestoreStores();

if (stores.skip === false) {
  const open = async (): Promise<Subject<Records>> => {
    const adapter = await stores.open();
    return { adapter, close: () => adapter.close() };
  };
  recordsSuite('Firestore', open);
  jobRecordsSuite('Firestore', open);
  webhookRecordsSuite('Firestore', open);
} else test('Firestore keeps the promises of a record store', { skip: stores.skip }, () => {});
