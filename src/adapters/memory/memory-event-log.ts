// The event log of one process. Lives as long as the process does and holds the latest events only:
// so many per session, so many characters in all, taken from the session that was written longest ago.

import type { AppendResult, EventLog, LogKey, LogPage, OpenResult } from '../../contracts/event-log.ts';
import type { StoredEvent } from '../../core/event.ts';
import { assertBatch } from '../../core/event-batch.ts';
import { EventWindow } from './event-window.ts';
import { tenantKey } from './tenant-key.ts';

type Listener = (events: readonly StoredEvent[]) => void;

type SessionLog = {
  readonly window: EventWindow;
  characters: number;
  /** The highest that any append named, refused or not: from then on earlier writers are fenced. */
  epoch: number;
};

type Subscription = { readonly push: Listener; isActive: boolean };
type Delivery = { readonly subscription: Subscription; readonly events: readonly StoredEvent[] };

export type MemoryEventLogOptions = {
  readonly maxEventsPerSession: number;
  /** Of bodies and raw lines, all sessions together. Every session keeps its last event regardless. */
  readonly maxCharacters: number;
  /** A listener must not throw; when one does, the others get their events all the same. */
  readonly onListenerError: (error: unknown) => void;
};

const defaults: MemoryEventLogOptions = {
  maxEventsPerSession: 200_000,
  maxCharacters: 512 * 1024 * 1024,
  onListenerError: (error) => process.emitWarning(`an event listener threw: ${String(error)}`),
};

/** What a session keeps of its characters when it has to give some up. */
const keptShare = 7 / 8;

export class MemoryEventLog implements EventLog {
  readonly #options: MemoryEventLogOptions;
  readonly #logs = new Map<string, SessionLog>();
  readonly #subscriptions = new Map<string, Set<Subscription>>();
  #deliveries: Delivery[] = [];
  #isDelivering = false;
  #characters = 0;

  constructor(options: Partial<MemoryEventLogOptions> = {}) {
    this.#options = { ...defaults, ...options };
  }

  async open(key: LogKey, epoch: number, sealedSeq: number): Promise<OpenResult> {
    const log = this.#logOf(tenantKey(key.tenant, key.sessionId), epoch);
    if (epoch < log.epoch) return { outcome: 'stale_epoch', epoch: log.epoch };
    log.epoch = epoch;
    if (log.window.lastSeq < sealedSeq) {
      while (log.window.length > 0) this.#dropFirst(log);
      log.window.goOnBehind(sealedSeq);
    }
    return { outcome: 'opened', lastSeq: log.window.lastSeq };
  }

  async append(key: LogKey, epoch: number, events: readonly StoredEvent[]): Promise<AppendResult> {
    assertBatch(key, epoch, events);
    const mapKey = tenantKey(key.tenant, key.sessionId);
    const log = this.#logOf(mapKey, epoch);
    if (epoch < log.epoch) return { outcome: 'stale_epoch', epoch: log.epoch };
    log.epoch = epoch;

    const { window } = log;
    const isNext = events[0]?.header.seq === window.lastSeq + 1;
    const fresh = isNext ? events : events.filter((event) => event.header.seq > window.lastSeq);
    const repeated = events.slice(0, events.length - fresh.length);
    const isGap = fresh[0] !== undefined && fresh[0].header.seq !== window.lastSeq + 1;
    if (isGap || !repeated.every((event) => isSame(event, window.at(event.header.seq)))) {
      return { outcome: 'out_of_order', lastSeq: window.lastSeq };
    }
    for (const event of fresh) {
      window.push(event);
      log.characters += characters(event);
      this.#characters += characters(event);
    }
    this.#dropExcess(log);
    if (fresh.length > 0) this.#deliver(mapKey, fresh);
    return { outcome: 'appended', lastSeq: window.lastSeq };
  }

  async read(key: LogKey, afterSeq: number, limit: number): Promise<LogPage> {
    const window = this.#logs.get(tenantKey(key.tenant, key.sessionId))?.window;
    if (window === undefined) return { events: [], firstSeq: 0, lastSeq: 0 };
    return { events: window.after(afterSeq, limit), firstSeq: window.firstSeq, lastSeq: window.lastSeq };
  }

  async subscribe(key: LogKey, listener: Listener): Promise<() => void> {
    const mapKey = tenantKey(key.tenant, key.sessionId);
    const subscription: Subscription = { push: listener, isActive: true };
    const subscriptions = this.#subscriptions.get(mapKey) ?? new Set();
    subscriptions.add(subscription);
    this.#subscriptions.set(mapKey, subscriptions);
    return () => {
      subscription.isActive = false;
      subscriptions.delete(subscription);
      // Another set may stand there by now, if this one was emptied before.
      if (subscriptions.size === 0 && this.#subscriptions.get(mapKey) === subscriptions) {
        this.#subscriptions.delete(mapKey);
      }
    };
  }

  async erase(key: LogKey): Promise<void> {
    const mapKey = tenantKey(key.tenant, key.sessionId);
    const log = this.#logs.get(mapKey);
    this.#logs.delete(mapKey);
    while (log !== undefined && log.window.length > 0) this.#dropFirst(log);
  }

  #logOf(mapKey: string, epoch: number): SessionLog {
    const standing = this.#logs.get(mapKey);
    if (standing !== undefined) return standing;
    const log = { window: new EventWindow(), characters: 0, epoch };
    this.#logs.set(mapKey, log);
    return log;
  }

  /** Queued, so that a listener that appends cannot overtake the batch it was called with. */
  #deliver(mapKey: string, events: readonly StoredEvent[]): void {
    for (const subscription of this.#subscriptions.get(mapKey) ?? []) this.#deliveries.push({ subscription, events });
    if (this.#isDelivering) return;
    this.#isDelivering = true;
    while (this.#deliveries.length > 0) {
      const deliveries = this.#deliveries;
      this.#deliveries = [];
      for (const delivery of deliveries) this.#push(delivery);
    }
    this.#isDelivering = false;
  }

  #push({ subscription, events }: Delivery): void {
    if (!subscription.isActive) return;
    try {
      subscription.push(events);
    } catch (error) {
      this.#options.onListenerError(error);
    }
  }

  #dropExcess(log: SessionLog): void {
    while (log.window.length > this.#options.maxEventsPerSession) this.#dropFirst(log);
    while (this.#characters > this.#options.maxCharacters) {
      const largest = this.#largest();
      if (largest === null) return;
      // Who fills the memory pays for it, and a good piece at once, so that the search is rare.
      const enough = largest.characters * keptShare;
      while (largest.window.length > 1 && largest.characters > enough) this.#dropFirst(largest);
    }
  }

  /** null when every session is down to its last event. */
  #largest(): SessionLog | null {
    let largest: SessionLog | null = null;
    for (const log of this.#logs.values()) {
      if (log.window.length > 1 && log.characters > (largest?.characters ?? 0)) largest = log;
    }
    return largest;
  }

  #dropFirst(log: SessionLog): void {
    const event = log.window.dropFirst();
    if (event === undefined) return;
    log.characters -= characters(event);
    this.#characters -= characters(event);
  }
}

function characters(event: StoredEvent): number {
  return event.body.length + (event.raw?.length ?? 0);
}

function isSame(event: StoredEvent, stored: StoredEvent | undefined): boolean {
  return stored?.header.epoch === event.header.epoch && stored.header.checksum === event.header.checksum;
}
