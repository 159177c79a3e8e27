// Whether and when a call that has shown nothing to Codex yet is repeated. The budget is shared by the
// process: when the provider is down, repetitions must not multiply the load on it.

import type { Clock } from '../core/clock.ts';
import { UpstreamUnreachable } from './upstream.ts';

export type RetryLimits = {
  readonly maxRetries: number;
  readonly baseDelayMs: number;
  /** A provider that asks for more patience than this gets its answer passed on instead. */
  readonly maxDelayMs: number;
  readonly budgetCapacity: number;
  readonly budgetPerSecond: number;
};

export const defaultRetryLimits: RetryLimits = {
  maxRetries: 2,
  baseDelayMs: 300,
  maxDelayMs: 10_000,
  budgetCapacity: 20,
  budgetPerSecond: 1,
};

const retriedStatuses: ReadonlySet<number> = new Set([429, 500, 502, 503]);

export class RetryBudget {
  readonly #limits: RetryLimits;
  readonly #clock: Clock;
  #tokens: number;
  #filledAtMs: number;

  constructor(limits: RetryLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
    this.#tokens = limits.budgetCapacity;
    this.#filledAtMs = clock.monotonicMs();
  }

  /** How long to wait before the next attempt; null: do not repeat. `attempt` counts those made. */
  delayBeforeRetry(attempt: number, failure: UpstreamUnreachable | AnsweredFailure): number | null {
    if (attempt > this.#limits.maxRetries) return null;
    let askedMs: number | null = null;
    if (!(failure instanceof UpstreamUnreachable)) {
      if (!retriedStatuses.has(failure.status) || failure.code === 'insufficient_quota') return null;
      askedMs = askedDelayMs(failure.headers, this.#clock.now());
      if (askedMs !== null && askedMs > this.#limits.maxDelayMs) return null;
    }
    if (!this.#takeToken()) return null;
    const backoffMs = Math.min(this.#limits.baseDelayMs * 2 ** (attempt - 1), this.#limits.maxDelayMs);
    const jitteredMs = backoffMs * (0.5 + Math.random() / 2);
    return askedMs === null ? jitteredMs : askedMs + Math.random() * this.#limits.baseDelayMs;
  }

  #takeToken(): boolean {
    const nowMs = this.#clock.monotonicMs();
    const refilled = this.#tokens + ((nowMs - this.#filledAtMs) / 1000) * this.#limits.budgetPerSecond;
    this.#tokens = Math.min(this.#limits.budgetCapacity, refilled);
    this.#filledAtMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}

export type AnsweredFailure = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** The provider's own, from the body. */
  readonly code: string | null;
};

/** `retry-after-ms`, or `Retry-After` in seconds or as a date. */
export function askedDelayMs(headers: Readonly<Record<string, string>>, nowMs: number): number | null {
  const precise = Number(headers['retry-after-ms'] ?? Number.NaN);
  if (Number.isFinite(precise) && precise >= 0) return precise;
  const text = headers['retry-after'];
  if (text === undefined || text.trim() === '') return null;
  const seconds = Number(text);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const date = Date.parse(text);
  return Number.isNaN(date) ? null : Math.max(0, date - nowMs);
}
