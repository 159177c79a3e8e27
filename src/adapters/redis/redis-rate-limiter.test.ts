import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isServiceError } from '../../core/errors.ts';
import { rateLimiterSuite } from '../../testing/contract-suites/rate-limiter-suite.ts';
import { isRedisInstalled, missingRedis } from '../../testing/redis-server.ts';
import { redisStores } from '../../testing/redis-stores.ts';
import { tenantKey } from './redis-keys.ts';
import { RedisRateLimiter } from './redis-rate-limiter.ts';

const stores = redisStores();
const skip = isRedisInstalled() ? false : missingRedis;

if (skip === false) {
  rateLimiterSuite('the Redis rate limiter', async () => {
    const connection = await stores.connect();
    return {
      adapter: { limiter: new RedisRateLimiter(connection), passTime: (ms) => sleep(ms + 10) },
      close: () => connection.close(),
    };
  });
} else test('the Redis rate limiter keeps the promises of a rate limiter', { skip }, () => {});

test('two gateways together let through as many as one', { skip }, async () => {
  const keyPrefix = stores.newPrefix();
  const one = new RedisRateLimiter(await stores.connect({ keyPrefix }));
  const two = new RedisRateLimiter(await stores.connect({ keyPrefix }));
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, index) => (index % 2 === 0 ? one : two).take('acme', 'turns', 12)),
  );
  assert.equal(answers.filter((answer) => answer.allowed).length, 12);
});

test('a clock that was set back costs a tenant a minute at most, and what is kept ends by itself', {
  skip,
}, async () => {
  const connection = await stores.connect();
  const limiter = new RedisRateLimiter(connection);
  const key = tenantKey(connection.keyPrefix, 'acme', 'rate:turns');
  await limiter.take('acme', 'turns', 10);
  const leftMs = await connection.run((client) => client.pttl(key));
  assert.ok(leftMs > 0 && leftMs <= 6_000, `${leftMs} ms`);
  await connection.run((client) => client.set(key, '9000000000000000'));
  const answer = await limiter.take('acme', 'turns', 10);
  assert.deepEqual(answer, { allowed: false, retryAfterMs: 6_000, limit: 10, remaining: 0 });
});

test('a limiter that is away says so and does not decide', { skip }, async (t) => {
  const server = await stores.ownServer(t);
  if (server === null) return;
  const limiter = new RedisRateLimiter(await stores.connect({ url: server.url, commandTimeoutMs: 200 }));
  await server.kill9();
  await assert.rejects(limiter.take('acme', 'turns', 10), (error) => isServiceError(error, 'store_unavailable'));
});
