// Says again and again that this worker lives and how much room it has. What becomes of a worker that is
// not heard of is decided elsewhere.

import type { WorkerEntry, WorkerRegistry } from '../contracts/worker-registry.ts';
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../observability/logger.ts';
import { answered } from './store-answer.ts';

export type HeartbeatOptions = {
  readonly registry: WorkerRegistry;
  readonly entry: () => Promise<WorkerEntry>;
  readonly everyMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A later run has this worker's name: nothing is sent here any more, and what runs here is not ours for long. */
  readonly onReplaced: () => void;
};

export class Heartbeat {
  readonly #options: HeartbeatOptions;
  #cancelNext: () => void = () => {};
  #beating: Promise<void> | null = null;
  #isStopped = false;
  #isMissed = false;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  /** Resolves when the registry knows of this worker, or could not be told yet. */
  async start(): Promise<void> {
    await this.beat();
  }

  /** At once, because something has changed. Never rejects. */
  async beat(): Promise<void> {
    if (this.#isStopped) return;
    // What is said by one that is under way may be older than the change.
    await this.#beating;
    this.#cancelNext();
    this.#beating ??= this.#beat().finally(() => {
      this.#beating = null;
      this.#cancelNext();
      if (!this.#isStopped) this.#cancelNext = this.#options.clock.after(this.#options.everyMs, () => void this.beat());
    });
    await this.#beating;
  }

  /** The registry forgets this run. */
  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#cancelNext();
    await this.#beating;
    const { clock, entry, logger, registry } = this.#options;
    try {
      const { boot, id } = await entry();
      await answered(clock, registry.withdraw(id, boot));
    } catch (error) {
      logger.warn(
        { event: 'worker_not_withdrawn', err: error },
        'the registry could not be told that the worker stops',
      );
    }
  }

  async #beat(): Promise<void> {
    const { clock, entry, logger, onReplaced, registry } = this.#options;
    try {
      const isKnown = await answered(clock, registry.announce(await entry()));
      if (this.#isMissed) logger.info({ event: 'heartbeat_back' }, 'the registry hears of this worker again');
      this.#isMissed = false;
      if (isKnown || this.#isStopped) return;
      this.#isStopped = true;
      logger.error({ event: 'worker_replaced' }, 'another run of this worker has taken its name');
      onReplaced();
    } catch (error) {
      // Said once: while the registry is away there is one of these every second.
      if (!this.#isMissed) logger.warn({ event: 'heartbeat_missed', err: error }, 'the registry could not be told');
      this.#isMissed = true;
    }
  }
}
