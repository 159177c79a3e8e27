import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { workerEntry, workerRegistrySuite } from '../../testing/contract-suites/worker-registry-suite.ts';
import { isRedisInstalled, missingRedis } from '../../testing/redis-server.ts';
import { redisStores } from '../../testing/redis-stores.ts';
import type { RedisConnection } from './redis-connection.ts';
import { fleetKey } from './redis-keys.ts';
import { RedisWorkerRegistry } from './redis-worker-registry.ts';

const stores = redisStores();
const skip = isRedisInstalled() ? false : missingRedis;

if (skip === false) {
  workerRegistrySuite('the Redis registry', async () => {
    const connection = await stores.connect();
    const forgetAfterMs = 1_000;
    return {
      adapter: {
        registry: new RedisWorkerRegistry(connection, { forgetAfterMs }),
        forgetAfterMs,
        passTime: (ms) => sleep(ms + 10),
      },
      close: () => connection.close(),
    };
  });
} else test('the Redis registry keeps the promises of a worker registry', { skip }, () => {});

async function silences(registry: RedisWorkerRegistry): Promise<Record<string, number>> {
  return Object.fromEntries((await registry.list()).workers.map(({ id, silentMs }) => [id, silentMs]));
}

/** As if the server's clock had been set: all that it wrote down is so much later or earlier than it was. */
async function shiftTimes(connection: RedisConnection, byMs: number): Promise<void> {
  await connection.run(async (client) => {
    const [workers, watch, born] = (['workers', 'watch', 'born'] as const).map((name) =>
      fleetKey(connection.keyPrefix, name),
    ) as [string, string, string];
    for (const [id, heard] of Object.entries(await client.hgetall(workers))) {
      await client.hset(
        workers,
        id,
        heard.replace(/^\d+/, (at) => String(Number(at) + byMs)),
      );
    }
    for (const field of ['last_ms', 'since_ms']) await client.hincrby(watch, field, byMs);
    await client.hincrby(born, 'at_ms', byMs);
  });
}

test('what one process announced another lists', { skip }, async () => {
  const keyPrefix = stores.newPrefix();
  const one = new RedisWorkerRegistry(await stores.connect({ keyPrefix }));
  const two = new RedisWorkerRegistry(await stores.connect({ keyPrefix }));
  const entry = workerEntry('worker-1', {
    isolation: { ...workerEntry('x').isolation, cageProblem: '1 2 "{}"\n – ü' },
  });
  await one.announce(entry);
  const { workers, knownForMs } = await two.list();
  assert.deepEqual(
    workers.map(({ silentMs: _, ...said }) => said),
    [entry],
  );
  assert.ok(knownForMs >= 0 && knownForMs < 10_000);
});

test('a boot that began earlier by its own clock is let in once the one before it is silent', { skip }, async () => {
  const registry = new RedisWorkerRegistry(await stores.connect(), { gapMs: 400 });
  const later = workerEntry('worker-1', { boot: 'boot-before', startedAt: 1_700_003_600_000 });
  assert.equal(await registry.announce(later), true);
  const earlier = workerEntry('worker-1', { boot: 'boot-after', startedAt: 1_700_000_000_000 });
  assert.equal(await registry.announce(earlier), false);
  // Somebody asks all the time, as gateways do: it is the worker that is silent.
  for (let look = 0; look < 6; look += 1) {
    await sleep(100);
    await registry.list();
  }
  assert.equal(await registry.announce(earlier), true);
  assert.deepEqual(Object.keys(await silences(registry)), ['worker-1']);
});

test('a registry that lost its data is filled by the next announcements, and says since when it knows', {
  skip,
}, async () => {
  const connection = await stores.connect();
  const registry = new RedisWorkerRegistry(connection);
  await registry.announce(workerEntry('worker-1'));
  await sleep(200);
  assert.ok((await registry.list()).knownForMs >= 200);
  await connection.run((client) =>
    client.del(...['workers', 'watch', 'born'].map((name) => `${connection.keyPrefix}{fleet}:${name}`)),
  );
  const empty = await registry.list();
  assert.deepEqual(empty, { workers: [], knownForMs: 0 });
  assert.equal(await registry.announce(workerEntry('worker-1')), true);
  assert.equal((await registry.list()).workers.length, 1);
});

test('a server that hung has not heard anybody: silence counts from when it goes on', { skip }, async (t) => {
  const server = await stores.ownServer(t);
  if (server === null) return;
  const connection = await stores.connect({ url: server.url, commandTimeoutMs: 5_000 });
  const registry = new RedisWorkerRegistry(connection, { gapMs: 300 });
  await registry.announce(workerEntry('worker-1'));
  server.pause();
  await sleep(600);
  server.resume();
  assert.deepEqual([await silences(registry), (await registry.list()).knownForMs < 100], [{ 'worker-1': 0 }, true]);
  await sleep(150);
  const silentMs = (await silences(registry))['worker-1'] ?? 0;
  assert.ok(silentMs >= 150 && silentMs < 600, `silent for ${silentMs} ms`);
});

test('a worker that is silent is seen to be as long as anybody looks, be it the only one', { skip }, async () => {
  const registry = new RedisWorkerRegistry(await stores.connect(), { gapMs: 600, forgetAfterMs: 60_000 });
  await registry.announce(workerEntry('worker-1'));
  for (let look = 0; look < 6; look += 1) {
    await sleep(200);
    await registry.list();
  }
  const silentMs = (await silences(registry))['worker-1'] ?? 0;
  assert.ok(silentMs >= 1_200, `silent for ${silentMs} ms`);
});

test('a clock of the server that is set, back or forward, makes nobody silent and nobody heard', { skip }, async () => {
  for (const byMs of [3_600_000, -3_600_000]) {
    const connection = await stores.connect();
    const registry = new RedisWorkerRegistry(connection, { gapMs: 1_000 });
    await registry.announce(workerEntry('worker-1'));
    await shiftTimes(connection, byMs);
    const { workers, knownForMs } = await registry.list();
    assert.deepEqual([workers.map(({ silentMs }) => silentMs), knownForMs], [[0], 0]);
    await sleep(200);
    const silentMs = (await silences(registry))['worker-1'] ?? 0;
    assert.ok(silentMs >= 200, `silent for ${silentMs} ms`);
    assert.equal(await registry.announce(workerEntry('worker-1')), true);
    assert.ok(((await silences(registry))['worker-1'] ?? 0) < 200);
  }
});

test('killed and started again with its data: who was known is known, silent since the start', { skip }, async (t) => {
  const server = await stores.ownServer(t, 'always');
  if (server === null) return;
  const open = (): Promise<RedisConnection> => stores.connect({ url: server.url, keyPrefix: 'fleet:' });
  await new RedisWorkerRegistry(await open()).announce(workerEntry('worker-1'));
  await server.kill9();
  await sleep(300);
  await server.startAgain();
  const { workers, knownForMs } = await new RedisWorkerRegistry(await open()).list();
  assert.deepEqual([workers.map(({ id, silentMs }) => [id, silentMs]), knownForMs], [[['worker-1', 0]], 0]);
});
