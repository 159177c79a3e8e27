// Tells those who wait where they stand: at most once a second, and at once when all was quiet before.

import type { Clock } from '../core/clock.ts';

const everyMs = 1_000;

export class PlaceTeller {
  readonly #clock: Clock;
  readonly #inOrder: () => readonly { readonly onPlace: (place: number) => void }[];
  #lastMs = Number.NEGATIVE_INFINITY;
  #cancel: (() => void) | null = null;

  constructor(clock: Clock, inOrder: () => readonly { readonly onPlace: (place: number) => void }[]) {
    this.#clock = clock;
    this.#inOrder = inOrder;
  }

  /** The order has changed. */
  changed(): void {
    this.#cancel ??= this.#clock.after(Math.max(0, this.#lastMs + everyMs - this.#clock.monotonicMs()), () => {
      this.#cancel = null;
      this.#lastMs = this.#clock.monotonicMs();
      let place = 1;
      for (const waiter of this.#inOrder()) waiter.onPlace(place++);
    });
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = () => {};
  }
}
