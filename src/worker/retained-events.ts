// The events of a session that are in the log and in no snapshot yet: kept for a log that may lose them.
// Bounded: of a turn that writes more, the oldest go.

import type { StoredEvent } from '../core/event.ts';

export type RetainedLimits = { readonly maxEvents: number; readonly maxCharacters: number };

const defaultLimits: RetainedLimits = { maxEvents: 200_000, maxCharacters: 64 * 1024 * 1024 };
/** What is left when there are too many: so that dropping is rare. */
const keptShare = 3 / 4;

export class RetainedEvents {
  readonly #limits: RetainedLimits;
  /** By seq, without a hole. */
  #events: StoredEvent[] = [];
  #characters = 0;

  constructor(limits: RetainedLimits = defaultLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#events.length;
  }

  /** They follow those that are kept. */
  keep(events: readonly StoredEvent[]): void {
    for (const event of events) {
      this.#events.push(event);
      this.#characters += characters(event);
    }
    const { maxCharacters, maxEvents } = this.#limits;
    if (this.#events.length <= maxEvents && this.#characters <= maxCharacters) return;
    let dropped = 0;
    while (
      this.#events.length - dropped > maxEvents * keptShare ||
      (this.#characters > maxCharacters * keptShare && dropped < this.#events.length)
    ) {
      this.#characters -= charactersOf(this.#events[dropped]);
      dropped++;
    }
    this.#events = this.#events.slice(dropped);
  }

  forgetUpTo(seq: number): void {
    const first = this.#events[0]?.header.seq ?? 0;
    const forgotten = Math.max(0, Math.min(this.#events.length, seq - first + 1));
    for (const event of this.#events.slice(0, forgotten)) this.#characters -= characters(event);
    this.#events = this.#events.slice(forgotten);
  }

  /** Those behind the place, which are not kept any more. */
  takeBehind(seq: number): readonly StoredEvent[] {
    const taken = this.#events.filter(({ header }) => header.seq > seq);
    this.#events = this.#events.slice(0, this.#events.length - taken.length);
    for (const event of taken) this.#characters -= characters(event);
    return taken;
  }

  some(isMeant: (event: StoredEvent) => boolean): boolean {
    return this.#events.some(isMeant);
  }

  clear(): void {
    this.#events = [];
    this.#characters = 0;
  }
}

export function characters(event: StoredEvent): number {
  return event.body.length + (event.raw?.length ?? 0);
}

function charactersOf(event: StoredEvent | undefined): number {
  return event === undefined ? 0 : characters(event);
}
