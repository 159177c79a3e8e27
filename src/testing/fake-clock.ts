// A Clock that stands still until a test moves it.

import type { Clock } from '../core/clock.ts';

type Timer = { readonly dueMs: number; readonly callback: () => void };

export class FakeClock implements Clock {
  #wallMs: number;
  #monotonicMs = 0;
  readonly #timers = new Set<Timer>();

  constructor(wallMs = Date.UTC(2026, 0, 1)) {
    this.#wallMs = wallMs;
  }

  now(): number {
    return this.#wallMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { dueMs: this.#monotonicMs + Math.max(0, delayMs), callback };
    this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
    };
  }

  get pendingTimers(): number {
    return this.#timers.size;
  }

  /**
   * Moves both times and fires what comes due, each at its own moment and in order, timers set on the
   * way included. Synchronous: promises that the callbacks settle go on after it returns.
   */
  advance(ms: number): void {
    const endMs = this.#monotonicMs + ms;
    for (let timer = this.#nextDue(endMs); timer !== null; timer = this.#nextDue(endMs)) {
      this.#timers.delete(timer);
      this.#moveTo(timer.dueMs);
      timer.callback();
    }
    this.#moveTo(endMs);
  }

  /** As `advance`, and between two timers lets what the callbacks awaited go on: for code that waits in a loop. */
  async advanceAsync(ms: number): Promise<void> {
    const endMs = this.#monotonicMs + ms;
    await settled();
    for (let timer = this.#nextDue(endMs); timer !== null; timer = this.#nextDue(endMs)) {
      this.#timers.delete(timer);
      this.#moveTo(timer.dueMs);
      timer.callback();
      await settled();
    }
    this.#moveTo(endMs);
  }

  /** The wall clock is set, forward or back; no time passes. */
  setWallTime(epochMs: number): void {
    this.#wallMs = epochMs;
  }

  #moveTo(monotonicMs: number): void {
    this.#wallMs += monotonicMs - this.#monotonicMs;
    this.#monotonicMs = monotonicMs;
  }

  #nextDue(endMs: number): Timer | null {
    let next: Timer | null = null;
    // Of two due at once the one set first wins: a Set keeps that order.
    for (const timer of this.#timers) {
      if (timer.dueMs <= endMs && (next === null || timer.dueMs < next.dueMs)) next = timer;
    }
    return next;
  }
}

function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
