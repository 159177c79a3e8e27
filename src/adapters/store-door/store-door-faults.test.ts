// The way to the door cut, silent, half; the door refusing, restarted, one of two: what was done is done once, what
// is told is true.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { type TestContext, test } from 'node:test';
import { runInNewContext } from 'node:vm';
import { setFlagsFromString } from 'node:v8';
import { ServiceError } from '../../core/errors.ts';
import type { Notice } from '../../core/webhook.ts';
import { MemoryRecords } from '../memory/memory-records.ts';
import { MemorySnapshotStore } from '../memory/memory-snapshot-store.ts';
import { approvalRecord, sessionRecord, turnRecord } from '../../testing/stored-records.ts';
import { type FaultyWay, type LabStores, StoreDoorLab, type WayFault } from '../../testing/store-door-lab.ts';
import type { StoreDoorClient } from './store-door-client.ts';

const session = sessionRecord();
const turn = turnRecord();
const key = { tenant: 'acme', sessionId: session.id };
const whole = { after: null, limit: 100, order: 'asc' } as const;
setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;
const octets = (text: string): Uint8Array => new TextEncoder().encode(text);

type Faulty = { readonly lab: StoreDoorLab; readonly way: FaultyWay; readonly client: StoreDoorClient };

async function faulty(
  t: TestContext,
  stores: Partial<LabStores> = {},
  options: { readonly timeoutMs?: number } = {},
): Promise<Faulty> {
  const lab = new StoreDoorLab(stores);
  t.after(() => lab.close());
  const { url } = await lab.door();
  const way = await lab.way(url);
  return { lab, way, client: lab.client([way.url], options) };
}

const lostAnswers: readonly WayFault[] = ['cut_answer', 'half_answer'];
const lostQuestions: readonly WayFault[] = ['cut_question', 'half_question'];

for (const fault of [...lostAnswers, ...lostQuestions]) {
  test(`a conditional write is done once and told as done: ${fault}`, async (t) => {
    const { client, lab, way } = await faulty(t);
    await lab.stores.records.sessions.create(session);
    await lab.stores.records.turns.create(turn);
    const found = await client.records.sessions.get('acme', session.id);
    assert.deepEqual(found, session);

    way.faults.push(fault);
    assert.deepEqual(await client.records.sessions.replace({ ...session, title: 'a' }), {
      ...session,
      title: 'a',
      revision: 2,
    });
    assert.equal(way.faults.length, 0, 'the fault was met');
    way.faults.push(fault);
    const committed = await client.records.commit(
      { ...session, title: 'b', revision: 2 },
      { ...turn, status: 'completed' },
    );
    assert.deepEqual(
      [committed?.session.revision, committed?.turn.revision, committed?.turn.status],
      [3, 2, 'completed'],
    );
    way.faults.push(fault);
    const approval = approvalRecord();
    assert.deepEqual(await client.records.approvals.create(approval), { outcome: 'created', record: approval });
    way.faults.push(fault);
    assert.equal((await client.records.approvals.replace({ ...approval, status: 'expired' }))?.revision, 2);
    assert.equal((await lab.stores.records.sessions.get('acme', session.id))?.revision, 3);
    assert.equal((await lab.stores.records.turns.get('acme', turn.id))?.revision, 2);
  });

  test(`an object is put once and whole, and read whole: ${fault}`, async (t) => {
    const { client, lab, way } = await faulty(t);
    const pieces = Array.from({ length: 40 }, (_, index) => new Uint8Array(50_000).fill(index));
    way.faults.push(fault);
    await client.snapshots.put(key, 'large', pieces);
    assert.deepEqual(await lab.stores.snapshots.list(key), [{ name: 'large', bytes: 2_000_000 }]);
    way.faults.push(fault);
    const read = await client.snapshots.read(key, 'large');
    assert.equal(Buffer.compare(read ?? Buffer.alloc(0), Buffer.concat(pieces)), 0);
    // As a stream, which is held to be sent again.
    way.faults.push(fault);
    await client.snapshots.put(
      key,
      'stream',
      (function* () {
        yield* pieces;
      })(),
    );
    assert.equal((await lab.stores.snapshots.read(key, 'stream'))?.length, 2_000_000);
  });
}

test('a write whose answer was lost is ours also when another has written on it before the repeat', async (t) => {
  const { client, lab, way } = await faulty(t);
  const { sessions, turns } = lab.stores.records;
  await sessions.create(session);
  await turns.create(turn);
  const overwrite = async (): Promise<void> => {
    const standing = await sessions.get('acme', session.id);
    assert.ok(standing !== null);
    await sessions.replace({ ...standing, metadata: { by: 'a gateway' } });
  };
  way.onAnswerLost = overwrite;
  way.faults.push('cut_answer');
  const written = await client.records.sessions.replace({ ...session, title: 'ours' });
  assert.deepEqual(written, { ...session, title: 'ours', revision: 2 });
  // Which the next write of the same writer finds, as any other's.
  assert.equal(await client.records.sessions.replace({ ...session, title: 'next', revision: 2 }), null);
  const now = await client.records.sessions.get('acme', session.id);
  assert.deepEqual([now?.title, now?.metadata, now?.revision], ['ours', { by: 'a gateway' }, 3]);

  way.faults.push('cut_answer');
  const committed = await client.records.commit(
    { ...session, title: 'end', revision: 3 },
    { ...turn, status: 'failed' },
  );
  assert.deepEqual([committed?.session.revision, committed?.turn.revision], [4, 2]);
  assert.equal((await turns.get('acme', turn.id))?.revision, 2);
});

test('what another wrote first is a conflict, and is not taken for ours, whatever was lost', async (t) => {
  const { client, lab, way } = await faulty(t);
  const { approvals, sessions, turns } = lab.stores.records;
  await sessions.create(session);
  await turns.create(turn);
  await approvals.create(approvalRecord());
  await sessions.replace({ ...session, title: 'theirs' });
  for (const fault of [...lostAnswers, ...lostQuestions]) {
    way.faults.push(fault);
    // The same content: only the mark tells whose it is.
    assert.equal(await client.records.sessions.replace({ ...session, title: 'theirs' }), null, fault);
    way.faults.push(fault);
    assert.equal(await client.records.commit(session, { ...turn, status: 'completed' }), null, fault);
    way.faults.push(fault);
    assert.equal((await client.records.approvals.create(approvalRecord())).outcome, 'exists', fault);
  }
  assert.equal((await turns.get('acme', turn.id))?.revision, 1);
});

test('an object of that name and other content is a conflict, also behind a lost answer', async (t) => {
  const { client, lab, way } = await faulty(t);
  await lab.stores.snapshots.put(key, 'taken', [octets('theirs')]);
  for (const fault of lostAnswers) {
    way.faults.push(fault);
    await assert.rejects(client.snapshots.put(key, 'taken', [octets('ours!!')]), { code: 'store_conflict' });
  }
  await assert.rejects(client.snapshots.put(key, 'taken', [octets('theirs')]), { code: 'store_conflict' });
});

test('a long stream that is cut in the middle leaves nothing, fails in words, and is not sent a second time', async (t) => {
  const { client, lab, way } = await faulty(t);
  let given = 0;
  const stream = async function* (): AsyncGenerator<Uint8Array> {
    for (; given < 30; given += 1) {
      if (given === 20) way.cut();
      yield new Uint8Array(1024 * 1024).fill(given);
    }
  };
  await assert.rejects(client.snapshots.put(key, 'long', stream()), {
    code: 'store_unavailable',
    details: { store: 'door', reason: 'cut', operation: 'objects.put' },
  });
  assert.deepEqual(await lab.stores.snapshots.list(key), []);
  given = 0;
  way.cut();
  const whole = async function* (): AsyncGenerator<Uint8Array> {
    for (; given < 20; given += 1) yield new Uint8Array(1024 * 1024).fill(given);
  };
  await client.snapshots.put(key, 'long', whole());
  assert.equal((await lab.stores.snapshots.read(key, 'long'))?.length, 20 * 1024 * 1024);
});

test('the error of the content itself comes back, and nothing is left', async (t) => {
  const { client, lab } = await faulty(t);
  const broken = async function* (): AsyncGenerator<Uint8Array> {
    for (let piece = 0; piece < 12; piece += 1) yield new Uint8Array(1024 * 1024);
    throw new Error('the file changed');
  };
  await assert.rejects(client.snapshots.put(key, 'broken', broken()), /the file changed/);
  assert.deepEqual(await lab.stores.snapshots.list(key), []);
});

test('a door that is silent costs a part of the time, and another is asked', async (t) => {
  const { client, lab, way } = await faulty(t, {}, { timeoutMs: 1_000 });
  const { url } = await lab.door();
  await lab.stores.records.sessions.create(session);
  way.faults.push('silence');
  const both = lab.client([way.url, url], { timeoutMs: 1_000 });
  const startMs = performance.now();
  assert.deepEqual(await both.records.sessions.get('acme', session.id), session);
  assert.ok(performance.now() - startMs < 900);
  assert.equal((await both.records.sessions.replace(session))?.revision, 2);
  const endMs = performance.now() + 1_500;
  await assert.rejects(client.records.sessions.get('acme', session.id), {
    code: 'store_unavailable',
    details: { store: 'door', reason: 'timeout', operation: 'sessions.get' },
  });
  assert.ok(performance.now() < endMs, 'no later than asked for');
});

test('a door that is gone is awaited for the time of a call; one that comes back is used, in any mid-call', async (t) => {
  const lab = new StoreDoorLab();
  t.after(() => lab.close());
  const first = await lab.door();
  const port = Number(new URL(first.url).port);
  const client = lab.client([first.url]);
  await lab.stores.records.sessions.create(session);
  assert.deepEqual(await client.records.sessions.get('acme', session.id), session);
  await first.server.stop();
  const reading = client.records.sessions.replace({ ...session, title: 'behind a restart' });
  await sleep(150);
  await lab.door({ port });
  assert.equal((await reading)?.revision, 2);
  const nowhere = lab.client(['http://127.0.0.1:1'], { timeoutMs: 300 });
  await assert.rejects(nowhere.records.sessions.get('acme', session.id), {
    code: 'store_unavailable',
    details: { store: 'door', reason: 'unreachable', operation: 'sessions.get' },
  });
});

test('a door that stops finishes what it has, and tells each connection to go', async (t) => {
  const records = new MemoryRecords();
  const gate = Promise.withResolvers<void>();
  const slow = Object.create(records) as typeof records;
  Object.defineProperty(slow, 'sessions', {
    value: {
      get: async () => {
        await gate.promise;
        return await records.sessions.get('acme', session.id);
      },
    },
  });
  const lab = new StoreDoorLab({ records: slow });
  t.after(() => lab.close());
  await records.sessions.create(session);
  const one = await lab.door();
  const other = await lab.door();
  const client = lab.client([one.url, other.url]);
  const asked = client.records.sessions.get('acme', session.id);
  await sleep(50);
  const drained = one.server.drain(5_000);
  gate.resolve();
  assert.deepEqual(await asked, session);
  await drained;
  assert.equal(one.server.connections(), 0);
  assert.deepEqual(await client.records.sessions.get('acme', session.id), session);
});

test('a thousand calls at a door that takes four at once are all answered; who finds no place waits', async (t) => {
  const records = new MemoryRecords();
  await records.sessions.create(session);
  let atWork = 0;
  let most = 0;
  const slow = Object.create(records) as typeof records;
  Object.defineProperty(slow, 'sessions', {
    value: {
      get: async () => {
        atWork += 1;
        most = Math.max(most, atWork);
        await sleep(1);
        atWork -= 1;
        return session;
      },
    },
  });
  const lab = new StoreDoorLab({ records: slow });
  t.after(() => lab.close());
  const { metrics, url } = await lab.door({ limits: { mostCalls: 4, mostWaiting: 20 } });
  const client = lab.client([url], { timeoutMs: 20_000 });
  const answers = await Promise.all(
    Array.from({ length: 1_000 }, () => client.records.sessions.get('acme', session.id)),
  );
  assert.ok(answers.every((answer) => answer?.id === session.id));
  assert.equal(most, 4);
  const { body } = await metrics.render();
  const count = (outcome: string): number =>
    Number(new RegExp(`store_door_calls_total\\{operation="read",outcome="${outcome}"\\} (\\d+)`).exec(body)?.[1]);
  assert.equal(count('done'), 1_000);
  assert.ok(count('overloaded') > 0, 'some were told to come again');
  assert.match(body, /codex_fleet_store_door_waiting 0/);
});

test('what a client is closed on is rejected at once, and nothing keeps the process', async (t) => {
  const { client, way } = await faulty(t);
  way.faults.push('silence');
  const asked = client.records.sessions.get('acme', session.id);
  const put = client.snapshots.put(key, 'one', [octets('1')]);
  await sleep(20);
  const ends = Promise.allSettled([asked, put]);
  await client.close();
  const closed = { code: 'store_unavailable', reason: 'closed' };
  assert.deepEqual(
    (await ends).map(
      (end) => end.status === 'rejected' && { code: end.reason.code, reason: end.reason.details.reason },
    ),
    [closed, closed],
  );
  const later = client.records.sessions.get('acme', session.id);
  await assert.rejects(later, ({ details }: ServiceError) => details['reason'] === 'closed');
});

test('errors of the store come as they were thrown, with their facts; those that nobody foresaw as a store that fails', async (t) => {
  const records = new MemoryRecords();
  const thrown: unknown[] = [
    new ServiceError('session_corrupt', { session_id: session.id, part: 'sessions' }),
    new ServiceError('storage_full', { store: 'records' }),
    new ServiceError('store_unavailable', { store: 'firestore', reason: 'refused' }),
    new ServiceError('cursor_invalid'),
    new TypeError('a defect'),
  ];
  const left = [...thrown];
  const failing = Object.create(records) as typeof records;
  Object.defineProperty(failing, 'sessions', { value: { get: () => Promise.reject(left.shift() as Error) } });
  const { client } = await faulty(t, { records: failing });
  const told: unknown[] = [];
  for (const _ of thrown) {
    const error = await client.records.sessions.get('acme', session.id).catch((problem: unknown) => problem);
    assert.ok(error instanceof ServiceError);
    told.push([error.code, error.details]);
  }
  assert.deepEqual(told, [
    ['session_corrupt', { session_id: session.id, part: 'sessions' }],
    ['storage_full', { store: 'records' }],
    ['store_unavailable', { store: 'firestore', reason: 'refused' }],
    ['cursor_invalid', {}],
    ['store_unavailable', { store: 'door', reason: 'failing' }],
  ]);
});

test('what is told outside is sent lane by lane in order, and again by who lost the answer', async (t) => {
  const { client, lab, way } = await faulty(t);
  const notice = (order: number): Notice => ({
    ...{ tenant: 'acme', identity: `turn-1 ${order}`, lane: 'turn-1', order, sessionId: session.id, jobId: null },
    ...{ type: 'turn.completed', at: 5, data: '{}' },
  });
  way.faults.push('cut_question');
  await Promise.all([1, 2, 3, 4].map((order) => client.outbox.put([notice(order)])));
  assert.deepEqual(
    lab.told.map(({ order }) => order),
    [1, 2, 3, 4],
  );
  await client.outbox.put([]);
  const asked = client.outbox.put([{ ...notice(5), type: 'webhook.test' }]);
  await assert.rejects(asked, ({ details }: ServiceError) => details['reason'] === 'call_refused');
  assert.equal(lab.told.length, 4, 'a worker asks nobody whether a webhook works');
});

test('a page of large records comes whole, however often the door cuts it', async (t) => {
  const { client, lab } = await faulty(t);
  await lab.stores.records.sessions.create(session);
  const idOf = (number: number): string => `019f0000-0000-7000-8000-0000000001${String(number).padStart(2, '0')}`;
  const ids = Array.from({ length: 30 }, (_, index) => idOf(index));
  for (const id of ids) {
    await lab.stores.records.turns.create({ ...turn, id, status: 'queued', prompt: 'x'.repeat(1_000_000) });
  }
  const page = await client.records.turns.listOpenOf('acme', session.id, whole);
  assert.deepEqual([page.data.map(({ id }) => id), page.hasMore], [ids, false]);
  const part = await client.records.turns.listOpenOf('acme', session.id, { ...whole, limit: 15 });
  assert.deepEqual([part.data.map(({ id }) => id), part.hasMore], [ids.slice(0, 15), true]);
});

test('a large object passes the door within bounded memory', async (t) => {
  const store = new MemorySnapshotStore();
  const held: number[] = [];
  let bytes = 0;
  const sink = Object.create(store) as typeof store;
  sink.put = async (_key, _name, content) => {
    for await (const piece of content) {
      bytes += piece.length;
      if (bytes % (32 * 1024 * 1024) < piece.length) {
        collectGarbage();
        held.push(process.memoryUsage().arrayBuffers);
      }
      // Slower than who sends.
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const lab = new StoreDoorLab({ snapshots: sink });
  t.after(() => lab.close());
  // Without the way between, which holds what it hands on.
  const { url } = await lab.door();
  const client = lab.client([url], { timeoutMs: 20_000 });
  const piece = new Uint8Array(1024 * 1024);
  const stream = async function* (): AsyncGenerator<Uint8Array> {
    for (let count = 0; count < 256; count += 1) yield piece;
  };
  const before = process.memoryUsage().arrayBuffers;
  await client.snapshots.put(key, 'huge', stream());
  assert.equal(bytes, 256 * 1024 * 1024);
  assert.ok(Math.max(...held) - before < 48 * 1024 * 1024, `${Math.max(...held) - before} bytes`);
});
