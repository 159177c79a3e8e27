import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isServiceError } from '../../core/errors.ts';
import { grantStoreSuite } from '../../testing/contract-suites/grant-store-suite.ts';
import { isRedisInstalled, missingRedis } from '../../testing/redis-server.ts';
import { redisStores } from '../../testing/redis-stores.ts';
import { RedisGrantStore } from './redis-grant-store.ts';

const redis = redisStores();
const skip = isRedisInstalled() ? false : missingRedis;

const grant = {
  id: 'session-1.a',
  request: { tenant: 'acme', sessionId: '019f0000-0000-7000-8000-000000000001', epoch: 2, models: [] },
  credentialSha256: 'a'.repeat(64),
  turn: 'turn-1',
  revision: 4,
};

if (skip === false) {
  grantStoreSuite('RedisGrantStore', async () => {
    const keyPrefix = redis.newPrefix();
    const [here, there] = await Promise.all([redis.connect({ keyPrefix }), redis.connect({ keyPrefix })]);
    const heard = async (isHeard: () => boolean): Promise<void> => {
      for (const endMs = performance.now() + 5_000; !isHeard(); await sleep(20)) {
        assert.ok(performance.now() < endMs, 'it is heard in time');
      }
    };
    return {
      adapter: { here: new RedisGrantStore(here), there: new RedisGrantStore(there), heard },
      close: async () => {
        await Promise.all([here.close(), there.close()]);
      },
    };
  });
} else test('RedisGrantStore keeps the promises of a grant store', { skip }, () => {});

test('a flushed Redis says that it knows since a moment ago, and takes again what it is told', async (t) => {
  const server = await redis.ownServer(t);
  if (server === null) return;
  const connection = await redis.connect({ url: server.url });
  const store = new RedisGrantStore(connection);
  await store.knownForMs();
  await store.put(grant);
  await sleep(300);
  assert.ok((await store.knownForMs()) >= 250);
  await connection.run((client) => client.flushall());
  assert.ok((await store.knownForMs()) < 250);
  assert.equal(await store.find(grant.id), null);
  assert.deepEqual(await store.put(grant), grant);
  assert.deepEqual(await store.findByCredential(grant.credentialSha256), grant);
});

test('changes are heard again after the connection was cut, and a Redis that is away is said to be', async (t) => {
  const server = await redis.ownServer(t);
  if (server === null) return;
  const keyPrefix = redis.newPrefix();
  const connection = await redis.connect({ url: server.url, keyPrefix });
  const store = new RedisGrantStore(connection);
  const heard: (number | null)[] = [];
  store.onChange(({ revision }) => heard.push(revision));
  await server.kill9();
  await assert.rejects(store.find(grant.id), (error) => isServiceError(error, 'store_unavailable'));
  await server.startAgain();
  let revision = 1;
  for (const endMs = performance.now() + 5_000; heard.length === 0; await sleep(50)) {
    assert.ok(performance.now() < endMs, 'heard in time');
    await store.put({ ...grant, revision: revision++ }).catch(() => undefined);
  }
});

test('keys end by themselves, later than the longest turn', { skip }, async () => {
  const connection = await redis.connect();
  const store = new RedisGrantStore(connection);
  await store.put(grant);
  await store.count(grant.id, 'turn-1', {
    calls: 1,
    usage: { inputTokens: 1, cachedInputTokens: 0, outputTokens: 0, reasoningOutputTokens: 0, costUsd: null },
  });
  const keys = (await connection.run((client) => client.keys(`${connection.keyPrefix}*`))).toSorted();
  assert.equal(keys.length, 2);
  for (const key of keys) {
    const leftMs = await connection.run((client) => client.pttl(key));
    assert.ok(leftMs > 24 * 3_600_000 && leftMs <= 25 * 3_600_000, `${key}: ${leftMs}`);
  }
});
