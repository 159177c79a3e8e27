// What the roles of a cluster share: records and snapshots, in the data directory of one host or at Google for
// many, events, leases and all else that must be fast in Redis. Opened the same way by every role; a worker may
// have records and snapshots through the store door instead, and knows nothing then of where they are.

import { RedisConnection } from '../adapters/redis/redis-connection.ts';
import { RedisEventLog } from '../adapters/redis/redis-event-log.ts';
import { RedisLeadership } from '../adapters/redis/redis-leadership.ts';
import { RedisRateLimiter } from '../adapters/redis/redis-rate-limiter.ts';
import { RedisSessionDirectory } from '../adapters/redis/redis-session-directory.ts';
import { RedisTicketStore } from '../adapters/redis/redis-ticket-store.ts';
import { RedisWorkerRegistry } from '../adapters/redis/redis-worker-registry.ts';
import { StoreDoorClient } from '../adapters/store-door/store-door-client.ts';
import { internalCredential, storeDoorScope } from '../adapters/worker-http/internal-credential.ts';
import type { Config } from '../config/resolve.ts';
import type { Outbox } from '../contracts/outbox.ts';
import type { SessionObjects } from '../contracts/snapshots.ts';
import type { WorkerRecords } from '../contracts/worker-records.ts';
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
import { openOutbox } from './outside.ts';
import { openStores, type Stores } from './stores.ts';

export type ClusterStores = Stores & SharedByRedis;

/** What a worker gets: of the records those of the sessions that it is given, and a way to tell of them. */
export type WorkerStores = Omit<ClusterStores, 'records' | 'snapshots'> & {
  readonly records: WorkerRecords;
  readonly snapshots: SessionObjects;
  readonly outbox: Outbox;
};

type SharedByRedis = {
  /** Of the records and snapshots: what tells one fleet's from another's. */
  readonly truth: string;
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
export function openClusterStores(options: ClusterStoresOptions): Promise<ClusterStores> {
  return overRedis(options, (claims) => openRecords(options, claims));
}

/** As openClusterStores; `secret` is what the roles know one another by. */
export async function openWorkerStores(options: ClusterStoresOptions, secret: string): Promise<WorkerStores> {
  const { clock, config } = options;
  if (config.cluster.storesUrl.length > 0)
    return await overRedis(options, (claims) => openDoor(options, secret, claims));
  const stores = await openClusterStores(options);
  return { ...stores, outbox: openOutbox({ config, records: stores.records, clock }) };
}

async function overRedis<S extends Shared>(
  options: ClusterStoresOptions,
  open: (claims: Leadership) => Promise<S>,
): Promise<Omit<ClusterStores, 'records' | 'snapshots'> & Omit<S, 'endClaim'>> {
  const { clock, config, logger } = options;
  const redis = await openRedis(config, clock, logger);
  let shared: Shared | null = null;
  try {
    const { endClaim, ...opened } = await open(new RedisLeadership(redis, 'records'));
    shared = { ...opened, endClaim };
    const log = new RedisEventLog(redis, {
      // A turn may wait for a person for a day, and its events are in no snapshot yet.
      hotMs: config.events.retainMs + dayMs,
      onListenerError: (error) =>
        logger.error({ event: 'event_listener_failed', err: error }, 'a listener of events failed'),
    });
    return {
      ...opened,
      kind: 'cluster',
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
        endClaim();
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

type Shared = { readonly truth: string; readonly close: () => Promise<void>; readonly endClaim: () => void };
type SharedRecords = Shared & Pick<Stores, 'records' | 'snapshots'>;
type SharedByDoor = Shared & Pick<WorkerStores, 'records' | 'snapshots' | 'outbox'>;

/** A worker may be started before the first session manager is. */
const doorOpensWithinMs = 30_000;

async function openDoor(
  { clock, config, logger }: ClusterStoresOptions,
  secret: string,
  claims: Leadership,
): Promise<SharedByDoor> {
  const urls = config.cluster.storesUrl;
  const credential = internalCredential(secret, 'session-manager', storeDoorScope);
  const door = new StoreDoorClient({ urls, credential, clock, timeoutMs: config.google.timeoutMs });
  try {
    const { truth } = await door.describe(doorOpensWithinMs).catch((error: unknown) => {
      throw doorInWords(error, urls);
    });
    const endClaim = await claimOneTruth({ claims, name: truth, clock, logger });
    const { outbox, records, snapshots } = door;
    return { truth, records, snapshots, outbox, endClaim, close: () => door.close() };
  } catch (error) {
    await door.close();
    throw error;
  }
}

function doorInWords(error: unknown, urls: readonly string[]): unknown {
  if (!isServiceError(error, 'store_unavailable')) return error;
  const { reason } = error.details;
  const what =
    reason === 'credential_refused'
      ? 'does not know our cluster.secret (CODEX_FLEET_CLUSTER_SECRET)'
      : `is not to be had (${String(reason)})`;
  const message = `the store door at ${urls.join(', ')} ${what}: see cluster.stores_url (CODEX_FLEET_CLUSTER_STORES_URL)`;
  return new ServiceError('store_unavailable', error.details, { cause: error, message });
}

async function openRecords(options: ClusterStoresOptions, claims: Leadership): Promise<SharedRecords> {
  const { checksRecords, clock, config, dataDir, logger, reserve } = options;
  if (config.storage === 'google') {
    // What they are called is known when they are open: the project may be that of the credentials.
    const opened = await openGoogleStores(config, clock, logger);
    try {
      const endClaim = await claimOneTruth({ claims, name: opened.name, clock, logger });
      if (checksRecords) void reportMissingIndexes(opened.records, logger);
      const { close, name, records, snapshots } = opened;
      return { truth: name, records, snapshots, close: () => close(), endClaim };
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
  const { close, records, snapshots } = await endingClaim(endClaim, opening);
  return { truth: name, records, snapshots, close, endClaim };
}

async function endingClaim<T>(endClaim: () => void, opening: Promise<T>): Promise<T> {
  try {
    return await opening;
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
    const { url } = redis;
    return await RedisConnection.open({ url, keyPrefix: redis.keyPrefix, caFile: redis.caFile, clock, logger });
  } catch (error) {
    if (!isServiceError(error, 'store_unavailable')) throw error;
    // The host alone: the URL has the password.
    const { host } = new URL(redis.url);
    const { reason } = error.details;
    const message = `the Redis at ${host} ${redisProblem(reason)} (REDIS_URL)`;
    throw new ServiceError('store_unavailable', error.details, { cause: error, message });
  }
}

function redisProblem(reason: unknown): string {
  switch (reason) {
    case 'refused':
      return 'does not accept the user and password: see redis.url';
    case 'not_trusted':
      return 'shows a certificate that is not trusted for it: see redis.ca_file and redis.url';
    case 'authority_unreadable':
      return 'cannot be asked: redis.ca_file cannot be read; see redis.url';
    default:
      return `is not to be had (${String(reason)}): see redis.url`;
  }
}
