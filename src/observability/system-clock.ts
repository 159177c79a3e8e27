// The Clock of running programs: the machine's own time.

import type { Clock } from '../core/clock.ts';

/** Longer delays would make Node fire at once. */
const longestTimerMs = 2 ** 31 - 1;

export class SystemClock implements Clock {
  now(): number {
    return Date.now();
  }

  monotonicMs(): number {
    return performance.now();
  }

  after(delayMs: number, callback: () => void): () => void {
    let timer: NodeJS.Timeout;
    const wait = (remainingMs: number): void => {
      timer =
        remainingMs > longestTimerMs
          ? setTimeout(() => wait(remainingMs - longestTimerMs), longestTimerMs)
          : setTimeout(callback, Math.max(0, remainingMs));
    };
    wait(delayMs);
    return () => clearTimeout(timer);
  }
}
