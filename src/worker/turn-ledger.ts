// How many turns and commands a worker has in hand, waiting and running. Counts; decides nothing.

import type { Metrics } from '../observability/metrics.ts';

export class TurnLedger {
  readonly #metrics: Pick<Metrics, 'busySlots' | 'waitingTurns'>;
  #waiting = 0;
  #running = 0;
  #onQuiet: (() => void)[] = [];

  constructor(metrics: Pick<Metrics, 'busySlots' | 'waitingTurns'>) {
    this.#metrics = metrics;
  }

  get waiting(): number {
    return this.#waiting;
  }

  get running(): number {
    return this.#running;
  }

  /** Resolves when nothing waits and nothing runs. */
  quiet(): Promise<void> {
    return new Promise((resolve) => {
      this.#onQuiet.push(resolve);
      this.#tell();
    });
  }

  count(change: { readonly waiting?: number; readonly running?: number }): void {
    this.#waiting += change.waiting ?? 0;
    this.#running += change.running ?? 0;
    this.#metrics.waitingTurns.set(this.#waiting);
    this.#metrics.busySlots.set(this.#running);
    this.#tell();
  }

  #tell(): void {
    if (this.#waiting > 0 || this.#running > 0) return;
    for (const resolve of this.#onQuiet.splice(0)) resolve();
  }
}
