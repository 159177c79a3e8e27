// Does one thing again and again: never twice at once, the next time counted from the end of the last.

import type { Clock } from '../core/clock.ts';

export class Recurring {
  readonly #clock: Clock;
  readonly #job: (isStopping: () => boolean) => Promise<number>;
  #running: Promise<void> = Promise.resolve();
  #cancelNext: () => void = () => {};
  #state: 'new' | 'at work' | 'waiting' = 'new';
  #isPoked = false;
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

  /** Now, without waiting for its time; once more right after, where it is at work. Nothing before the start. */
  poke(): void {
    this.#isPoked = true;
    if (this.#state !== 'waiting' || this.#isStopping) return;
    this.#cancelNext();
    this.#cancelNext = this.#clock.after(0, () => this.start());
  }

  /** What runs is waited for. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#cancelNext();
    await this.#running;
  }

  async #run(): Promise<void> {
    this.#state = 'at work';
    this.#isPoked = false;
    const delayMs = await this.#job(() => this.#isStopping);
    this.#state = 'waiting';
    if (this.#isStopping) return;
    this.#cancelNext = this.#clock.after(this.#isPoked ? 0 : delayMs, () => this.start());
  }
}
