import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isServiceError } from '../../core/errors.ts';
import { ticketStoreSuite } from '../../testing/contract-suites/ticket-store-suite.ts';
import { isRedisInstalled, missingRedis } from '../../testing/redis-server.ts';
import { redisStores } from '../../testing/redis-stores.ts';
import { tenantKey } from './redis-keys.ts';
import { RedisTicketStore } from './redis-ticket-store.ts';

const stores = redisStores();
const skip = isRedisInstalled() ? false : missingRedis;
const tester = { tenant: 'acme', name: 'tester' };
const limits = { ttlMs: 10_000, perTenant: 10 };

if (skip === false) {
  ticketStoreSuite('the Redis ticket store', async () => {
    const connection = await stores.connect();
    return {
      adapter: { tickets: new RedisTicketStore(connection), passTime: (ms) => sleep(ms + 10) },
      close: () => connection.close(),
    };
  });
} else test('the Redis ticket store keeps the promises of a ticket store', { skip }, () => {});

test('a ticket of one gateway is good at another, and at one of them', { skip }, async () => {
  const keyPrefix = stores.newPrefix();
  const [one, two] = [
    new RedisTicketStore(await stores.connect({ keyPrefix })),
    new RedisTicketStore(await stores.connect({ keyPrefix })),
  ];
  for (let round = 0; round < 20; round += 1) {
    await one.put(`hash-${round}`, tester, limits);
    const taken = await Promise.all([one.take(`hash-${round}`), two.take(`hash-${round}`)]);
    assert.deepEqual(
      taken.filter((holder) => holder !== null),
      [tester],
    );
  }
});

test('no more than the limit is kept, and nothing once all are too old', { skip }, async () => {
  const connection = await stores.connect();
  const tickets = new RedisTicketStore(connection);
  await Promise.all(
    Array.from({ length: 50 }, (_, index) => tickets.put(`hash-${index}`, tester, { ttlMs: 400, perTenant: 10 })),
  );
  const keys = (): Promise<string[]> => connection.run((client) => client.keys(`${connection.keyPrefix}*`));
  const order = tenantKey(connection.keyPrefix, 'acme', 'tickets');
  assert.equal(await connection.run((client) => client.zcard(order)), 10);
  assert.equal((await keys()).length, 11);
  await sleep(420);
  assert.deepEqual(await keys(), []);
});

test('a store that lost its tickets knows nobody; one that is away says so', { skip }, async (t) => {
  const server = await stores.ownServer(t);
  if (server === null) return;
  const connection = await stores.connect({ url: server.url, commandTimeoutMs: 200 });
  const tickets = new RedisTicketStore(connection);
  await tickets.put('hash', tester, limits);
  await connection.run((client) => client.flushall());
  assert.equal(await tickets.take('hash'), null);
  await server.kill9();
  await assert.rejects(tickets.take('hash'), (error) => isServiceError(error, 'store_unavailable'));
  await assert.rejects(tickets.put('hash', tester, limits), (error) => isServiceError(error, 'store_unavailable'));
});
