import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import type { LogKey } from '../../contracts/event-log.ts';
import { eventLogSuite, losingLogSuite } from '../../testing/contract-suites/event-log-suite.ts';
import { PushedEvents } from '../../testing/contract-suites/pushed-events.ts';
import { isRedisInstalled, missingRedis } from '../../testing/redis-server.ts';
import { redisStores } from '../../testing/redis-stores.ts';
import { storedEvent, storedEvents } from '../../testing/stored-events.ts';
import { eventKeys } from './event-keys.ts';
import { packEvents } from './event-frames.ts';
import type { RedisConnection } from './redis-connection.ts';
import { RedisEventLog, type RedisEventLogOptions } from './redis-event-log.ts';

const key: LogKey = { tenant: 'acme', sessionId: '019f0000-0000-7000-8000-000000000001' };
const otherKey: LogKey = { tenant: 'acme', sessionId: '019f0000-0000-7000-8000-000000000002' };

const stores = redisStores();

type Opened = {
  readonly log: RedisEventLog;
  readonly connection: RedisConnection;
  readonly close: () => Promise<void>;
};

async function openLog(
  options: Partial<RedisEventLogOptions> = {},
  cluster: Partial<Parameters<typeof stores.connect>[0]> = {},
): Promise<Opened> {
  const connection = await stores.connect(cluster);
  const log = new RedisEventLog(connection, options);
  const close = async (): Promise<void> => {
    log.close();
    await connection.close();
  };
  return { log, connection, close };
}

async function withLog(
  t: TestContext,
  options: Partial<RedisEventLogOptions>,
): Promise<Pick<Opened, 'log' | 'connection'>> {
  const { close, ...opened } = await openLog(options);
  t.after(close);
  await opened.log.open(key, 1, 0);
  return opened;
}

describe('on Redis', { skip: isRedisInstalled() ? false : missingRedis }, () => {
  eventLogSuite('the Redis log', async () => {
    const { close, log } = await openLog();
    return { adapter: log, close };
  });

  losingLogSuite('the Redis log loses all with its server', async () => {
    const { close, connection, log } = await openLog();
    const { head, batches } = eventKeys(connection.keyPrefix, 0, key);
    const lose = async (): Promise<void> => {
      await connection.run((client) => client.del(head, batches));
    };
    return { adapter: { log, lose }, close };
  });

  losingLogSuite('the Redis log loses its events to eviction', async () => {
    const { close, connection, log } = await openLog();
    const { batches } = eventKeys(connection.keyPrefix, 0, key);
    const lose = async (): Promise<void> => {
      await connection.run((client) => client.del(batches));
    };
    return { adapter: { log, lose }, close };
  });

  losingLogSuite('the Redis log loses its head to eviction', async () => {
    const { close, connection, log } = await openLog();
    const { head } = eventKeys(connection.keyPrefix, 0, key);
    const lose = async (): Promise<void> => {
      await connection.run((client) => client.del(head));
    };
    return { adapter: { log, lose }, close };
  });

  test('a log without its head is opened with the events and the epoch that its stream tells of', async (t) => {
    const { connection, log } = await withLog(t, {});
    await log.append(key, 1, storedEvents(key, 1, 1, 2));
    await log.append(key, 4, storedEvents(key, 4, 3, 5));
    await connection.run((client) => client.del(eventKeys(connection.keyPrefix, 0, key).head));
    assert.deepEqual(await log.open(key, 3, 1), { outcome: 'stale_epoch', epoch: 4 });
    assert.deepEqual(await log.open(key, 4, 1), { outcome: 'opened', lastSeq: 5 });
    const events = [...storedEvents(key, 1, 1, 2), ...storedEvents(key, 4, 3, 5)];
    assert.deepEqual(await log.read(key, 0, 10), { events, firstSeq: 1, lastSeq: 5 });
  });

  test('events that vanished from the middle are a dropped beginning to readers, never a hole', async (t) => {
    const { connection, log } = await withLog(t, {});
    for (const first of [1, 4, 7]) await log.append(key, 1, storedEvents(key, 1, first, first + 2));
    const { batches } = eventKeys(connection.keyPrefix, 0, key);
    await connection.run((client) => client.xdel(batches, '6-0'));
    assert.deepEqual(await log.read(key, 0, 10), { events: storedEvents(key, 1, 7, 9), firstSeq: 7, lastSeq: 9 });
    assert.deepEqual(await log.read(key, 4, 10), { events: storedEvents(key, 1, 7, 9), firstSeq: 7, lastSeq: 9 });
    await connection.run((client) => client.del(batches));
    assert.deepEqual(await log.read(key, 0, 10), { events: [], firstSeq: 10, lastSeq: 9 });
  });

  test('of too many events those go that a snapshot holds, and without one, only far more than may be kept', async (t) => {
    const { log } = await withLog(t, { maxEventsPerSession: 100 });
    await log.open(key, 1, 0);
    const firstSeqs: number[] = [];
    for (let first = 1; first <= 901; first += 100) {
      await log.append(key, 1, storedEvents(key, 1, first, first + 99));
      if (first === 201) await log.open(key, 1, 130);
      firstSeqs.push((await log.read(key, 0, 1)).firstSeq);
    }
    assert.deepEqual(firstSeqs, [1, 1, 1, 131, 131, 201, 301, 401, 501, 601]);
    assert.deepEqual((await log.read(key, 0, 2)).events, storedEvents(key, 1, 601, 602));
    const repeat = await log.append(key, 1, storedEvents(key, 1, 600, 601));
    assert.deepEqual(repeat, { outcome: 'out_of_order', lastSeq: 1_000 });
  });

  test('sealed events that are older than a moment are dropped, but for the last ones of the log', async (t) => {
    const { connection, log } = await withLog(t, {});
    const at = (seq: number): number => storedEvent({ key, epoch: 1, seq }).header.at;
    for (let first = 1; first <= 4_991; first += 5) await log.append(key, 1, storedEvents(key, 1, first, first + 4));
    assert.equal(await log.dropSealed(key, 4_000, at(2_001)), 2_000);
    assert.equal(await log.dropSealed(key, 4_003, at(9_000)), 2_000);
    assert.equal(await log.dropSealed(key, 5_000, at(9_000)), 990);
    assert.equal(await log.dropSealed(otherKey, 5_000, at(9_000)), 0);
    assert.deepEqual(await log.read(key, 0, 10), {
      events: storedEvents(key, 1, 4_991, 4_995),
      firstSeq: 4_991,
      lastSeq: 4_995,
    });
    const { batches } = eventKeys(connection.keyPrefix, 0, key);
    assert.equal(await connection.run((client) => client.xlen(batches)), 1);
    assert.equal((await log.append(key, 1, storedEvents(key, 1, 4_996, 4_996))).outcome, 'appended');
  });

  test('a log is kept for as long as was asked for after its last append, and no key stays for ever', async (t) => {
    const { connection, log } = await withLog(t, { hotMs: 80_000 });
    const { batches, head } = eventKeys(connection.keyPrefix, 0, key);
    const leftMs = (): Promise<number[]> =>
      connection.run((client) => Promise.all([client.pttl(head), client.pttl(batches)]));
    await log.append(key, 1, storedEvents(key, 1, 1, 1));
    for (const ms of await leftMs()) assert.ok(ms > 85_000 && ms <= 90_000, String(ms));
    await connection.run((client) => Promise.all([client.pexpire(head, 79_000), client.pexpire(batches, 79_000)]));
    await log.append(key, 1, storedEvents(key, 1, 2, 2));
    for (const ms of await leftMs()) assert.ok(ms > 85_000 && ms <= 90_000, String(ms));
    await connection.run((client) => Promise.all([client.pexpire(head, 1), client.pexpire(batches, 1)]));
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.deepEqual(await log.append(key, 1, storedEvents(key, 1, 3, 3)), { outcome: 'log_lost' });
  });

  test('a page of large events is shorter than its limit, and the next one goes on', async (t) => {
    const { log } = await withLog(t, {});
    const text = 'x'.repeat(250_000);
    for (let seq = 1; seq <= 40; seq++) await log.append(key, 1, [storedEvent({ key, epoch: 1, seq, text })]);
    const first = await log.read(key, 0, 40);
    assert.ok(first.events.length >= 15 && first.events.length < 40, String(first.events.length));
    const next = await log.read(key, first.events.length, 1);
    assert.equal(next.events[0]?.header.seq, first.events.length + 1);
  });

  test('a batch of another session, a later epoch, several epochs or with holes is a defect and is rejected', async (t) => {
    const { log } = await withLog(t, {});
    const [one, two, three] = storedEvents(key, 1, 1, 3);
    assert.ok(one !== undefined && two !== undefined && three !== undefined);
    await assert.rejects(log.append(otherKey, 1, [one]), { code: 'internal' });
    const later = storedEvents(key, 2, 2, 2);
    await assert.rejects(log.append(key, 1, later), { code: 'internal' });
    await assert.rejects(log.append(key, 2, [one, ...later]), { code: 'internal' });
    await assert.rejects(log.append(key, 1, [one, three]), { code: 'internal' });
    assert.equal((await log.read(key, 0, 10)).lastSeq, 0);
  });

  test('a damaged entry is reported and never handed out', async (t) => {
    const { connection, log } = await withLog(t, {});
    await log.append(key, 1, storedEvents(key, 1, 1, 1));
    const { batches } = eventKeys(connection.keyPrefix, 0, key);
    for (const [seq, spoil] of [
      [2, (frames: Buffer) => frames.fill('y', frames.length - 5)],
      [3, (frames: Buffer) => frames.subarray(0, frames.length - 5)],
      [4, (frames: Buffer) => frames.fill(9, 4, 5)],
    ] as const) {
      const { checksums, frames } = packEvents(storedEvents(key, 1, seq, seq));
      const fields = ['e', 1, 'a', 1, 'c', checksums, 'p', spoil(frames)];
      await connection.run((client) => client.xadd(batches, `${seq}-0`, ...fields));
      await connection.run((client) => client.hset(eventKeys(connection.keyPrefix, 0, key).head, 'last', seq));
      await assert.rejects(log.read(key, seq - 1, 1), { code: 'session_corrupt' });
    }
    assert.equal((await log.read(key, 0, 1)).events.length, 1);
  });

  test('neither tenant nor session can leave the place of their keys', async (t) => {
    const { log } = await withLog(t, {});
    const tenants = ['a/b', 'a}', '{a', 'a%2Fb', 'ä'];
    const keys = tenants.flatMap((tenant) => ['c', '}c', 'b/c'].map((sessionId) => ({ tenant, sessionId })));
    for (const [index, one] of keys.entries()) {
      await log.open(one, 1, 0);
      await log.append(one, 1, storedEvents(one, 1, 1, index + 1));
    }
    for (const [index, one] of keys.entries()) {
      const { events } = await log.read(one, 0, 100);
      assert.deepEqual(events, storedEvents(one, 1, 1, index + 1));
    }
  });

  test('of writers that race with their epochs none writes after a later one, whatever the order', async (t) => {
    const { log } = await withLog(t, {});
    const second = new RedisEventLog(await stores.connect({ keyPrefix: 'race:' }));
    const first = new RedisEventLog(await stores.connect({ keyPrefix: 'race:' }));
    t.after(() => [first.close(), second.close(), log.close()]);
    await first.open(key, 1, 0);
    let epoch = 1;
    const write = async (writer: RedisEventLog): Promise<void> => {
      for (let round = 0; round < 40; round++) {
        const mine = ++epoch;
        const opened = await writer.open(key, mine, 0);
        if (opened.outcome !== 'opened') continue;
        for (let seq = opened.lastSeq + 1; seq < opened.lastSeq + 4; seq++) {
          const { outcome } = await writer.append(key, mine, storedEvents(key, mine, seq, seq));
          if (outcome !== 'appended') break;
        }
      }
    };
    await Promise.all([write(first), write(second), write(first), write(second)]);
    const { events, lastSeq } = await first.read(key, 0, 1_000);
    assert.deepEqual(
      events.map(({ header }) => header.seq),
      Array.from({ length: lastSeq }, (_, index) => index + 1),
    );
    const epochs = events.map(({ header }) => header.epoch);
    assert.deepEqual(
      epochs,
      epochs.toSorted((a, b) => a - b),
    );
    assert.ok(new Set(epochs).size > 2, 'several writers wrote');
  });

  test('what is published is said once however many listen, and to nobody after the last one left', async (t) => {
    const { connection, log } = await withLog(t, {});
    const { channel } = eventKeys(connection.keyPrefix, 0, key);
    const subscribers = async (): Promise<unknown> =>
      (await connection.run((client) => client.pubsub('NUMSUB', channel)))[1];
    const pushed = await Promise.all([1, 2, 3].map(() => PushedEvents.open(log, key)));
    assert.equal(await subscribers(), 1);
    await log.append(key, 1, storedEvents(key, 1, 1, 3));
    for (const one of pushed) {
      await one.reached(3);
      assert.deepEqual(one.seqs, [1, 2, 3]);
      one.close();
    }
    // On the subscribers' connection, behind the unsubscribing.
    await connection.runSubscriber((client) => client.ping());
    assert.equal(await subscribers(), 0);
    const again = await PushedEvents.open(log, key);
    await log.append(key, 1, storedEvents(key, 1, 4, 4));
    await again.reached(4);
    again.close();
  });

  test('how fast a log is written, and what an append costs the server', async (t) => {
    const { connection, log } = await withLog(t, {});
    await connection.run((client) => client.config('RESETSTAT'));
    const count = 2_000;
    const startMs = performance.now();
    for (let seq = 1; seq <= count; seq++) await log.append(key, 1, storedEvents(key, 1, seq, seq));
    const tookMs = performance.now() - startMs;
    const stats = await connection.run((client) => client.info('commandstats'));
    const calls = [...stats.matchAll(/^cmdstat_([\w|]+):calls=(\d+),usec=(\d+)/gm)]
      .map(
        ([, name, calls, usec]) =>
          `${name} ${(Number(calls) / count).toFixed(2)} (${(Number(usec) / count).toFixed(1)} µs)`,
      )
      .join(', ');
    const net = await connection.run((client) => client.info('stats'));
    const bytes = Number(/total_net_input_bytes:(\d+)/.exec(net)?.[1]);
    const { batches } = eventKeys(connection.keyPrefix, 0, key);
    const memory = Number(await connection.run((client) => client.memory('USAGE', batches, 'SAMPLES', 0)));
    t.diagnostic(
      `${Math.round((count / tookMs) * 1_000)} appends/s one after the other, ${(tookMs / count).toFixed(3)} ms each`,
    );
    t.diagnostic(
      `per append: ${calls}; ${Math.round(bytes / count)} bytes in, ${Math.round(memory / count)} bytes kept`,
    );
    const parallelStartMs = performance.now();
    const sessions = Array.from({ length: 20 }, (_, index) => ({ ...key, sessionId: `session-${index}` }));
    await Promise.all(
      sessions.map(async (session) => {
        await log.open(session, 1, 0);
        for (let seq = 1; seq <= 100; seq++) await log.append(session, 1, storedEvents(session, 1, seq, seq));
      }),
    );
    t.diagnostic(
      `${Math.round(2_000 / ((performance.now() - parallelStartMs) / 1_000))} appends/s of 20 sessions at once`,
    );
    assert.equal((await log.read(key, 0, 1)).lastSeq, count);
  });
});
