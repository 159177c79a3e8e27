// One client of Redis and whether it can be used now. Who asks while it cannot waits a moment, as for a
// connection that is made again at once, and is refused after that: a call must not hang.

import type { Cluster, Redis } from 'ioredis';
import type { Clock } from '../../core/clock.ts';
import type { Logger } from '../../observability/logger.ts';
import { unavailableRedis, unreachableRedis } from './redis-errors.ts';

export type RedisClient = Redis | Cluster;

export type RedisLinkOptions = {
  readonly client: RedisClient;
  readonly clock: Clock;
  readonly logger: Logger;
  /** For the log: `commands` or `subscriptions`. */
  readonly purpose: string;
  /** Runs on each new connection before anyone may use it. */
  readonly prepare: () => Promise<void>;
};

/** What one server's restart or a cut connection takes, and no more: callers have deadlines of their own. */
const longestWaitMs = 1_000;
/** So many may wait; others are refused at once. */
const mostWaiting = 10_000;

type Waiting = { readonly resolve: () => void; readonly reject: (error: unknown) => void };

export class RedisLink {
  readonly client: RedisClient;
  readonly #options: RedisLinkOptions;
  readonly #waiting = new Set<Waiting>();
  readonly #listeners = new Set<() => void>();
  #isUsable = false;
  #isClosed = false;
  /** Of the connection, so that one that ended meanwhile is not taken for usable. */
  #generation = 0;
  #lastError: unknown = null;

  constructor(options: RedisLinkOptions) {
    this.#options = options;
    this.client = options.client;
    this.client.on('ready', () => void this.#onReady());
    this.client.on('close', () => this.#onDown());
    this.client.on('end', () => this.#onDown());
    this.client.on('error', (error: unknown) => {
      this.#lastError = error;
    });
  }

  get isUsable(): boolean {
    return this.#isUsable;
  }

  /** Called each time that the link is usable again, after `prepare`. */
  onUsable(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** Resolves once the link can be used; rejects with `store_unavailable` when that takes too long. */
  usable(withinMs: number = longestWaitMs): Promise<void> {
    if (this.#isUsable) return Promise.resolve();
    if (this.#isClosed) return Promise.reject(unavailableRedis('closed'));
    if (this.#waiting.size >= mostWaiting) return Promise.reject(unreachableRedis(this.#lastError));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiting = { resolve, reject };
    this.#waiting.add(waiting);
    const cancel = this.#options.clock.after(withinMs, () => {
      reject(unreachableRedis(this.#lastError));
    });
    return promise.finally(() => {
      cancel();
      this.#waiting.delete(waiting);
    });
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#isUsable = false;
    for (const waiting of this.#waiting) waiting.reject(unavailableRedis('closed'));
    this.client.disconnect();
  }

  async #onReady(): Promise<void> {
    const generation = ++this.#generation;
    const { logger, prepare, purpose } = this.#options;
    try {
      await prepare();
    } catch (error) {
      this.#lastError = error;
      if (generation === this.#generation && !this.#isClosed) this.client.disconnect(true);
      return;
    }
    if (generation !== this.#generation || this.#isClosed) return;
    this.#isUsable = true;
    this.#lastError = null;
    logger.info({ event: 'redis_connected', purpose }, 'connected to Redis');
    for (const waiting of this.#waiting) waiting.resolve();
    for (const listener of this.#listeners) listener();
  }

  #onDown(): void {
    this.#generation++;
    if (!this.#isUsable) return;
    this.#isUsable = false;
    const { logger, purpose } = this.#options;
    if (!this.#isClosed)
      logger.warn({ event: 'redis_lost', purpose, err: this.#lastError }, 'the connection to Redis ended');
  }
}
