// Who is told of new events. One connection carries the subscriptions of the whole process; what it misses,
// because it was cut or a server failed, is found by asking how far each log has come and reading the rest.
// One for each connection: what it does not listen to is not subscribed.

import type { LogKey } from '../../contracts/event-log.ts';
import type { StoredEvent } from '../../core/event.ts';
import { unpackEvents } from './event-frames.ts';
import { type EventKeys, eventKeys } from './event-keys.ts';
import type { RedisConnection } from './redis-connection.ts';
import { unavailableRedis } from './redis-errors.ts';

export type Listener = (events: readonly StoredEvent[]) => void;

/** The last event of a log. Lost and opened again, a log may go on at a lower seq, but never at a lower epoch. */
export type LogPlace = { readonly epoch: number; readonly seq: number };

export type EventDeliveryOptions = {
  readonly connection: RedisConnection;
  /** How often all logs that are listened to are asked whether a message was missed. */
  readonly checkMs: number;
  /** In the order of the keys; null for a log that is not there. */
  readonly readEnds: (keys: readonly EventKeys[]) => Promise<readonly (LogPlace | null)[]>;
  /** A page of the log behind a seq. */
  readonly readPage: (key: LogKey, afterSeq: number, limit: number) => Promise<readonly StoredEvent[]>;
  readonly onListenerError: (error: unknown) => void;
};

type Topic = {
  readonly key: LogKey;
  readonly keys: EventKeys;
  readonly listeners: Set<{ readonly push: Listener }>;
  /** Of the last event that was delivered. */
  place: LogPlace;
  /** Resolves when the channel is subscribed and the place known. */
  readonly begun: Promise<void>;
};

const beginning: LogPlace = { epoch: 0, seq: 0 };
/** Channels of one SUBSCRIBE, logs of one round trip. */
const batchSize = 256;
const pageLimit = 256;
/** A reader repairs gaps itself: after so many pages it is given the last event alone, which shows it the gap. */
const mostPages = 4;

export class EventDelivery {
  readonly #options: EventDeliveryOptions;
  readonly #topics = new Map<string, Topic>();
  #cancelCheck: (() => void) | null = null;
  #checking: Promise<void> | null = null;
  #mustCheckAgain = false;
  #isClosed = false;

  constructor(options: EventDeliveryOptions) {
    this.#options = options;
    options.connection.onMessage((channel, frames) => this.#receive(channel, frames));
    options.connection.onResubscribe(() => void this.#resubscribe());
  }

  async add(key: LogKey, push: Listener): Promise<() => void> {
    if (this.#isClosed) throw unavailableRedis('closed');
    const topic = this.#topicOf(key);
    const listener = { push };
    topic.listeners.add(listener);
    const remove = (): void => {
      if (topic.listeners.delete(listener) && topic.listeners.size === 0) this.#end(topic);
    };
    try {
      await topic.begun;
    } catch (error) {
      remove();
      throw error;
    }
    return remove;
  }

  /** Ends all subscriptions. */
  close(): void {
    this.#isClosed = true;
    for (const topic of this.#topics.values()) topic.listeners.clear();
    this.#topics.clear();
    this.#cancelCheck?.();
    this.#cancelCheck = null;
  }

  #topicOf(key: LogKey): Topic {
    const { connection } = this.#options;
    const keys = eventKeys(connection.keyPrefix, connection.database, key);
    const standing = this.#topics.get(keys.channel);
    if (standing !== undefined) return standing;
    const topic: Topic = { key, keys, listeners: new Set(), place: beginning, begun: this.#begin(keys) };
    this.#topics.set(keys.channel, topic);
    this.#cancelCheck ??= this.#scheduleCheck();
    return topic;
  }

  async #begin(keys: EventKeys): Promise<void> {
    await this.#options.connection.runSubscriber((client) => client.subscribe(keys.channel));
    const [end = null] = await this.#options.readEnds([keys]);
    const topic = this.#topics.get(keys.channel);
    // Messages may have come meanwhile, and then the place is theirs.
    if (topic !== undefined && end !== null && isBehind(topic.place, end)) topic.place = end;
  }

  #end(topic: Topic): void {
    const { channel } = topic.keys;
    // Another topic may stand there by now.
    if (this.#topics.get(channel) !== topic) return;
    this.#topics.delete(channel);
    const { connection } = this.#options;
    // What comes all the same is for nobody; a connection that ended has no subscription left.
    connection.runSubscriber((client) => client.unsubscribe(channel)).catch(() => undefined);
    if (this.#topics.size > 0) return;
    this.#cancelCheck?.();
    this.#cancelCheck = null;
  }

  #receive(channel: string, frames: Buffer): void {
    const topic = this.#topics.get(channel);
    if (topic === undefined) return;
    if (frames.length === 0) {
      topic.place = beginning;
      return;
    }
    try {
      this.#deliver(topic, unpackEvents(topic.key, frames));
    } catch {
      // Damaged on its way: the next check reads it from the log.
    }
  }

  /** Those that lie behind the topic's place. Listeners' own errors are reported, not thrown. */
  #deliver(topic: Topic, events: readonly StoredEvent[]): void {
    const fresh = events.filter(({ header }) => isBehind(topic.place, header));
    const last = fresh.at(-1);
    if (last === undefined) return;
    topic.place = { epoch: last.header.epoch, seq: last.header.seq };
    for (const listener of [...topic.listeners]) {
      if (!topic.listeners.has(listener)) continue;
      try {
        listener.push(fresh);
      } catch (error) {
        this.#options.onListenerError(error);
      }
    }
  }

  async #resubscribe(): Promise<void> {
    const channels = [...this.#topics.keys()];
    try {
      for (let start = 0; start < channels.length; start += batchSize) {
        // Those that ended meanwhile are for nobody.
        const batch = channels.slice(start, start + batchSize).filter((channel) => this.#topics.has(channel));
        if (batch.length > 0) await this.#options.connection.runSubscriber((client) => client.subscribe(...batch));
      }
      await this.#check();
    } catch {
      // The connection was cut again: the next one begins anew.
    }
  }

  #scheduleCheck(): () => void {
    return this.#options.connection.clock.after(this.#options.checkMs, () => {
      this.#cancelCheck = this.#topics.size > 0 ? this.#scheduleCheck() : null;
      this.#ping();
      void this.#check();
    });
  }

  /** Through a connection that nobody answers on any more nothing comes, and only asking shows it. */
  #ping(): void {
    this.#options.connection.runSubscriber((client) => client.ping()).catch(() => undefined);
  }

  /** One at a time; asked for meanwhile, once more after it. Never rejects: what failed is tried again next time. */
  #check(): Promise<void> {
    if (this.#checking !== null) {
      this.#mustCheckAgain = true;
      return this.#checking;
    }
    const run = async (): Promise<void> => {
      do {
        this.#mustCheckAgain = false;
        await this.#checkAll().catch(() => undefined);
      } while (this.#mustCheckAgain && !this.#isClosed);
      this.#checking = null;
    };
    this.#checking = run();
    return this.#checking;
  }

  async #checkAll(): Promise<void> {
    const topics = [...this.#topics.values()];
    for (let start = 0; start < topics.length; start += batchSize) {
      const batch = topics.slice(start, start + batchSize);
      const ends = await this.#options.readEnds(batch.map((topic) => topic.keys));
      for (const [index, topic] of batch.entries()) {
        const end = ends[index] ?? null;
        if (end === null || !isBehind(topic.place, end) || topic.listeners.size === 0) continue;
        // One damaged log does not keep the others' events.
        await this.#repair(topic, end).catch(() => undefined);
      }
    }
  }

  async #repair(topic: Topic, end: LogPlace): Promise<void> {
    const { readPage } = this.#options;
    let after = await this.#lastShared(topic, end);
    for (let page = 0; page < mostPages && after < end.seq; page++) {
      const events = await readPage(topic.key, after, pageLimit);
      const last = events.at(-1);
      if (last === undefined) return;
      this.#deliver(topic, events);
      after = last.header.seq;
    }
    if (after < end.seq) this.#deliver(topic, await readPage(topic.key, end.seq - 1, 1));
  }

  /** Where to read on: the place, or before it where another epoch has written over what was delivered. */
  async #lastShared({ key, place }: Topic, end: LogPlace): Promise<number> {
    if (end.epoch === place.epoch) return place.seq;
    const [there] = await this.#options.readPage(key, place.seq - 1, 1);
    if (there?.header.seq === place.seq && there.header.epoch === place.epoch) return place.seq;
    return Math.max(0, Math.min(place.seq, end.seq) - pageLimit);
  }
}

function isBehind(place: LogPlace, event: LogPlace): boolean {
  return event.epoch > place.epoch || (event.epoch === place.epoch && event.seq > place.seq);
}
