import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LogKey } from '../../contracts/event-log.ts';
import { eventLogSuite } from '../../testing/contract-suites/event-log-suite.ts';
import { storedEvent, storedEvents } from '../../testing/stored-events.ts';
import { MemoryEventLog } from './memory-event-log.ts';

const key: LogKey = { tenant: 'acme', sessionId: '019f0000-0000-7000-8000-000000000001' };
const quietKey: LogKey = { tenant: 'acme', sessionId: '019f0000-0000-7000-8000-000000000002' };

eventLogSuite('the memory log', async () => ({ adapter: new MemoryEventLog(), close: async () => {} }));

test('a session keeps its latest events, says which is the first, and goes on in order', async () => {
  const log = new MemoryEventLog({ maxEventsPerSession: 3_000 });
  for (let first = 1; first <= 9_001; first += 100) {
    await log.append(key, 1, storedEvents(key, 1, first, first + 99));
  }
  const page = await log.read(key, 0, 2);
  assert.deepEqual(page, { events: storedEvents(key, 1, 6_101, 6_102), firstSeq: 6_101, lastSeq: 9_100 });
  assert.deepEqual((await log.read(key, 9_098, 10)).events, storedEvents(key, 1, 9_099, 9_100));
  const next = await log.append(key, 1, storedEvents(key, 1, 9_101, 9_101));
  assert.deepEqual(next, { outcome: 'appended', lastSeq: 9_101 });
});

test('a batch whose repeat can no longer be told from another event is refused', async () => {
  const log = new MemoryEventLog({ maxEventsPerSession: 2 });
  await log.append(key, 1, storedEvents(key, 1, 1, 4));
  const repeat = await log.append(key, 1, storedEvents(key, 1, 2, 4));
  assert.deepEqual(repeat, { outcome: 'out_of_order', lastSeq: 4 });
});

test('when all sessions together hold too much, the one that holds most gives way, and the others keep theirs', async () => {
  const log = new MemoryEventLog({ maxCharacters: 10_000 });
  await log.append(quietKey, 1, storedEvents(quietKey, 1, 1, 20));
  for (let seq = 1; seq <= 20; seq++) {
    await log.append(key, 1, [storedEvent({ key, epoch: 1, seq, text: 'x'.repeat(1_000) })]);
  }
  assert.equal((await log.read(quietKey, 0, 100)).events.length, 20);
  const loud = await log.read(key, 0, 100);
  assert.ok(loud.firstSeq > 10 && loud.lastSeq === 20, `it holds ${loud.firstSeq} to ${loud.lastSeq}`);
});

test('a session keeps its last event, however large', async () => {
  const log = new MemoryEventLog({ maxCharacters: 10_000 });
  await log.append(key, 1, storedEvents(key, 1, 1, 3));
  await log.append(key, 1, [storedEvent({ key, epoch: 1, seq: 4, text: 'x'.repeat(20_000) })]);
  const { events, firstSeq, lastSeq } = await log.read(key, 0, 100);
  assert.deepEqual([firstSeq, lastSeq, events.length], [4, 4, 1]);
});

test('erasing gives back what the session took of the whole', async () => {
  const log = new MemoryEventLog({ maxCharacters: 10_000 });
  await log.append(key, 1, [storedEvent({ key, epoch: 1, seq: 1, text: 'x'.repeat(9_000) })]);
  await log.erase(key);
  await log.append(quietKey, 1, storedEvents(quietKey, 1, 1, 20));
  await log.append(quietKey, 1, storedEvents(quietKey, 1, 21, 22));
  assert.equal((await log.read(quietKey, 0, 100)).events.length, 22);
});

test('a listener that throws is reported, and the others get their events', async () => {
  const errors: unknown[] = [];
  const log = new MemoryEventLog({ onListenerError: (error) => errors.push(error) });
  const broken = new Error('broken listener');
  const seqs: number[] = [];
  await log.subscribe(key, () => {
    throw broken;
  });
  await log.subscribe(key, (events) => seqs.push(...events.map((event) => event.header.seq)));
  assert.equal((await log.append(key, 1, storedEvents(key, 1, 1, 2))).outcome, 'appended');
  assert.deepEqual([seqs, errors], [[1, 2], [broken]]);
});

test('a listener that appends does not make others see the later batch first', async () => {
  const log = new MemoryEventLog();
  const appends: Promise<unknown>[] = [];
  await log.subscribe(key, (events) => {
    if (events[0]?.header.seq === 1) appends.push(log.append(key, 1, storedEvents(key, 1, 2, 2)));
  });
  const seqs: number[] = [];
  await log.subscribe(key, (events) => seqs.push(...events.map((event) => event.header.seq)));
  await log.append(key, 1, storedEvents(key, 1, 1, 1));
  await Promise.all(appends);
  assert.deepEqual(seqs, [1, 2]);
});

test('a batch of another session, a later epoch, several epochs or with holes is a defect and is rejected', async () => {
  const log = new MemoryEventLog();
  const [one, two, three] = storedEvents(key, 1, 1, 3);
  assert.ok(one !== undefined && two !== undefined && three !== undefined);
  await assert.rejects(log.append(quietKey, 1, [one]), { code: 'internal' });
  const later = storedEvents(key, 2, 2, 2);
  await assert.rejects(log.append(key, 1, later), { code: 'internal' });
  await assert.rejects(log.append(key, 2, [one, ...later]), { code: 'internal' });
  await assert.rejects(log.append(key, 1, [one, three]), { code: 'internal' });
  assert.equal((await log.read(key, 0, 10)).lastSeq, 0);
});

test('a log that goes on behind what is sealed gives back what it took of the whole', async () => {
  const log = new MemoryEventLog({ maxCharacters: 10_000 });
  await log.append(key, 1, [storedEvent({ key, epoch: 1, seq: 1, text: 'x'.repeat(9_000) })]);
  assert.deepEqual(await log.open(key, 2, 7), { outcome: 'opened', lastSeq: 7 });
  await log.append(quietKey, 1, storedEvents(quietKey, 1, 1, 20));
  await log.append(quietKey, 1, storedEvents(quietKey, 1, 21, 22));
  assert.equal((await log.read(quietKey, 0, 100)).events.length, 22);
});
