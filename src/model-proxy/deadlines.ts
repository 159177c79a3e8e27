// The two waits of a call: for the provider's headers, and for any progress once they are there.

import type { Clock } from '../core/clock.ts';

export type CutReason = 'client_gone' | 'turn_ended' | 'stopping' | 'header_timeout' | 'idle_timeout';

/** Why a call under way was ended by us. */
export class CallCut extends Error {
  readonly reason: CutReason;

  constructor(reason: CutReason) {
    super(`the call was cut: ${reason}`);
    this.name = 'CallCut';
    this.reason = reason;
  }
}

/** Cuts when nothing moved for `idleMs`, in either direction. One timer, however many chunks pass. */
export class IdleWatch {
  readonly #clock: Clock;
  readonly #idleMs: number;
  readonly #onIdle: () => void;
  #movedAtMs: number;
  #cancel: () => void = () => {};

  constructor(clock: Clock, idleMs: number, onIdle: () => void) {
    this.#clock = clock;
    this.#idleMs = idleMs;
    this.#onIdle = onIdle;
    this.#movedAtMs = clock.monotonicMs();
    this.#arm(idleMs);
  }

  moved(): void {
    this.#movedAtMs = this.#clock.monotonicMs();
  }

  stop(): void {
    this.#cancel();
  }

  #arm(delayMs: number): void {
    this.#cancel = this.#clock.after(delayMs, () => {
      const leftMs = this.#movedAtMs + this.#idleMs - this.#clock.monotonicMs();
      // Timers may fire a fraction early: what is left of a millisecond is no progress.
      if (leftMs <= 1) this.#onIdle();
      else this.#arm(leftMs);
    });
  }
}
