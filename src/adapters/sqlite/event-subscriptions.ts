// Who is told of new events. What this process appends is pushed at once; what other processes append
// is found by asking the file whether it changed, some twenty times a second while anyone listens.

import type { LogKey } from '../../contracts/event-log.ts';
import type { Clock } from '../../core/clock.ts';
import type { StoredEvent } from '../../core/event.ts';
import { isBusy } from './sqlite-errors.ts';

export type Listener = (events: readonly StoredEvent[]) => void;

/** A place in one of the logs that a session has had: after erasure another one begins. */
export type LogPlace = { readonly logId: number; readonly seq: number };

export type EventSubscriptionsOptions = {
  readonly clock: Clock;
  readonly pollMs: number;
  /** Another number than last time when other processes have written. May throw. */
  readonly dataVersion: () => number;
  /** The end of the log, and a bounded number of the events between. May throw. */
  readonly readSince: (
    key: LogKey,
    place: LogPlace,
  ) => { readonly end: LogPlace; readonly events: readonly StoredEvent[] };
  readonly onListenerError: (error: unknown) => void;
};

type Subscription = { readonly push: Listener; place: LogPlace };
type Topic = { readonly key: LogKey; readonly subscriptions: Set<Subscription> };

export class EventSubscriptions {
  readonly #options: EventSubscriptionsOptions;
  readonly #topics = new Map<string, Topic>();
  #cancelPoll: (() => void) | null = null;
  #seenVersion = -1;
  #isClosed = false;

  constructor(options: EventSubscriptionsOptions) {
    this.#options = options;
  }

  add(key: LogKey, place: LogPlace, push: Listener): () => void {
    if (this.#isClosed) return () => {};
    const name = topicName(key);
    const topic = this.#topics.get(name) ?? { key, subscriptions: new Set() };
    const subscription: Subscription = { push, place };
    topic.subscriptions.add(subscription);
    this.#topics.set(name, topic);
    if (this.#cancelPoll === null) this.#schedulePoll();
    return () => {
      topic.subscriptions.delete(subscription);
      // Another topic may stand there by now, if this one was emptied before.
      if (topic.subscriptions.size === 0 && this.#topics.get(name) === topic) this.#topics.delete(name);
      if (this.#topics.size === 0) this.#stopPolling();
    };
  }

  /** Each subscriber gets those behind its own place. */
  push(key: LogKey, logId: number, events: readonly StoredEvent[]): void {
    const topic = this.#topics.get(topicName(key));
    if (topic !== undefined) this.#deliver(topic, logId, events);
  }

  /** Ends all subscriptions; later ones are given nothing. */
  close(): void {
    this.#isClosed = true;
    this.#topics.clear();
    this.#stopPolling();
  }

  #stopPolling(): void {
    this.#cancelPoll?.();
    this.#cancelPoll = null;
    this.#seenVersion = -1;
  }

  #schedulePoll(): void {
    this.#cancelPoll = this.#options.clock.after(this.#options.pollMs, () => this.#poll());
  }

  #poll(): void {
    try {
      const version = this.#options.dataVersion();
      if (version !== this.#seenVersion && this.#readAll()) this.#seenVersion = version;
    } catch {
      // The file is busy or broken: the next poll tries again.
    }
    if (this.#topics.size > 0) this.#schedulePoll();
  }

  /** false when more is there than was delivered. */
  #readAll(): boolean {
    let isComplete = true;
    for (const topic of [...this.#topics.values()]) {
      try {
        if (!this.#readTopic(topic)) isComplete = false;
      } catch (error) {
        // A damaged log stays so: its readers learn it from `read`, and the others' polls stay cheap.
        if (isBusy(error)) isComplete = false;
      }
    }
    return isComplete;
  }

  #readTopic(topic: Topic): boolean {
    // The one that came first is the one furthest behind.
    const [first] = topic.subscriptions;
    if (first === undefined) return true;
    const { end, events } = this.#options.readSince(topic.key, first.place);
    this.#deliver(topic, end.logId, events);
    return (events.at(-1)?.header.seq ?? end.seq) >= end.seq;
  }

  #deliver({ subscriptions }: Topic, logId: number, events: readonly StoredEvent[]): void {
    const last = events.at(-1);
    if (last === undefined) return;
    for (const subscription of [...subscriptions]) {
      // Log ids only grow: an older log is one that was erased.
      if (!subscriptions.has(subscription) || logId < subscription.place.logId) continue;
      const seenSeq = logId === subscription.place.logId ? subscription.place.seq : 0;
      if (last.header.seq <= seenSeq) continue;
      const isNew = (events[0]?.header.seq ?? 0) > seenSeq;
      subscription.place = { logId, seq: last.header.seq };
      try {
        subscription.push(isNew ? events : events.filter((event) => event.header.seq > seenSeq));
      } catch (error) {
        this.#options.onListenerError(error);
      }
    }
  }
}

function topicName(key: LogKey): string {
  return `${key.tenant.length}:${key.tenant}${key.sessionId}`;
}
