// Does one thing again and again: never twice at once, the next time counted from the end of the last.

import type { Clock } from '../core/clock.ts';

export class Recurring {
  readonly #clock: Clock;
  readonly #job: (isStopping: () => boolean) => Promise<number>;
  #running: Promise<void> = Promise.resolve();
  #cancelNext: () => void = () => {};
  #isStopping = false;

  /**
   * The job answers after how many milliseconds it wants to run again. It must not reject, and ends soon
   * once `isStopping` says so.
   */
  constructor(clock: Clock, job: (isStopping: () => boolean) => Promise<number>) {
    this.#clock = clock;
    this.#job = job;
  }

  start(): void {
    this.#running = this.#run();
  }

  /** What runs is waited for. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#cancelNext();
    await this.#running;
  }

  async #run(): Promise<void> {
    const delayMs = await this.#job(() => this.#isStopping);
    if (this.#isStopping) return;
    this.#cancelNext = this.#clock.after(delayMs, () => this.start());
  }
}
