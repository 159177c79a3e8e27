import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lease } from '../../contracts/session-directory.ts';
import { isServiceError } from '../../core/errors.ts';
import { SystemClock } from '../../observability/system-clock.ts';
import { sessionDirectorySuite } from '../../testing/contract-suites/session-directory-suite.ts';
import { isRedisInstalled, missingRedis, type RedisPersistence, type RedisServer } from '../../testing/redis-server.ts';
import { redisStores } from '../../testing/redis-stores.ts';
import type { RedisConnection } from './redis-connection.ts';
import { leaseKeys, leaseMarkKeys } from './redis-keys.ts';
import { RedisSessionDirectory } from './redis-session-directory.ts';

const stores = redisStores();
const skip = isRedisInstalled() ? false : missingRedis;
const sessionId = '019f0000-0000-7000-8000-000000000001';
const first: Lease = { tenant: 'acme', sessionId, worker: 'worker-1', epoch: 1 };
const second: Lease = { ...first, worker: 'worker-2', epoch: 2 };
const ttlMs = 20_000;

if (skip === false) {
  sessionDirectorySuite('the Redis directory', async () => {
    const connection = await stores.connect();
    return {
      // Servers end terms by whole milliseconds of their own.
      adapter: { directory: new RedisSessionDirectory(connection), passTime: (ms) => sleep(ms + 10) },
      close: () => connection.close(),
    };
  });
} else test('the Redis directory keeps the promises of a session directory', { skip }, () => {});

type Party = { readonly connection: RedisConnection; readonly directory: RedisSessionDirectory };

async function parties(
  t: TestContext,
  persistence: RedisPersistence,
): Promise<{ server: RedisServer; one: Party; two: Party } | null> {
  const server = await stores.ownServer(t, persistence);
  if (server === null) return null;
  const join = async (): Promise<Party> => {
    const connection = await stores.connect({ url: server.url, keyPrefix: 'fleet:' });
    return { connection, directory: new RedisSessionDirectory(connection) };
  };
  return { server, one: await join(), two: await join() };
}

/** Until a restarted server is connected to again. */
async function isBack({ connection }: Party): Promise<void> {
  const endMs = performance.now() + 10_000;
  while (performance.now() < endMs) {
    try {
      await connection.run((client) => client.ping());
      return;
    } catch {
      await sleep(20);
    }
  }
  assert.fail('Redis is reached again');
}

test('of two processes that race for a session one wins each round, and both are told the same', { skip }, async () => {
  const keyPrefix = stores.newPrefix();
  const directories = [
    new RedisSessionDirectory(await stores.connect({ keyPrefix })),
    new RedisSessionDirectory(await stores.connect({ keyPrefix })),
  ];
  for (let round = 0; round < 50; round += 1) {
    const key = { ...first, sessionId: `session-${round}` };
    const leases = directories.map((_, index) => ({ ...key, worker: `worker-${index}` }));
    const answers = await Promise.all(
      directories.map((directory, index) => directory.claim(leases[index] ?? key, ttlMs)),
    );
    const winner = leases[answers.indexOf(null)];
    assert.equal(answers.filter((answer) => answer === null).length, 1);
    assert.deepEqual(
      answers.find((answer) => answer !== null),
      winner,
    );
  }
});

test('a lease that was lost with all the data is its holder’s again at the next renewal', { skip }, async (t) => {
  const all = await parties(t, 'none');
  if (all === null) return;
  const { one, two } = all;
  await one.directory.claim(first, ttlMs);
  await one.connection.run((client) => client.flushall());
  assert.equal(await two.directory.lookup('acme', sessionId), null);
  assert.equal(await two.directory.renew(second, ttlMs), false);
  assert.equal(await one.directory.renew(first, ttlMs), true);
  assert.deepEqual(await two.directory.claim(second, ttlMs), first);
});

test('what was lost and claimed since is not its holder’s, also after that one has let it go', { skip }, async (t) => {
  const all = await parties(t, 'none');
  if (all === null) return;
  const { one, two } = all;
  await one.directory.claim(first, ttlMs);
  await one.connection.run((client) => client.flushall());
  assert.equal(await two.directory.claim(second, ttlMs), null);
  assert.equal(await one.directory.renew(first, ttlMs), false);
  await two.directory.release(second);
  assert.equal(await one.directory.renew(first, ttlMs), false);
  await one.connection.run((client) => client.flushall());
  assert.equal(await two.directory.renew(second, ttlMs), false);
});

test('a directory that lost its data says since when it knows anything, to everybody the same', { skip }, async (t) => {
  const all = await parties(t, 'none');
  if (all === null) return;
  const { one, two } = all;
  assert.equal(await one.directory.knownForMs(), 0);
  await sleep(120);
  const before = await two.directory.knownForMs();
  assert.ok(before >= 120 && before < 10_000, `known for ${before} ms`);
  await one.connection.run((client) => client.flushall());
  const after = await two.directory.knownForMs();
  assert.ok(after < 100, `known for ${after} ms`);
});

test('where one part of the data was lost, the whole is known only since then', { skip }, async () => {
  const connection = await stores.connect();
  const directory = new RedisSessionDirectory(connection);
  await directory.knownForMs();
  await sleep(150);
  await connection.run((client) => client.del(leaseMarkKeys(connection.keyPrefix)[3] ?? ''));
  assert.ok((await directory.knownForMs()) < 150);
});

test('killed and started again empty: nobody is known, holders take up their leases again', { skip }, async (t) => {
  const all = await parties(t, 'none');
  if (all === null) return;
  const { server, one, two } = all;
  await one.directory.claim(first, ttlMs);
  await server.kill9();
  await assert.rejects(one.directory.renew(first, ttlMs), (error) => isServiceError(error, 'store_unavailable'));
  await server.startAgain();
  await Promise.all([isBack(one), isBack(two)]);
  assert.ok((await two.directory.knownForMs()) < ttlMs);
  assert.equal(await one.directory.renew(first, ttlMs), true);
  assert.deepEqual(await two.directory.lookup('acme', sessionId), first);
});

test('killed and started again with its data: leases stand, yet what it knows counts from the start', {
  skip,
}, async (t) => {
  const all = await parties(t, 'always');
  if (all === null) return;
  const { server, one, two } = all;
  const brief = { ...first, sessionId: '019f0000-0000-7000-8000-000000000002' };
  await one.directory.claim(first, ttlMs);
  await one.directory.claim(brief, 300);
  await sleep(200);
  await server.kill9();
  await sleep(300);
  await server.startAgain();
  await Promise.all([isBack(one), isBack(two)]);
  const startedMs = performance.now();
  assert.equal(await one.directory.knownForMs(), 0);
  assert.deepEqual(await two.directory.claim(second, ttlMs), first);
  // Its term ended while nobody could have renewed it.
  assert.equal(await one.directory.renew(brief, ttlMs), true);
  assert.equal(await one.directory.renew(first, ttlMs), true);
  assert.ok((await two.directory.knownForMs()) <= performance.now() - startedMs + 5);
});

test('a server that went back in time gives the lease to whom it belongs, not to whom it belonged', {
  skip,
}, async (t) => {
  const all = await parties(t, 'none');
  if (all === null) return;
  const { server, one, two } = all;
  await one.directory.claim(first, ttlMs);
  await one.connection.run((client) => client.save());
  await one.directory.release(first);
  await two.directory.claim(second, ttlMs);
  await server.kill9();
  await server.startAgain();
  await Promise.all([isBack(one), isBack(two)]);
  assert.deepEqual(await one.directory.lookup('acme', sessionId), first);
  assert.equal(await two.directory.renew(second, ttlMs), true);
  assert.deepEqual(await one.directory.lookup('acme', sessionId), second);
});

test('a paused server is refused in time, and knows all it knew when it goes on', { skip }, async (t) => {
  const server = await stores.ownServer(t);
  if (server === null) return;
  const connection = await stores.connect({ url: server.url, commandTimeoutMs: 200 });
  const directory = new RedisSessionDirectory(connection);
  await directory.claim(first, ttlMs);
  server.pause();
  const startedMs = performance.now();
  await assert.rejects(directory.renew(first, ttlMs), (error) => isServiceError(error, 'store_unavailable'));
  assert.ok(performance.now() - startedMs < 3_000);
  server.resume();
  await isBack({ connection, directory });
  assert.equal(await directory.renew(first, ttlMs), true);
});

test('clocks of processes that are hours apart change nothing', { skip }, async () => {
  class WrongClock extends SystemClock {
    readonly #aheadMs: number;
    constructor(aheadMs: number) {
      super();
      this.#aheadMs = aheadMs;
    }
    override now(): number {
      return super.now() + this.#aheadMs;
    }
    override monotonicMs(): number {
      return super.monotonicMs() + 2 * Math.abs(this.#aheadMs);
    }
  }
  const keyPrefix = stores.newPrefix();
  const [early, late] = [new WrongClock(-3_600_000), new WrongClock(3_600_000)];
  const one = new RedisSessionDirectory(await stores.connect({ keyPrefix, clock: early }));
  const two = new RedisSessionDirectory(await stores.connect({ keyPrefix, clock: late }));
  await one.claim(first, 500);
  assert.deepEqual(await two.claim(second, 500), first);
  await sleep(520);
  assert.equal(await two.claim(second, 500), null);
  assert.equal(await one.renew(first, 500), false);
  assert.ok((await one.knownForMs()) < 60_000);
});

test('a server whose clock is set back keeps no lease longer than it was given, and no age', { skip }, async () => {
  const connection = await stores.connect();
  const directory = new RedisSessionDirectory(connection);
  const keys = leaseKeys(connection.keyPrefix, first);
  await directory.claim(first, 400);
  // As it looks when an hour comes twice.
  await connection.run((client) => client.pexpire(keys.lease, 3_600_000));
  await connection.run(async (client) => {
    for (const key of leaseMarkKeys(connection.keyPrefix)) await client.hset(key, 'at_ms', 9e12);
  });
  assert.deepEqual(await directory.lookup('acme', sessionId), first);
  assert.ok((await directory.knownForMs()) < 400);
  await sleep(420);
  assert.equal(await directory.claim(second, 400), null);
});

test('names with braces and slashes do not lead to one another’s leases', { skip }, async () => {
  const directory = new RedisSessionDirectory(await stores.connect());
  const odd: Lease[] = [
    { ...first, tenant: 'a}{b', sessionId: 'c' },
    { ...first, tenant: 'a', sessionId: '}{b/c' },
    { ...first, tenant: 'a/b', sessionId: 'c' },
    { ...first, tenant: 'a', sessionId: 'b/c' },
  ];
  for (const [index, lease] of odd.entries()) await directory.claim({ ...lease, epoch: index + 1 }, ttlMs);
  for (const [index, lease] of odd.entries()) {
    assert.deepEqual(await directory.lookup(lease.tenant, lease.sessionId), { ...lease, epoch: index + 1 });
  }
});
