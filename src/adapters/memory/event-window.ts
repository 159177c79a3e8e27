// The latest events of one session, by seq. Drops from the front in constant time on average: an
// array with an offset, shortened when half of it is empty. Does not know epochs or subscribers.

import type { StoredEvent } from '../../core/event.ts';

export class EventWindow {
  #events: (StoredEvent | undefined)[] = [];
  #head = 0;
  #firstSeq = 0;
  #behindSeq = 0;

  get length(): number {
    return this.#events.length - this.#head;
  }

  /** Of the first event; while empty, of the one that comes next, or 0 where nothing was before it. */
  get firstSeq(): number {
    if (this.length > 0) return this.#firstSeq;
    return this.#behindSeq === 0 ? 0 : this.#behindSeq + 1;
  }

  /** Of the last event; while empty, the place that the next one comes behind. */
  get lastSeq(): number {
    return this.length === 0 ? this.#behindSeq : this.#firstSeq + this.length - 1;
  }

  /** An empty window goes on behind this place. */
  goOnBehind(seq: number): void {
    this.#behindSeq = seq;
  }

  at(seq: number): StoredEvent | undefined {
    const index = seq - this.#firstSeq;
    return index < 0 ? undefined : this.#events[this.#head + index];
  }

  push(event: StoredEvent): void {
    if (this.length === 0) this.#firstSeq = event.header.seq;
    this.#events.push(event);
  }

  dropFirst(): StoredEvent | undefined {
    const event = this.#events[this.#head];
    this.#events[this.#head] = undefined;
    this.#head += 1;
    this.#firstSeq += 1;
    if (this.#head > 1024 && this.#head * 2 > this.#events.length) {
      this.#events = this.#events.slice(this.#head);
      this.#head = 0;
    }
    return event;
  }

  after(seq: number, limit: number): readonly StoredEvent[] {
    const start = this.#head + Math.max(0, seq + 1 - this.#firstSeq);
    return this.#events.slice(start, start + limit) as StoredEvent[];
  }
}
