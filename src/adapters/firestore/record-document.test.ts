import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firestoreStores } from '../../testing/firestore-stores.ts';
import { jobRecord, sessionRecord } from '../../testing/stored-records.ts';
import type { SessionRecord } from '../../core/session.ts';
import type { StoredDocument } from './document.ts';
import { documentOf, type RecordShape, recordOf } from './record-document.ts';
import { sessionShape } from './session-records.ts';

const stores = firestoreStores();
const { skip } = stores;
const nothing = { seconds: '0', nanos: 0 };
/** Of a later version that finds sessions by more. */
const laterShape: RecordShape<SessionRecord> = {
  ...sessionShape,
  fields: { title: ({ title }) => title, ...sessionShape.fields },
};

function stored(shape: RecordShape<SessionRecord>, session: SessionRecord): StoredDocument {
  const fields = documentOf(shape, session).fields('a-write', []);
  return { name: 'anything', fields, createTime: nothing, updateTime: nothing };
}

test('a version that finds records by one more field reads those of the one before, and that one reads its records', () => {
  for (const title of ['a title', null]) {
    const session = sessionRecord({ title });
    assert.deepEqual(recordOf(laterShape, stored(sessionShape, session), []), session);
    assert.deepEqual(recordOf(sessionShape, stored(laterShape, session), []), session);
  }
});

test('a field that is not as it was written is damage, whether the reader knows it or not', () => {
  const document = stored(laterShape, sessionRecord({ title: 'a title' }));
  const changed = { ...document, fields: { ...document.fields, title: { stringValue: 'another' } } };
  const { title: _, ...fields } = document.fields;
  for (const damaged of [changed, { ...document, fields }]) {
    for (const shape of [sessionShape, laterShape]) {
      assert.throws(() => recordOf(shape, damaged, []), { code: 'session_corrupt' });
    }
  }
});

test('a record of a newer format is store_unavailable, which says what to do, and no damage', { skip }, async () => {
  const emulator = await stores.emulator();
  const { jobs } = await stores.open({ prefix: 'newer' });
  const job = jobRecord();
  await jobs.create(job);
  const path = `newer-tenants/acme/newer-jobs/${job.id}`;
  const { meta } = (await emulator.fieldsOf(path)) ?? assert.fail('it is there');
  assert.ok(meta !== undefined);
  const { fields } = meta['mapValue'] as { fields: Record<string, unknown> };
  await emulator.damage(path, { meta: { mapValue: { fields: { ...fields, format: { integerValue: '2' } } } } });
  const refused = { code: 'store_unavailable', message: /newer version/ };
  await assert.rejects(jobs.get('acme', job.id), refused);
  const page = { after: null, limit: 5, order: 'asc' } as const;
  await assert.rejects(jobs.list('acme', { scheduleId: null, status: null }, page), refused);
  await assert.rejects(jobs.create(job), refused);
});
