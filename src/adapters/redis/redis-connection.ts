// The connections of one process to Redis: one for commands, one for subscriptions. Owns how they are made,
// how long anything may take and when to try again; every failure leaves here as a ServiceError.

import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { checkServerIdentity, type ConnectionOptions, type PeerCertificate } from 'node:tls';
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import type { Clock } from '../../core/clock.ts';
import { ServiceError } from '../../core/errors.ts';
import type { Logger } from '../../observability/logger.ts';
import { isReadOnlyReply, redisError, unavailableRedis } from './redis-errors.ts';
import { type RedisClient, RedisLink } from './redis-link.ts';

export type RedisConnectionOptions = {
  /** `redis://` or `rediss://`, with user, password and database as it may be. */
  readonly url: string;
  readonly keyPrefix: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** PEM: of the authority that alone is trusted for a `rediss://` URL; null: those that the system knows. */
  readonly caFile?: string | null;
  /** The server at the URL is one of a cluster: keys are found on whichever has them. */
  readonly cluster?: boolean;
  /** How long one command may take. */
  readonly commandTimeoutMs?: number;
  /** How long `open` tries. */
  readonly openTimeoutMs?: number;
};

export type RedisArgument = string | number | Buffer;

/** A script of Redis, sent once a connection and then named by its hash; also after the server forgot it. */
export type RedisScript = (keys: readonly string[], args: readonly RedisArgument[]) => Promise<unknown>;

const defaultCommandTimeoutMs = 2_000;
const defaultOpenTimeoutMs = 10_000;
const connectTimeoutMs = 2_000;
const longestRetryMs = 1_000;
const loadingRetryMs = 200;

/** What was read of `caFile`. */
type TrustingOptions = RedisConnectionOptions & { readonly authority: string | null };
type ScriptCommand = (keyCount: number, ...rest: RedisArgument[]) => Promise<unknown>;

export class RedisConnection {
  readonly keyPrefix: string;
  readonly database: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly #commands: RedisLink;
  readonly #subscriptions: RedisLink;
  #runId: string | null = null;
  #scripts = 0;

  private constructor(options: TrustingOptions) {
    const { clock, keyPrefix } = options;
    const logger = options.logger.child({ store: 'redis' });
    this.keyPrefix = keyPrefix;
    this.database = clientOptions(options).db;
    this.clock = clock;
    this.logger = logger;
    this.#commands = new RedisLink({
      client: createClient(options),
      clock,
      logger,
      purpose: 'commands',
      prepare: () => this.#readRunId(),
    });
    this.#subscriptions = new RedisLink({
      client: createClient(options),
      clock,
      logger,
      purpose: 'subscriptions',
      prepare: async () => undefined,
    });
  }

  /** Rejects with `store_unavailable` when Redis was not reached within `openTimeoutMs`. */
  static async open(options: RedisConnectionOptions): Promise<RedisConnection> {
    const connection = new RedisConnection({ ...options, authority: await readAuthority(options.caFile ?? null) });
    const { openTimeoutMs = defaultOpenTimeoutMs } = options;
    try {
      const links = [connection.#commands, connection.#subscriptions];
      await Promise.all(links.map((link) => link.usable(openTimeoutMs)));
      return connection;
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  /** Whether commands can be sent now: for readiness probes. */
  get isUsable(): boolean {
    return this.#commands.isUsable;
  }

  /**
   * Of the server that commands go to, as its present run: another one after a restart or a failover. null
   * before the first connection and for a cluster, which has many.
   */
  runId(): string | null {
    return this.#runId;
  }

  /** Commands. Rejects with `store_unavailable` within some three seconds when Redis does not answer. */
  run<T>(work: (client: RedisClient) => Promise<T>): Promise<T> {
    return guarded(this.#commands, work);
  }

  /** Subscribing and unsubscribing. The channels are the caller's to subscribe again after `onResubscribe`. */
  runSubscriber<T>(work: (client: RedisClient) => Promise<T>): Promise<T> {
    return guarded(this.#subscriptions, work);
  }

  onMessage(listener: (channel: string, message: Buffer) => void): void {
    this.#subscriptions.client.on('messageBuffer', (channel: Buffer, message: Buffer) =>
      listener(channel.toString('utf8'), message),
    );
  }

  /** Called on each new connection for subscriptions: it has none yet, and messages may have been missed. */
  onResubscribe(listener: () => void): void {
    this.#subscriptions.onUsable(listener);
    // A cluster's client moves its subscriptions itself, and what was said meanwhile is missed as well.
    this.#subscriptions.client.on('+subscriber', listener);
  }

  /** One of each text: as many as there are kinds of calls. The keys of one call must lie in one slot. `bytes`: strings in the answer are Buffers. */
  script(lua: string, answer: 'text' | 'bytes' = 'text'): RedisScript {
    const name = `fleetScript${++this.#scripts}`;
    this.#commands.client.defineCommand(name, { lua });
    const property = answer === 'text' ? name : `${name}Buffer`;
    return (keys, args) =>
      this.run((client) => {
        const commands = client as unknown as Readonly<Record<string, ScriptCommand>>;
        return commands[property]?.(keys.length, ...keys, ...args) ?? Promise.reject(new Error('no such script'));
      });
  }

  /** Calls under way are rejected. */
  async close(): Promise<void> {
    this.#commands.close();
    this.#subscriptions.close();
  }

  async #readRunId(): Promise<void> {
    const { client } = this.#commands;
    if (client instanceof Cluster) return;
    const info = await client.info('server');
    this.#runId = /^run_id:(\w+)/m.exec(info)?.[1] ?? null;
  }
}

async function guarded<T>(link: RedisLink, work: (client: RedisClient) => Promise<T>): Promise<T> {
  await link.usable();
  try {
    return await work(link.client);
  } catch (error) {
    throw redisError(error);
  }
}

async function readAuthority(file: string | null): Promise<string | null> {
  if (file === null) return null;
  let authority: string;
  try {
    authority = await readFile(file, 'utf8');
  } catch (error) {
    throw unavailableRedis('authority_unreadable', error);
  }
  // By an empty text TLS would trust every authority of the system, and whom they name would not be compared.
  if (!authority.includes('-----BEGIN CERTIFICATE-----')) throw unavailableRedis('authority_unreadable');
  return authority;
}

function createClient(options: TrustingOptions): RedisClient {
  const { host, port, db, ...nodeOptions } = clientOptions(options);
  const enableOfflineQueue = false;
  if (options.cluster !== true) {
    return new Redis({ ...nodeOptions, host, port, db, enableOfflineQueue, retryStrategy: retryDelayMs });
  }
  return new Cluster([{ host, port }], {
    clusterRetryStrategy: retryDelayMs,
    enableOfflineQueue,
    slotsRefreshTimeout: connectTimeoutMs,
    redisOptions: nodeOptions,
  });
}

function clientOptions({ authority, clock, commandTimeoutMs = defaultCommandTimeoutMs, url }: TrustingOptions) {
  const { hostname, password, pathname, port, protocol, username } = new URL(url);
  const db = Number(pathname.slice(1));
  if (!Number.isInteger(db)) {
    throw new ServiceError('internal', {}, { message: 'the path of a Redis URL is the number of a database' });
  }
  let nextReconnectMs = 0;
  return {
    host: hostname.replaceAll(/^\[|\]$/g, ''),
    port: port === '' ? 6379 : Number(port),
    ...(username === '' ? {} : { username: decodeURIComponent(username) }),
    ...(password === '' ? {} : { password: decodeURIComponent(password) }),
    db,
    ...(protocol === 'rediss:' ? { tls: authority === null ? {} : trustedBy(authority) } : {}),
    connectTimeout: connectTimeoutMs,
    commandTimeout: commandTimeoutMs,
    // A connection through which nothing comes any more is given up, whatever TCP still hopes for.
    socketTimeout: 2 * commandTimeoutMs,
    maxLoadingRetryTime: loadingRetryMs,
    // What was sent on a connection that ended fails at once: whoever asked knows whether it may be repeated.
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    // After a failover the connection may still lead to the server that was primary. Not more than once a second.
    reconnectOnError: (error: Error) => {
      if (!isReadOnlyReply(error) || clock.monotonicMs() < nextReconnectMs) return false;
      nextReconnectMs = clock.monotonicMs() + longestRetryMs;
      return true;
    },
  } satisfies RedisOptions;
}

/**
 * Certificates of managed services name no address at which they are reached, so that there is nothing to compare with
 * one; those of the authority are the service's own. A name is compared, and so is an address where any is named.
 */
function trustedBy(authority: string): ConnectionOptions {
  return {
    ca: authority,
    checkServerIdentity: (host: string, certificate: PeerCertificate) => {
      const namesAddresses = /(^|, )IP Address:/.test(certificate.subjectaltname ?? '');
      return isIP(host) !== 0 && !namesAddresses ? undefined : checkServerIdentity(host, certificate);
    },
  };
}

/** Doubles from 50 ms to a second, each shortened by up to a half so that processes do not come all at once. */
function retryDelayMs(attempt: number): number {
  return Math.min(longestRetryMs, 25 * 2 ** Math.min(attempt, 10)) * (1 - Math.random() / 2);
}
