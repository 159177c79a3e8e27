// What the roles of a cluster share: records and snapshots, in the data directory of one host or at Google for
// many, events, leases and all else that must be fast in Redis. Opened the same way by every role.

import { RedisConnection } from '../adapters/redis/redis-connection.ts';
import { RedisEventLog } from '../adapters/redis/redis-event-log.ts';
import { RedisLeadership } from '../adapters/redis/redis-leadership.ts';
import { RedisRateLimiter } from '../adapters/redis/redis-rate-limiter.ts';
import { RedisSessionDirectory } from '../adapters/redis/redis-session-directory.ts';
import { RedisTicketStore } from '../adapters/redis/redis-ticket-store.ts';
import { RedisWorkerRegistry } from '../adapters/redis/redis-worker-registry.ts';
import type { Config } from '../config/resolve.ts';
import type { Leadership } from '../contracts/leadership.ts';
import type { RateLimiter } from '../contracts/rate-limiter.ts';
import type { TicketStore } from '../contracts/ticket-store.ts';
import type { WorkerRegistry } from '../contracts/worker-registry.ts';
import type { Clock } from '../core/clock.ts';
import { isServiceError, ServiceError } from '../core/errors.ts';
import type { Logger } from '../observability/logger.ts';
import type { DiskReserve } from './disk-reserve.ts';
import { openGoogleStores, reportMissingIndexes } from './google-stores.ts';
import { claimOneTruth, nameOfDataDir } from './one-truth.ts';
import { openStores, type Stores } from './stores.ts';

export type ClusterStores = Stores & {
  readonly registry: WorkerRegistry;
  readonly leadership: Leadership;
  readonly tickets: TicketStore;
  readonly rates: RateLimiter;
  readonly redis: RedisConnection;
};

export type ClusterStoresOptions = {
  readonly config: Config;
  readonly dataDir: string;
  readonly reserve: DiskReserve | null;
  /** As StoresOptions. With many sessions it takes seconds. */
  readonly checksRecords: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
};

const dayMs = 24 * 3_600_000;

/** Rejects, in words for a person, with `store_unavailable`, `store_corrupt` or `storage_full`. */
export async function openClusterStores(options: ClusterStoresOptions): Promise<ClusterStores> {
  const { clock, config, logger } = options;
  const redis = await openRedis(config, clock, logger);
  let shared: SharedRecords | null = null;
  try {
    const opened = await openRecords(options, new RedisLeadership(redis, 'records'));
    shared = opened;
    const log = new RedisEventLog(redis, {
      // A turn may wait for a person for a day, and its events are in no snapshot yet.
      hotMs: config.events.retainMs + dayMs,
      onListenerError: (error) =>
        logger.error({ event: 'event_listener_failed', err: error }, 'a listener of events failed'),
    });
    return {
      kind: 'cluster',
      records: opened.records,
      snapshots: opened.snapshots,
      log,
      directory: new RedisSessionDirectory(redis),
      registry: new RedisWorkerRegistry(redis),
      leadership: new RedisLeadership(redis),
      tickets: new RedisTicketStore(redis),
      rates: new RedisRateLimiter(redis),
      redis,
      // What Redis holds of a session goes by itself, so long after it was last written; of one in use, piece by piece.
      dropEventsBefore: async () => 0,
      dropSealed: async (key, sealedSeq) => {
        try {
          await log.dropSealed(key, sealedSeq, clock.now() - config.events.retainMs);
        } catch (error) {
          logger.debug({ event: 'events_not_dropped', session_id: key.sessionId, err: error }, 'old events were kept');
        }
      },
      close: async () => {
        opened.endClaim();
        log.close();
        await redis.close();
        await opened.close();
      },
    };
  } catch (error) {
    shared?.endClaim();
    await shared?.close();
    await redis.close();
    throw error;
  }
}

type SharedRecords = Pick<Stores, 'records' | 'snapshots' | 'close'> & { readonly endClaim: () => void };

async function openRecords(options: ClusterStoresOptions, claims: Leadership): Promise<SharedRecords> {
  const { checksRecords, clock, config, dataDir, logger, reserve } = options;
  if (config.storage === 'google') {
    // What they are called is known when they are open: the project may be that of the credentials.
    const opened = await openGoogleStores(config, clock, logger);
    try {
      const endClaim = await claimOneTruth({ claims, name: opened.name, clock, logger });
      if (checksRecords) void reportMissingIndexes(opened.records, logger);
      return { ...opened, endClaim };
    } catch (error) {
      await opened.close();
      throw error;
    }
  }
  // The claim goes first: who is refused has opened nothing.
  const name = await nameOfDataDir(dataDir);
  const endClaim = await claimOneTruth({ claims, name, clock, logger });
  const opening = openStores({ ...config, storage: 'sqlite' }, dataDir, clock, logger, {
    isOnlyOwner: false,
    checksRecords,
    reserve,
    onForgotten: () => {},
  });
  return await endingClaim(endClaim, opening);
}

async function endingClaim<T extends object>(
  endClaim: () => void,
  opening: Promise<T>,
): Promise<T & { readonly endClaim: () => void }> {
  try {
    return { ...(await opening), endClaim };
  } catch (error) {
    endClaim();
    throw error;
  }
}

async function openRedis({ redis }: Config, clock: Clock, logger: Logger): Promise<RedisConnection> {
  if (redis.url === null) {
    const message = 'a role of a cluster needs the Redis that all of them share: set redis.url (REDIS_URL)';
    throw new ServiceError('store_unavailable', {}, { message });
  }
  try {
    return await RedisConnection.open({ url: redis.url, keyPrefix: redis.keyPrefix, clock, logger });
  } catch (error) {
    if (!isServiceError(error, 'store_unavailable')) throw error;
    // The host alone: the URL has the password.
    const { host } = new URL(redis.url);
    const { reason } = error.details;
    const what =
      reason === 'refused' ? 'does not accept the user and password' : `is not to be had (${String(reason)})`;
    const message = `the Redis at ${host} ${what}: see redis.url (REDIS_URL)`;
    throw new ServiceError('store_unavailable', error.details, { cause: error, message });
  }
}
