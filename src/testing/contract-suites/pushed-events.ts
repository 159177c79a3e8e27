// What a subscriber of an event log was given, and a way to wait for it without sleeping.

import assert from 'node:assert/strict';
import type { EventLog, LogKey } from '../../contracts/event-log.ts';
import type { StoredEvent } from '../../core/event.ts';

const deadlineMs = 5_000;

export class PushedEvents {
  readonly events: StoredEvent[] = [];
  readonly #waiting = new Set<() => void>();
  #unsubscribe: () => void = () => {};

  static async open(log: EventLog, key: LogKey): Promise<PushedEvents> {
    const pushed = new PushedEvents();
    pushed.#unsubscribe = await log.subscribe(key, (events) => {
      pushed.events.push(...events);
      for (const wake of pushed.#waiting) wake();
    });
    return pushed;
  }

  close(): void {
    this.#unsubscribe();
  }

  get seqs(): number[] {
    return this.events.map((event) => event.header.seq);
  }

  /** Resolves when the event has come; order of delivery means that what was to come before it has come too. */
  async reached(seq: number): Promise<void> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => reject(new assert.AssertionError({ message: `seq ${seq} was not pushed` })),
      deadlineMs,
    );
    try {
      while (!this.seqs.includes(seq)) {
        const { promise: pushed, resolve } = Promise.withResolvers<void>();
        this.#waiting.add(resolve);
        await Promise.race([pushed, late]);
        this.#waiting.delete(resolve);
      }
    } finally {
      clearTimeout(timer);
    }
  }
}
