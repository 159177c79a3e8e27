// A model proxy of a cluster, as a process of its own: it alone has the provider's key. What it knows of
// grants it shares with others by Redis; without one it stands alone.

import { MemoryGrantStore } from '../adapters/memory/memory-grant-store.ts';
import { AwaitedGrantStore } from '../adapters/redis/awaited-grant-store.ts';
import { RedisConnection } from '../adapters/redis/redis-connection.ts';
import { RedisGrantStore } from '../adapters/redis/redis-grant-store.ts';
import { internalCredential } from '../adapters/worker-http/internal-credential.ts';
import { readEnvironment } from '../config/host-facts.ts';
import { readModelKey } from '../config/model-key.ts';
import type { Config } from '../config/resolve.ts';
import type { GrantStore } from '../contracts/grant-store.ts';
import type { Clock } from '../core/clock.ts';
import type { ListenAddress } from '../http/listener.ts';
import { ScrapeCredential } from '../http/scrape-credential.ts';
import { createModelProxy } from '../model-proxy/model-proxy.ts';
import { createLogger, type Logger } from '../observability/logger.ts';
import { createMetrics } from '../observability/metrics.ts';
import { SystemClock } from '../observability/system-clock.ts';
import { openClusterDir } from './cluster-dir.ts';
import { type RunningPart, Teardown } from './running-part.ts';
import { openTracing } from './tracing.ts';
import { fleetVersion } from './version.ts';

export type RunningModelProxy = RunningPart & {
  /** Where workers send their commands; `url` is where the calls of agents go. */
  readonly controlUrl: string;
};

export async function startModelProxy(config: Config): Promise<RunningModelProxy> {
  const clock = new SystemClock();
  const logger = createLogger({ level: config.log.level, role: 'model-proxy', pretty: config.log.format === 'pretty' });
  const down = new Teardown(clock, config.server.drainTimeoutMs);
  try {
    // Before anything else: a key that cannot be read is the operator's to mend.
    const apiKey = readModelKey(config.model, readEnvironment());
    const secret = await clusterSecret(config, down);
    const grantStore = await openGrantStore(config, clock, logger, down);
    const tracing = await openTracing(config, 'model-proxy');
    down.add(() => tracing.stop());
    const { modelProxy } = config;
    const proxy = createModelProxy({
      dataAddress: { host: modelProxy.host, port: modelProxy.port },
      controlAddress: { host: modelProxy.host, port: modelProxy.controlPort },
      controlCredential: internalCredential(secret, 'model-proxy', ''),
      scrape: new ScrapeCredential(config.metrics.token),
      provider: {
        kind: config.model.provider,
        baseUrl: config.model.baseUrl,
        apiKey,
        defaultModel: config.model.name,
        models: [],
      },
      grantStore,
      clock,
      logger,
      tracing,
      metrics: createMetrics({ processMetrics: true, process: { role: 'model-proxy', version: fleetVersion } }),
    });
    const { data, control } = await proxy.listen();
    down.add(
      (deadlineMs) => proxy.stop(deadlineMs),
      () => proxy.hurry(),
    );
    return { ...down.part(urlOf(data)), controlUrl: urlOf(control) };
  } catch (error) {
    await down.run({ force: true });
    throw error;
  }
}

/** The data directory is opened only for what the settings do not say. */
async function clusterSecret(config: Config, down: Teardown): Promise<string> {
  if (config.cluster.secret !== null) return config.cluster.secret;
  const dir = await openClusterDir(config);
  down.add(() => dir.close());
  return dir.clusterSecret;
}

async function openGrantStore(
  { redis: { caFile, keyPrefix, url } }: Config,
  clock: Clock,
  logger: Logger,
  down: Teardown,
): Promise<GrantStore> {
  if (url === null) return new MemoryGrantStore(clock);
  let connection: RedisConnection | null = null;
  const store = new AwaitedGrantStore(async () => {
    connection = await RedisConnection.open({ url, keyPrefix, caFile, clock, logger });
    return new RedisGrantStore(connection);
  }, clock);
  down.add(async () => {
    store.stop();
    await connection?.close();
  });
  if (!(await store.start())) {
    logger.error({ event: 'grant_store_awaited' }, 'Redis is not reached: this model proxy knows what workers tell it');
  }
  return store;
}

function urlOf(address: ListenAddress): string {
  if ('path' in address) return `unix:${address.path}`;
  return `http://${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
}
