// The event log on Redis: what gateways and workers of a cluster share. It forgets when its server does, and says
// so: a log that is gone, or whose server has another past than when it was opened, is `log_lost` until opened again.

import type { AppendResult, EventLog, LogKey, LogPage, OpenResult } from '../../contracts/event-log.ts';
import type { StoredEvent } from '../../core/event.ts';
import { assertBatch } from '../../core/event-batch.ts';
import { EventDelivery, type Listener, type LogPlace } from './event-delivery.ts';
import { packEvents, unpackEvents } from './event-frames.ts';
import { type EventKeys, eventKeys } from './event-keys.ts';
import { appendScript, dropScript, eraseScript, openScript, readScript } from './event-scripts.ts';
import type { RedisConnection, RedisScript } from './redis-connection.ts';
import { redisError } from './redis-errors.ts';

export type RedisEventLogOptions = {
  /** Of those that a snapshot holds as well; without one, `unsealedFactor` times as many. */
  readonly maxEventsPerSession: number;
  /** How long a log is kept after it was last written, at least. */
  readonly hotMs: number;
  /** How often the logs that are listened to are asked for messages that were missed. */
  readonly checkMs: number;
  /** A listener must not throw; when one does, the others get their events all the same. */
  readonly onListenerError: (error: unknown) => void;
};

const hourMs = 3_600_000;

const defaults: RedisEventLogOptions = {
  maxEventsPerSession: 50_000,
  hotMs: 48 * hourMs,
  checkMs: 5_000,
  onListenerError: (error) => process.emitWarning(`an event listener threw: ${String(error)}`),
};

/** Bounds what a page takes in memory: it may be shorter than its limit. */
const maxPageBytes = 4 * 1024 * 1024;
/** What no snapshot holds yet is kept longer, and yet not for ever: a turn may not fill the memory by talking. */
const unsealedFactor = 4;
/** Expiry is set anew when an eighth has passed, not with each append. */
const expiryShare = 9 / 8;

export class RedisEventLog implements EventLog {
  readonly #connection: RedisConnection;
  readonly #options: RedisEventLogOptions;
  readonly #delivery: EventDelivery;
  readonly #open: RedisScript;
  readonly #append: RedisScript;
  readonly #read: RedisScript;
  readonly #drop: RedisScript;
  readonly #erase: RedisScript;

  constructor(connection: RedisConnection, options: Partial<RedisEventLogOptions> = {}) {
    this.#connection = connection;
    this.#options = { ...defaults, ...options };
    this.#open = connection.script(openScript);
    this.#append = connection.script(appendScript);
    this.#read = connection.script(readScript, 'bytes');
    this.#drop = connection.script(dropScript);
    this.#erase = connection.script(eraseScript);
    this.#delivery = new EventDelivery({
      connection,
      checkMs: this.#options.checkMs,
      readEnds: (keys) => this.#readEnds(keys),
      readPage: async (key, afterSeq, limit) => (await this.read(key, afterSeq, limit)).events,
      onListenerError: this.#options.onListenerError,
    });
  }

  async open(key: LogKey, epoch: number, sealedSeq: number): Promise<OpenResult> {
    const { head, batches } = this.#keys(key);
    const answer = await this.#open([head, batches], [epoch, sealedSeq, this.#longestKeptMs]);
    const [outcome, value] = answer as [OpenResult['outcome'], number];
    return outcome === 'opened' ? { outcome, lastSeq: value } : { outcome, epoch: value };
  }

  async append(key: LogKey, epoch: number, events: readonly StoredEvent[]): Promise<AppendResult> {
    assertBatch(key, epoch, events);
    const { head, batches, channel } = this.#keys(key);
    const { hotMs, maxEventsPerSession } = this.#options;
    const firstSeq = events[0]?.header.seq ?? 1;
    const last = events.at(-1)?.header;
    const { checksums, frames } = packEvents(events);
    const answer = await this.#append(
      [head, batches],
      [
        ...[epoch, firstSeq, events.length, last?.seq ?? 0, checksums, frames, last?.at ?? 0, channel],
        ...[hotMs, this.#longestKeptMs, maxEventsPerSession, maxEventsPerSession * unsealedFactor],
        last?.epoch ?? epoch,
      ],
    );
    const [outcome, value = 0] = answer as [AppendResult['outcome'], number?];
    switch (outcome) {
      case 'log_lost':
        return { outcome };
      case 'stale_epoch':
        return { outcome, epoch: value };
      case 'appended':
      case 'out_of_order':
        return { outcome, lastSeq: value };
    }
  }

  async read(key: LogKey, afterSeq: number, limit: number): Promise<LogPage> {
    const { head, batches } = this.#keys(key);
    const answer = await this.#read([head, batches], [afterSeq, limit, maxPageBytes]);
    const [lastSeq, firstHeld, ...entries] = answer as [number, number, ...Buffer[]];
    if (lastSeq === 0) return { events: [], firstSeq: 0, lastSeq };
    const from = Math.max(afterSeq + 1, firstHeld);
    if (from > lastSeq) return { events: [], firstSeq: firstHeld, lastSeq };
    let firstSeq = firstHeld;
    let nextSeq = from;
    let events: StoredEvent[] = [];
    for (const event of entries.flatMap((frames) => unpackEvents(key, frames))) {
      const { seq } = event.header;
      if (seq < nextSeq) continue;
      // A hole: what lies before it is as good as dropped.
      if (seq > nextSeq) {
        events = [];
        firstSeq = seq;
      }
      events.push(event);
      nextSeq = seq + 1;
    }
    if (entries.length === 0) firstSeq = lastSeq + 1;
    return { events: events.slice(0, limit), firstSeq, lastSeq };
  }

  subscribe(key: LogKey, listener: Listener): Promise<() => void> {
    return this.#delivery.add(key, listener);
  }

  async erase(key: LogKey): Promise<void> {
    const { head, batches, channel } = this.#keys(key);
    await this.#erase([head, batches], [channel]);
  }

  /**
   * Tells that a snapshot holds the events up to `sealedSeq`, and drops those of them that were written before
   * `cutoffMs`, but for the last of the log. Answers how many went.
   */
  async dropSealed(key: LogKey, sealedSeq: number, cutoffMs: number): Promise<number> {
    const { head, batches } = this.#keys(key);
    let dropped = 0;
    for (;;) {
      const [count, isMore] = (await this.#drop([head, batches], [sealedSeq, cutoffMs])) as [number, number];
      dropped += count;
      if (isMore === 0 || count === 0) return dropped;
    }
  }

  /** Ends all subscriptions; the connection is the caller's. */
  close(): void {
    this.#delivery.close();
  }

  get #longestKeptMs(): number {
    return Math.ceil(this.#options.hotMs * expiryShare);
  }

  #keys(key: LogKey): EventKeys {
    return eventKeys(this.#connection.keyPrefix, this.#connection.database, key);
  }

  /** All in one round trip, but in a cluster, where the client finds out who has which. */
  #readEnds(keys: readonly EventKeys[]): Promise<(LogPlace | null)[]> {
    return this.#connection.run(async (client) => {
      if (client.isCluster)
        return Promise.all(keys.map(async ({ head }) => endOf(await client.hmget(head, ...endFields))));
      const pipeline = client.pipeline();
      for (const { head } of keys) pipeline.hmget(head, ...endFields);
      return ((await pipeline.exec()) ?? []).map(([error, fields]) => {
        if (error !== null) throw redisError(error);
        return endOf(fields as (string | null)[]);
      });
    });
  }
}

const endFields = ['spoke', 'last'] as const;

function endOf([epoch = null, seq = null]: readonly (string | null)[]): LogPlace | null {
  return epoch === null || seq === null ? null : { epoch: Number(epoch), seq: Number(seq) };
}
