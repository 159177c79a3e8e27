// What a composition hands to whoever started it: where it is and how to end it. Ends its parts in the
// reverse order of their start, once, whatever each of them does.

import type { Clock } from '../core/clock.ts';

export type StopOptions = { readonly force?: boolean };

export type RunningPart = {
  readonly url: string;
  /** Lets running turns end, up to the drain's deadline; with force, ends them now. Repeated calls join. */
  readonly stop: (options?: StopOptions) => Promise<void>;
  /** Resolves when everything has stopped; rejects when a part of it could not be. */
  readonly done: Promise<void>;
};

type Step = (deadlineMs: number) => Promise<void>;

export class Teardown {
  readonly #clock: Clock;
  readonly #drainMs: number;
  readonly #steps: Step[] = [];
  readonly #done = Promise.withResolvers<void>();
  readonly #hurries: (() => void)[] = [];
  #isForced = false;
  #running: Promise<void> | null = null;

  constructor(clock: Clock, drainMs: number) {
    this.#clock = clock;
    this.#drainMs = drainMs;
    // Whoever waits for it hears of a failure; nobody has to.
    this.#done.promise.catch(() => undefined);
  }

  /** `step` gets the time that is left for draining. `hurry` makes a step that is under way end now. */
  add(step: Step, hurry?: () => void): void {
    this.#steps.push(step);
    if (hurry !== undefined) this.#hurries.push(hurry);
  }

  part(url: string): RunningPart {
    return { url, stop: (options) => this.run(options ?? {}), done: this.#done.promise };
  }

  run(options: StopOptions): Promise<void> {
    if (options.force === true && !this.#isForced) {
      this.#isForced = true;
      for (const hurry of this.#hurries) hurry();
    }
    this.#running ??= this.#runAll();
    return this.#running;
  }

  async #runAll(): Promise<void> {
    const endMs = this.#clock.monotonicMs() + this.#drainMs;
    const failures: unknown[] = [];
    for (const step of this.#steps.toReversed()) {
      const leftMs = this.#isForced ? 0 : Math.max(0, endMs - this.#clock.monotonicMs());
      await step(leftMs).catch((error: unknown) => failures.push(error));
    }
    if (failures.length === 0) this.#done.resolve();
    else this.#done.reject(new AggregateError(failures, 'not everything could be stopped'));
    await this.#done.promise;
  }
}
