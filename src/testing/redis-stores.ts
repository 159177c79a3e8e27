// A real Redis for a test file, and connections to it, each with keys of its own; all gone after it.

import { after, before, type TestContext } from 'node:test';
import { RedisConnection, type RedisConnectionOptions } from '../adapters/redis/redis-connection.ts';
import { createLogger } from '../observability/logger.ts';
import { SystemClock } from '../observability/system-clock.ts';
import { missingRedis, type RedisPersistence, RedisServer } from './redis-server.ts';

export type RedisStores = {
  /** Of the server that all tests of the file share; a test that harms its server starts one of its own. */
  readonly url: () => string;
  /** Skips the test where there is no Redis: null then. `server`: one of the test's own, ended with it. */
  readonly ownServer: (
    t: TestContext,
    persistence?: RedisPersistence,
    extra?: readonly string[],
  ) => Promise<RedisServer | null>;
  /** Another one each time, so that tests do not meet. */
  readonly newPrefix: () => string;
  readonly connect: (options?: Partial<RedisConnectionOptions>) => Promise<RedisConnection>;
};

export function redisStores(): RedisStores {
  let shared: RedisServer | null = null;
  let prefixes = 0;
  const open = new Set<RedisConnection>();
  const url = (): string => shared?.url ?? 'redis://127.0.0.1:1';
  const newPrefix = (): string => `test${++prefixes}:`;
  before(async () => {
    shared = await RedisServer.start();
  });
  after(async () => {
    for (const connection of open) await connection.close();
    await shared?.stop();
  });
  const connect: RedisStores['connect'] = async (options = {}) => {
    const logger = createLogger({ level: 'silent', role: 'test' });
    const clock = new SystemClock();
    const connection = await RedisConnection.open({ url: url(), keyPrefix: newPrefix(), clock, logger, ...options });
    open.add(connection);
    return connection;
  };
  const ownServer: RedisStores['ownServer'] = async (t, persistence = 'none', extra = []) => {
    const server = await RedisServer.start(persistence, extra);
    if (server === null) t.skip(missingRedis);
    else t.after(() => server.stop());
    return server;
  };
  return { url, ownServer, newPrefix, connect };
}
