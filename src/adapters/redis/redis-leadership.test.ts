import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isServiceError } from '../../core/errors.ts';
import { leadershipSuite } from '../../testing/contract-suites/leadership-suite.ts';
import { isRedisInstalled, missingRedis } from '../../testing/redis-server.ts';
import { redisStores } from '../../testing/redis-stores.ts';
import { fleetKey } from './redis-keys.ts';
import { RedisLeadership } from './redis-leadership.ts';

const stores = redisStores();
const skip = isRedisInstalled() ? false : missingRedis;

if (skip === false) {
  leadershipSuite('the leadership in Redis', async () => {
    const connection = await stores.connect();
    return {
      adapter: { leadership: new RedisLeadership(connection), passTime: (ms) => sleep(ms + 10) },
      close: () => connection.close(),
    };
  });
} else test('the leadership in Redis keeps the promises of leadership', { skip }, () => {});

test('of two processes that race one leads each round', { skip }, async () => {
  for (let round = 0; round < 20; round += 1) {
    const keyPrefix = stores.newPrefix();
    const two = await Promise.all([stores.connect({ keyPrefix }), stores.connect({ keyPrefix })]);
    const answers = await Promise.all(
      two.map((connection, index) => new RedisLeadership(connection).hold(`manager-${index}`, 10_000)),
    );
    assert.equal(answers.filter(Boolean).length, 1);
    await Promise.all(two.map((connection) => connection.close()));
  }
});

test('a store that lost its data has a leader again as soon as one asks', { skip }, async () => {
  const connection = await stores.connect();
  const leadership = new RedisLeadership(connection);
  await leadership.hold('one', 60_000);
  await connection.run((client) => client.del(fleetKey(connection.keyPrefix, 'leader')));
  assert.deepEqual([await leadership.hold('two', 60_000), await leadership.hold('one', 60_000)], [true, false]);
});

test('a clock that was set back keeps a leader that is gone no longer than its term', { skip }, async () => {
  const connection = await stores.connect();
  const leadership = new RedisLeadership(connection);
  await leadership.hold('one', 300);
  await connection.run((client) => client.pexpire(fleetKey(connection.keyPrefix, 'leader'), 3_600_000));
  assert.equal(await leadership.hold('two', 300), false);
  await sleep(310);
  assert.equal(await leadership.hold('two', 300), true);
});

test('while Redis is away nobody is told that it leads', { skip }, async (t) => {
  const server = await stores.ownServer(t);
  if (server === null) return;
  const leadership = new RedisLeadership(await stores.connect({ url: server.url, commandTimeoutMs: 200 }));
  await leadership.hold('one', 60_000);
  server.pause();
  await assert.rejects(leadership.hold('one', 60_000), (error) => isServiceError(error, 'store_unavailable'));
  await server.kill9();
  await assert.rejects(leadership.hold('one', 60_000), (error) => isServiceError(error, 'store_unavailable'));
});
