// What the Redis log does when its server fails: each test has a server of its own.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { LogKey } from '../../contracts/event-log.ts';
import { isServiceError } from '../../core/errors.ts';
import type { StoredEvent } from '../../core/event.ts';
import { PushedEvents } from '../../testing/contract-suites/pushed-events.ts';
import { FaultProxy } from '../../testing/faults/fault-proxy.ts';
import type { RedisPersistence, RedisServer } from '../../testing/redis-server.ts';
import { redisStores } from '../../testing/redis-stores.ts';
import { storedEvent, storedEvents } from '../../testing/stored-events.ts';
import { eventKeys } from './event-keys.ts';
import type { RedisConnection, RedisConnectionOptions } from './redis-connection.ts';
import { RedisEventLog, type RedisEventLogOptions } from './redis-event-log.ts';

const key: LogKey = { tenant: 'acme', sessionId: '019f0000-0000-7000-8000-000000000001' };
const stores = redisStores();
const storedAll = { outcome: 'appended', lastSeq: 5 };

type Lab = { readonly server: RedisServer; readonly connection: RedisConnection; readonly log: RedisEventLog };

type LabOptions = {
  readonly persistence?: RedisPersistence;
  readonly extra?: readonly string[];
  readonly log?: Partial<RedisEventLogOptions>;
  readonly connection?: Partial<RedisConnectionOptions>;
};

/** A log with the events 1 to 5; null where there is no Redis, and then the test is skipped. */
async function openLab(t: TestContext, options: LabOptions = {}): Promise<Lab | null> {
  const server = await stores.ownServer(t, options.persistence ?? 'none', options.extra ?? []);
  if (server === null) return null;
  const connection = await stores.connect({ url: server.url, ...options.connection });
  const log = new RedisEventLog(connection, options.log);
  t.after(async () => {
    log.close();
    await connection.close();
  });
  await log.open(key, 1, 0);
  assert.deepEqual(await log.append(key, 1, storedEvents(key, 1, 1, 5)), storedAll);
  return { server, connection, log };
}

/** As a writer does: the same call again until the store answers. */
async function untilAnswered<T>(call: () => Promise<T>): Promise<T> {
  const endMs = performance.now() + 20_000;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!isServiceError(error, 'store_unavailable') || performance.now() > endMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

async function rejectsWithin(ms: number, call: Promise<unknown>, details: object): Promise<void> {
  const startMs = performance.now();
  await assert.rejects(call, details);
  const tookMs = performance.now() - startMs;
  assert.ok(tookMs < ms, `${tookMs} ms`);
}

test('a server that forgot its scripts is told them again', async (t) => {
  const lab = await openLab(t);
  if (lab === null) return;
  await lab.connection.run((client) => client.script('FLUSH'));
  assert.deepEqual(await lab.log.append(key, 1, storedEvents(key, 1, 6, 6)), { outcome: 'appended', lastSeq: 6 });
});

test('a flushed log takes nothing until it is opened, and goes on behind what is sealed', async (t) => {
  const lab = await openLab(t);
  if (lab === null) return;
  const { connection, log } = lab;
  await connection.run((client) => client.flushall());
  assert.deepEqual(await log.append(key, 1, storedEvents(key, 1, 6, 6)), { outcome: 'log_lost' });
  assert.deepEqual(await log.open(key, 1, 3), { outcome: 'opened', lastSeq: 3 });
  const events = storedEvents(key, 1, 4, 6);
  assert.deepEqual(await log.append(key, 1, events), { outcome: 'appended', lastSeq: 6 });
  assert.deepEqual(await log.read(key, 3, 10), { events, firstSeq: 4, lastSeq: 6 });
});

for (const [persistence, kept] of [
  ['none', 0],
  ['always', 5],
] as const) {
  test(`a server killed and started again, with persistence "${persistence}", is another past: log_lost until opened`, async (t) => {
    const lab = await openLab(t, { persistence });
    if (lab === null) return;
    const { connection, log, server } = lab;
    const runId = connection.runId();
    const pushed = await PushedEvents.open(log, key);
    await server.kill9();
    await rejectsWithin(3_500, log.append(key, 1, storedEvents(key, 1, 6, 6)), { code: 'store_unavailable' });
    await server.startAgain();
    const lost = await untilAnswered(() => log.append(key, 1, storedEvents(key, 1, 6, 6)));
    assert.deepEqual(lost, { outcome: 'log_lost' });
    assert.notEqual(connection.runId(), runId);
    assert.deepEqual(await log.open(key, 2, 0), { outcome: 'opened', lastSeq: kept });
    await log.append(key, 2, storedEvents(key, 2, kept + 1, 7));
    await pushed.reached(7);
    pushed.close();
    assert.deepEqual(pushed.events, storedEvents(key, 2, kept + 1, 7));
    assert.deepEqual((await log.read(key, kept, 10)).events, storedEvents(key, 2, kept + 1, 7));
  });
}

test('a server that is no longer primary refuses, and after it became that again the log is opened anew', async (t) => {
  const lab = await openLab(t);
  if (lab === null) return;
  const { connection, log } = lab;
  await connection.run((client) => client.replicaof('127.0.0.1', 1));
  const refused = { code: 'store_unavailable', details: { store: 'redis', reason: 'read_only' } };
  await assert.rejects(log.append(key, 1, storedEvents(key, 1, 6, 6)), refused);
  await untilAnswered(() => connection.run((client) => client.replicaof('NO', 'ONE')));
  // The past of the other one may have taken the place of ours.
  const lost = await untilAnswered(() => log.append(key, 1, storedEvents(key, 1, 6, 6)));
  assert.deepEqual(lost, { outcome: 'log_lost' });
  assert.deepEqual(await log.open(key, 1, 0), { outcome: 'opened', lastSeq: 5 });
  assert.equal((await log.append(key, 1, storedEvents(key, 1, 6, 6))).outcome, 'appended');
});

test('a full server refuses a batch whole, and takes it when sealed events were dropped', async (t) => {
  const lab = await openLab(t, { extra: ['--maxmemory', '8mb', '--maxmemory-policy', 'noeviction'] });
  if (lab === null) return;
  const { log } = lab;
  const text = 'x'.repeat(100_000);
  const batchOf = (seq: number, epoch = 1): StoredEvent[] =>
    [0, 1, 2].map((index) => storedEvent({ key, epoch, seq: seq + index, text }));
  const refused = { code: 'storage_full' };
  let next = 6;
  await assert.rejects(async () => {
    for (; next < 1_000; next += 3) await log.append(key, 1, batchOf(next));
  }, refused);
  assert.equal((await log.read(key, next, 1)).lastSeq, next - 1);
  // Nothing of it: not even its epoch.
  await assert.rejects(log.append(key, 2, batchOf(next, 2)), refused);
  const dropped = await log.dropSealed(key, next - 4, Number.MAX_SAFE_INTEGER);
  assert.ok(dropped >= 6, String(dropped));
  assert.deepEqual(await log.append(key, 1, batchOf(next)), { outcome: 'appended', lastSeq: next + 2 });
  assert.deepEqual((await log.read(key, next - 1, 10)).events, batchOf(next));
});

test('a server that stands still is answered for in time, and what it took after all is not doubled', async (t) => {
  const lab = await openLab(t);
  if (lab === null) return;
  const { log, server } = lab;
  const pushed = await PushedEvents.open(log, key);
  const batch = storedEvents(key, 1, 6, 8);
  server.pause();
  const timedOut = { code: 'store_unavailable', details: { store: 'redis', reason: 'timeout' } };
  await rejectsWithin(2_500, log.append(key, 1, batch), timedOut);
  await rejectsWithin(3_500, log.append(key, 1, batch), { code: 'store_unavailable' });
  await rejectsWithin(
    3_500,
    log.subscribe({ ...key, sessionId: 'another' }, () => undefined),
    {
      code: 'store_unavailable',
    },
  );
  server.resume();
  const answer = await untilAnswered(() => log.append(key, 1, [...batch, ...storedEvents(key, 1, 9, 9)]));
  assert.deepEqual(answer, { outcome: 'appended', lastSeq: 9 });
  await pushed.reached(9);
  pushed.close();
  assert.deepEqual(pushed.seqs, [6, 7, 8, 9]);
  assert.deepEqual((await log.read(key, 5, 10)).events, storedEvents(key, 1, 6, 9));
});

test('a subscriber whose connection is cut is given what it missed, once', async (t) => {
  const lab = await openLab(t, { log: { checkMs: 60_000 } });
  if (lab === null) return;
  const { connection, log } = lab;
  const pushed = await PushedEvents.open(log, key);
  for (let round = 0; round < 10; round++) {
    const seq = 6 + round * 10;
    await connection.run((client) => client.call('CLIENT', 'KILL', 'TYPE', 'pubsub'));
    for (let next = seq; next < seq + 10; next++) await log.append(key, 1, storedEvents(key, 1, next, next));
    await pushed.reached(seq + 9);
  }
  pushed.close();
  assert.deepEqual(pushed.events, storedEvents(key, 1, 6, 105));
});

test('after a long absence a subscriber is given the last event at least, and reads the rest', async (t) => {
  const lab = await openLab(t, { log: { checkMs: 100 } });
  if (lab === null) return;
  const { connection, log } = lab;
  const pushed = await PushedEvents.open(log, key);
  const { channel } = eventKeys(connection.keyPrefix, 0, key);
  // The connection stands, and the messages do not come.
  await connection.runSubscriber((client) => client.unsubscribe(channel));
  for (let seq = 6; seq < 3_000; seq += 500) await log.append(key, 1, storedEvents(key, 1, seq, seq + 499));
  await pushed.reached(3_005);
  pushed.close();
  assert.deepEqual(
    pushed.seqs,
    pushed.seqs.toSorted((a, b) => a - b),
  );
  assert.equal(new Set(pushed.seqs).size, pushed.seqs.length);
});

test('a subscriber that missed how a log was lost and went on at an earlier place is given what is there now', async (t) => {
  const lab = await openLab(t, { log: { checkMs: 100 } });
  if (lab === null) return;
  const { connection, log } = lab;
  const pushed = await PushedEvents.open(log, key);
  await log.append(key, 1, storedEvents(key, 1, 6, 20));
  await pushed.reached(20);
  const { channel } = eventKeys(connection.keyPrefix, 0, key);
  await connection.runSubscriber((client) => client.unsubscribe(channel));
  await connection.run((client) => client.flushall());
  await log.open(key, 2, 10);
  await log.append(key, 2, storedEvents(key, 2, 11, 15));
  await pushed.reached(15);
  await log.append(key, 2, storedEvents(key, 2, 16, 30));
  await pushed.reached(30);
  pushed.close();
  const later = pushed.events.filter(({ header }) => header.epoch === 2);
  assert.deepEqual(later, storedEvents(key, 2, 11, 30));
});

test('a log in a cluster keeps to one slot: opened, written, read, heard and erased', async (t) => {
  const server = await stores.ownServer(t, 'none', ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1']);
  if (server === null) return;
  const single = await stores.connect({ url: server.url });
  await single.run((client) => client.cluster('ADDSLOTSRANGE', 0, 16_383));
  await untilAnswered(() => single.run((client) => client.set('a', 'b')));
  const connection = await stores.connect({ url: server.url, cluster: true });
  const log = new RedisEventLog(connection, { checkMs: 50 });
  t.after(() => log.close());
  const keys = ['a', 'b', 'c'].map((sessionId) => ({ ...key, sessionId }));
  for (const one of keys) {
    await log.open(one, 1, 0);
    const pushed = await PushedEvents.open(log, one);
    await log.append(one, 1, storedEvents(one, 1, 1, 3));
    await pushed.reached(3);
    await connection.runSubscriber((client) =>
      client.unsubscribe(eventKeys(connection.keyPrefix, connection.database, one).channel),
    );
    await log.append(one, 1, storedEvents(one, 1, 4, 5));
    await pushed.reached(5);
    pushed.close();
    assert.deepEqual((await log.read(one, 0, 10)).events, storedEvents(one, 1, 1, 5));
    await log.erase(one);
    assert.equal((await log.read(one, 0, 10)).lastSeq, 0);
  }
});

test('connections through which nothing comes any more are given up, and nothing is missed or doubled', async (t) => {
  const server = await stores.ownServer(t);
  if (server === null) return;
  // Behind the greeting and a few answers both first connections fall silent; later ones are whole.
  const proxy = await FaultProxy.start({
    target: () => ({ host: '127.0.0.1', port: server.port }),
    plan: (connection) => (connection > 1 ? {} : { cut: { direction: 'down', afterBytes: 9_000, how: 'black_hole' } }),
  });
  t.after(() => proxy.close());
  const url = `redis://:${server.password}@${new URL(proxy.url).host}`;
  const connection = await stores.connect({ url, commandTimeoutMs: 200 });
  const log = new RedisEventLog(connection, { checkMs: 200 });
  t.after(() => log.close());
  await log.open(key, 1, 0);
  const pushed = await PushedEvents.open(log, key);
  for (let seq = 1; seq <= 200; seq++) {
    const answer = await untilAnswered(() => log.append(key, 1, storedEvents(key, 1, seq, seq)));
    assert.deepEqual(answer, { outcome: 'appended', lastSeq: seq });
  }
  await pushed.reached(200);
  pushed.close();
  assert.deepEqual(
    pushed.seqs,
    [...new Set(pushed.seqs)].toSorted((a, b) => a - b),
  );
  assert.equal(proxy.counts.cuts.black_hole, 2);
  assert.deepEqual((await log.read(key, 0, 300)).events, storedEvents(key, 1, 1, 200));
});
