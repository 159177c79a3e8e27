import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firestoreStores } from '../../testing/firestore-stores.ts';
import { deliveryRecord, jobRecord, sessionRecord, turnRecord } from '../../testing/stored-records.ts';

const stores = firestoreStores();
const { skip } = stores;
const day = 24 * 3_600_000;
const { id: sessionId } = sessionRecord();
const { id: turnId } = turnRecord();
const page = { after: null, limit: 10, order: 'asc' } as const;

function pathOf(prefix: string, kind: string, id: string): string {
  return `${prefix}-tenants/acme/${prefix}-${kind}/${id}`;
}

for (const [what, fields] of [
  ['a changed body', { body: { stringValue: '{}' } }],
  ['no body', { body: null }],
  ["another session's field", { sessionId: { stringValue: 'another' } }],
  ['another time', { createdAt: { integerValue: '5' } }],
  ['another tenant', { tenant: { stringValue: 'other' } }],
  ['a list that it does not belong to', { openAt: { integerValue: '5' } }],
  ['another revision', { meta: { mapValue: { fields: { revision: { integerValue: '9' } } } } }],
  ['nothing known of its writes', { meta: null }],
] as const) {
  test(`a turn with ${what} is never read as it is: session_corrupt says whose it is, others are read`, {
    skip,
  }, async () => {
    const emulator = await stores.emulator();
    const prefix = `damage-${what.replaceAll(/[^a-z]/g, '')}`;
    const { sessions, turns } = await stores.open({ prefix });
    await sessions.create(sessionRecord());
    await turns.create(turnRecord({ status: 'completed' }));
    const other = turnRecord({ id: '019f0000-0000-7000-8000-0000000000a2' });
    await turns.create(other);
    await emulator.damage(pathOf(prefix, 'turns', turnId), fields);
    await assert.rejects(turns.get('acme', turnId), (error: { code: string; details: Record<string, unknown> }) => {
      assert.equal(error.code, 'session_corrupt');
      assert.deepEqual([error.details['part'], error.details['id']], ['turns', turnId]);
      return true;
    });
    assert.deepEqual(await turns.get('acme', other.id), other);
    assert.ok((await turns.listOpen(null, 10)).data.some(({ id }) => id === other.id));
    await sessions.erase('acme', sessionId);
  });
}

test('a document that lies at the name of another is damaged', { skip }, async () => {
  const emulator = await stores.emulator();
  const { jobs } = await stores.open({ prefix: 'moved' });
  const job = jobRecord();
  await jobs.create(job);
  const fields = (await emulator.fieldsOf(pathOf('moved', 'jobs', job.id))) ?? assert.fail('it is there');
  await emulator.damage(pathOf('moved', 'jobs', 'elsewhere'), fields);
  await assert.rejects(jobs.get('acme', 'elsewhere'), { code: 'session_corrupt' });
});

test('what one document cannot hold lies in others, written and removed with it', { skip }, async () => {
  const emulator = await stores.emulator();
  const { sessions, turns } = await stores.open({ prefix: 'parts' });
  const partsOf = (): Promise<string[]> => emulator.namesIn(`${pathOf('parts', 'turns', turnId)}/parts-parts`);
  // Three bytes a character, so that pieces of even length would cut one.
  const long = turnRecord({ prompt: '€'.repeat(700_000) });
  assert.equal((await turns.create(long)).outcome, 'created');
  assert.equal((await partsOf()).length, 2);
  assert.deepEqual(await turns.get('acme', turnId), long);
  assert.deepEqual((await turns.list('acme', sessionId, page)).data, [long]);
  const first = await partsOf();
  const longer = await turns.replace({ ...long, finalMessage: 'x'.repeat(1_000_000) });
  assert.deepEqual(await turns.get('acme', turnId), longer);
  const second = await partsOf();
  assert.equal(second.length, 3);
  assert.ok(second.every((name) => !first.includes(name)));
  const short = await turns.replace(turnRecord({ revision: 2 }));
  assert.deepEqual([short?.revision, await partsOf()], [3, []]);
  await turns.replace({ ...long, revision: 3 });
  assert.equal((await partsOf()).length, 2);
  await sessions.create(sessionRecord());
  await sessions.erase('acme', sessionId);
  assert.deepEqual(await partsOf(), []);
});

test('a part that is gone is damage, not a shorter text', { skip }, async () => {
  const emulator = await stores.emulator();
  const { turns } = await stores.open({ prefix: 'gone' });
  await turns.create(turnRecord({ prompt: 'x'.repeat(2_000_000) }));
  const folder = `${pathOf('gone', 'turns', turnId)}/gone-parts`;
  const [part] = await emulator.namesIn(folder);
  await emulator.remove(`${folder}/${part}`);
  await assert.rejects(turns.get('acme', turnId), { code: 'session_corrupt' });
});

test('a reader meets whole revisions alone, while long ones follow one another', { skip }, async () => {
  const writer = await stores.open({ prefix: 'torn' });
  const reader = await stores.open({ prefix: 'torn' });
  const long = (letter: string): string => letter.repeat(1_500_000);
  await writer.turns.create(turnRecord({ prompt: long('a') }));
  let isWriting = true;
  const reading = (async () => {
    let reads = 0;
    for (; isWriting; reads++) {
      const found = await reader.turns.get('acme', turnId);
      assert.ok(found !== null);
      assert.ok(found.prompt === long(found.prompt[0] ?? ''), 'of one revision');
    }
    return reads;
  })();
  for (let revision = 1; revision <= 12; revision++) {
    const written = await writer.turns.replace(turnRecord({ revision, prompt: long('abcd'[revision % 4] ?? '') }));
    assert.equal(written?.revision, revision + 1);
  }
  isWriting = false;
  assert.ok((await reading) > 0);
});

test('more than a commit takes is payload_too_large, and nothing is written', { skip }, async () => {
  const { turns } = await stores.open();
  const limit = 10 * 1024 * 1024 - 256 * 1024;
  await assert.rejects(
    turns.create(turnRecord({ prompt: 'x'.repeat(limit) })),
    (error: { code: string; details: Record<string, unknown> }) => {
      assert.deepEqual([error.code, error.details['limit_bytes']], ['payload_too_large', limit]);
      return true;
    },
  );
  assert.equal(await turns.get('acme', turnId), null);
});

test('what ended says when it may go by itself: its retention and a week later; what goes on never', {
  skip,
}, async () => {
  const emulator = await stores.emulator();
  const { deliveries, jobs, sessions, turns } = await stores.open({
    prefix: 'expiry',
    retainJobsMs: day,
    retainDeliveriesMs: 2 * day,
  });
  const endedAt = 1_800_000_000_000;
  const expiry = async (kind: string, id: string): Promise<unknown> =>
    (await emulator.fieldsOf(pathOf('expiry', kind, id)))?.['expireAt']?.['timestampValue'];
  const after = (days: number): string => new Date(endedAt + days * day).toISOString().replace('.000Z', 'Z');
  const job = jobRecord();
  await jobs.create(job);
  assert.equal(await expiry('jobs', job.id), undefined);
  await jobs.replace({ ...job, status: 'failed', endedAt, dueAt: null });
  assert.equal(await expiry('jobs', job.id), after(8));
  await jobs.replace({ ...job, revision: 2, status: 'queued', endedAt: null });
  assert.equal(await expiry('jobs', job.id), undefined);
  const delivery = deliveryRecord();
  await deliveries.create(delivery);
  assert.equal(await expiry('deliveries', delivery.id), undefined);
  await deliveries.replace({ ...delivery, status: 'delivered', dueAt: null, endedAt });
  assert.equal(await expiry('deliveries', delivery.id), after(9));
  await sessions.create(sessionRecord({ status: 'failed' }));
  await turns.create(turnRecord({ status: 'completed', endedAt }));
  assert.deepEqual([await expiry('sessions', sessionId), await expiry('turns', turnId)], [undefined, undefined]);
});

test('a write on what was just read or written is one write and no read', { skip }, async () => {
  const counted: string[] = [];
  const prefix = 'counted';
  const onOperations = (kind: string, count: number, collection: string): void =>
    void counted.push(`${count} ${kind} ${collection}`);
  const records = await stores.open({ prefix, onOperations });
  const others = await stores.open({ prefix });
  const countOf = async (run: () => Promise<unknown>): Promise<string[]> => {
    counted.length = 0;
    await run();
    return [...counted];
  };
  const session = sessionRecord({ alias: 'mine' });
  assert.deepEqual(await countOf(() => records.sessions.create(session)), [
    '1 writes counted-sessions',
    '1 writes counted-aliases',
  ]);
  assert.deepEqual(await countOf(() => records.turns.create(turnRecord())), ['1 writes counted-turns']);
  assert.deepEqual(await countOf(() => records.sessions.replace(session)), ['1 writes counted-sessions']);
  const ofCommit = await countOf(() => records.commit({ ...session, revision: 2 }, turnRecord()));
  assert.deepEqual(ofCommit, ['1 writes counted-sessions', '1 writes counted-turns']);
  await others.sessions.replace({ ...session, revision: 3 });
  // Not known any more: the conflict is seen, read back, and the next write is one write again.
  assert.deepEqual(await countOf(() => records.sessions.replace({ ...session, revision: 3 })), [
    '1 reads counted-sessions',
  ]);
  assert.deepEqual(await countOf(() => records.sessions.replace({ ...session, revision: 4 })), [
    '1 writes counted-sessions',
  ]);
  assert.deepEqual(await countOf(() => records.sessions.get('acme', sessionId)), ['1 reads counted-sessions']);
  assert.deepEqual(await countOf(() => records.jobs.countOpen('acme', 5)), ['1 reads counted-jobs']);
  assert.deepEqual(await countOf(() => records.jobs.listDue(5, null, 5)), ['1 reads counted-jobs']);
});

test('an erased session whose name is taken again is written on what stands now', { skip }, async () => {
  const one = await stores.open({ prefix: 'again' });
  const other = await stores.open({ prefix: 'again' });
  const session = sessionRecord({ alias: 'mine' });
  await one.sessions.create(session);
  await other.sessions.erase('acme', sessionId);
  await other.sessions.create({ ...session, title: 'another' });
  // What `one` knows is of the erased one: refused there, it looks, and finds the revision that its caller names.
  assert.equal((await one.sessions.replace({ ...session, title: 'third' }))?.revision, 2);
});

test("a session's alias never changes", { skip }, async () => {
  const { sessions } = await stores.open();
  await sessions.create(sessionRecord({ alias: 'mine' }));
  await assert.rejects(sessions.replace(sessionRecord({ alias: 'another' })), { code: 'internal' });
});

test('an alias whose session is gone is free again', { skip }, async () => {
  const emulator = await stores.emulator();
  const { sessions } = await stores.open({ prefix: 'dangling' });
  const session = sessionRecord({ alias: 'mine' });
  await sessions.create(session);
  await emulator.remove(pathOf('dangling', 'sessions', sessionId));
  assert.equal(await sessions.findByAlias('acme', 'mine'), null);
  const next = { ...session, id: '019f0000-0000-7000-8000-000000000002' };
  assert.equal((await sessions.create(next)).outcome, 'created');
  assert.deepEqual(await sessions.findByAlias('acme', 'mine'), next);
});

test('tenants and aliases of any name stay apart', { skip }, async () => {
  const { sessions } = await stores.open();
  const tenants = ['a/b', '..', '__x__', 'é', 'a~002fb'];
  for (const tenant of tenants) await sessions.create(sessionRecord({ tenant, alias: tenant, title: tenant }));
  for (const tenant of tenants) {
    assert.equal((await sessions.findByAlias(tenant, tenant))?.title, tenant);
    assert.equal((await sessions.list(tenant, page)).data.length, 1);
  }
});
