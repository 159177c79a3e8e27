// A Redis that a test owns, and the ways to harm it: each with its end, after which the server is as it was
// but for what the harm has cost.

import { rmSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { RedisConnection } from '../../src/adapters/redis/redis-connection.ts';
import { RedisEventLog } from '../../src/adapters/redis/redis-event-log.ts';
import type { RedisClient } from '../../src/adapters/redis/redis-link.ts';
import { RedisSessionDirectory } from '../../src/adapters/redis/redis-session-directory.ts';
import { createLogger } from '../../src/observability/logger.ts';
import { SystemClock } from '../../src/observability/system-clock.ts';
import { missingRedis, type RedisPersistence, RedisServer } from '../../src/testing/redis-server.ts';

export type RedisFault = {
  /** As the record of reliability has it. */
  readonly name: string;
  readonly lasts: 'shortly' | 'for a lease' | 'long';
  readonly begin: (redis: RedisAtRisk) => Promise<void>;
  readonly end: (redis: RedisAtRisk) => Promise<void>;
};

export class RedisAtRisk {
  readonly server: RedisServer;
  readonly #connection: RedisConnection;
  /** What is in it, read as the cluster reads it. */
  readonly directory: RedisSessionDirectory;
  readonly log: RedisEventLog;

  private constructor(server: RedisServer, connection: RedisConnection) {
    this.server = server;
    this.#connection = connection;
    this.directory = new RedisSessionDirectory(connection);
    this.log = new RedisEventLog(connection);
  }

  /** null, and the test is skipped by name, where there is no Redis. Ends with the test, after what is made later. */
  static async start(t: TestContext, persistence: RedisPersistence): Promise<RedisAtRisk | null> {
    const server = await RedisServer.start(persistence);
    if (server === null) {
      t.skip(missingRedis);
      return null;
    }
    const connection = await RedisConnection.open({
      url: server.url,
      keyPrefix: 'codex-fleet:',
      clock: new SystemClock(),
      logger: createLogger({ level: 'silent', role: 'test' }),
    });
    return new RedisAtRisk(server, connection);
  }

  async command<T>(work: (client: RedisClient) => Promise<T>): Promise<T> {
    return await this.#connection.run(work);
  }

  async flush(): Promise<void> {
    await this.command((client) => client.flushall());
  }

  async killAndLoseAll(): Promise<void> {
    const [, dir] = (await this.command((client) => client.config('GET', 'dir'))) as [string, string];
    await this.server.kill9();
    rmSync(path.join(dir, 'appendonlydir'), { recursive: true, force: true });
  }

  async stop(): Promise<void> {
    this.log.close();
    await this.#connection.close();
    await this.server.stop();
  }
}

/** Nothing listens there. */
const deadPort = 1;

async function setting(redis: RedisAtRisk, name: string, value: string): Promise<void> {
  await redis.command((client) => client.config('SET', name, value));
}

/** Whoever comes back is cut again. */
async function cutClients(redis: RedisAtRisk, times: number): Promise<void> {
  for (let time = 0; time < times; time += 1) {
    for (const type of ['NORMAL', 'PUBSUB']) {
      await redis.command((client) => client.call('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes'));
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

export const redisFaults: readonly RedisFault[] = [
  {
    name: 'killed and started again',
    lasts: 'shortly',
    begin: ({ server }) => server.kill9(),
    end: ({ server }) => server.startAgain(),
  },
  { name: 'flushed', lasts: 'shortly', begin: (redis) => redis.flush(), end: async () => {} },
  {
    name: 'started again empty',
    lasts: 'shortly',
    begin: (redis) => redis.killAndLoseAll(),
    end: ({ server }) => server.startAgain(),
  },
  {
    name: 'made a replica, and primary again',
    lasts: 'for a lease',
    begin: async (redis) => void (await redis.command((client) => client.replicaof('127.0.0.1', deadPort))),
    end: async (redis) => void (await redis.command((client) => client.replicaof('NO', 'ONE'))),
  },
  {
    name: 'without the replicas that it wants',
    lasts: 'for a lease',
    begin: (redis) => setting(redis, 'min-replicas-to-write', '1'),
    end: (redis) => setting(redis, 'min-replicas-to-write', '0'),
  },
  {
    name: 'out of memory',
    lasts: 'for a lease',
    begin: (redis) => setting(redis, 'maxmemory', '1mb'),
    end: (redis) => setting(redis, 'maxmemory', '0'),
  },
  {
    name: 'cut off from its clients, ten times',
    lasts: 'shortly',
    begin: (redis) => cutClients(redis, 10),
    end: async () => {},
  },
  {
    name: 'paused',
    lasts: 'long',
    begin: async ({ server }) => server.pause(),
    end: async ({ server }) => server.resume(),
  },
];
