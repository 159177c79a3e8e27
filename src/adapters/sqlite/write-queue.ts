// Runs writes in transactions, in the order in which they came: the first of a tick at once, the
// others of the same tick together. Waits for other processes without blocking, up to a deadline.
// Does not know tables, nor what an error means.

import type { Clock } from '../../core/clock.ts';
import { ServiceError } from '../../core/errors.ts';

/** disk: survives a power cut once answered. os: survives the end of this process; the disk has it a little later. */
export type Durability = 'disk' | 'os';

type Write = {
  /** May run more than once; only the last run counts. */
  readonly work: () => unknown;
  readonly durability: Durability;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** In a transaction of its own: the one that it shared failed, perhaps because of it. */
  isAlone: boolean;
};

export type WriteQueueOptions = {
  readonly clock: Clock;
  /** Runs the work in one transaction, more than once if need be; throws when nothing of it was written. */
  readonly transact: (work: () => void) => void;
  readonly sync: () => Promise<void>;
  readonly isBusy: (error: unknown) => boolean;
  readonly translate: (error: unknown) => ServiceError;
  /** How long other processes are waited for. */
  readonly busyDeadlineMs: number;
};

const maxWaiting = 10_000;
/** Bounds how long one transaction keeps the event loop. */
const maxTogether = 64;
const longestBusyPauseMs = 20;

export class WriteQueue {
  readonly #options: WriteQueueOptions;
  #waiting: Write[] = [];
  /** A flush is due: what comes now waits for it. */
  #isFlushDue = false;
  #busySinceMs: number | null = null;
  #busyTries = 0;
  #onEmpty: (() => void) | null = null;

  constructor(options: WriteQueueOptions) {
    this.#options = options;
  }

  write<T>(work: () => T, durability: Durability): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    if (this.#waiting.length >= maxWaiting) {
      reject(new ServiceError('store_unavailable', { reason: 'overloaded', waiting: this.#waiting.length }));
      return promise;
    }
    this.#waiting.push({ work, durability, resolve: (value) => resolve(value as T), reject, isAlone: false });
    if (!this.#isFlushDue) this.#flush();
    return promise;
  }

  /** Resolves when nothing waits; by the busy deadline at the latest, if nobody writes meanwhile. */
  async drained(): Promise<void> {
    if (!this.#isFlushDue && this.#waiting.length === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onEmpty = resolve;
    await promise;
  }

  #flush(): void {
    this.#isFlushDue = true;
    const writes = this.#nextTogether();
    try {
      this.#run(writes);
      this.#busySinceMs = null;
    } catch (error) {
      if (this.#options.isBusy(error) && this.#mayWaitLonger()) {
        this.#waiting.unshift(...writes);
        this.#options.clock.after(this.#busyPauseMs(), () => this.#flush());
        return;
      }
      this.#busySinceMs = null;
      this.#fail(writes, error);
    }
    setImmediate(() => this.#goOn());
  }

  #goOn(): void {
    this.#isFlushDue = false;
    if (this.#waiting.length > 0) this.#flush();
    else this.#onEmpty?.();
  }

  #nextTogether(): Write[] {
    if (this.#waiting[0]?.isAlone === true) return this.#waiting.splice(0, 1);
    const firstAlone = this.#waiting.findIndex((write) => write.isAlone);
    return this.#waiting.splice(0, Math.min(maxTogether, firstAlone === -1 ? maxTogether : firstAlone));
  }

  #run(writes: readonly Write[]): void {
    let values: unknown[] = [];
    this.#options.transact(() => {
      values = writes.map(({ work }) => work());
    });
    let synced: Promise<void> | null = null;
    for (const [index, write] of writes.entries()) {
      if (write.durability === 'os') write.resolve(values[index]);
      else {
        synced ??= this.#options.sync();
        synced.then(
          () => write.resolve(values[index]),
          (error: unknown) => write.reject(this.#options.translate(error)),
        );
      }
    }
  }

  #fail(writes: readonly Write[], error: unknown): void {
    if (writes.length === 1 || this.#options.isBusy(error)) {
      const reason = this.#options.translate(error);
      for (const write of writes) write.reject(reason);
      return;
    }
    for (const write of writes) write.isAlone = true;
    this.#waiting.unshift(...writes);
  }

  #mayWaitLonger(): boolean {
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#busySinceMs === null) this.#busyTries = 0;
    this.#busySinceMs ??= nowMs;
    return nowMs - this.#busySinceMs < this.#options.busyDeadlineMs;
  }

  /** Jitter, or processes that collided would collide again. */
  #busyPauseMs(): number {
    this.#busyTries++;
    return Math.min(longestBusyPauseMs, this.#busyTries * 2) * (0.5 + Math.random() / 2);
  }
}
