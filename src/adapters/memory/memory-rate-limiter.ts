// The rate limits of one process: for each tenant the moment at which it would have nothing left to wait
// for, had it taken one at a time, evenly.

import type { RateAnswer, RateKind, RateLimiter } from '../../contracts/rate-limiter.ts';
import type { Clock } from '../../core/clock.ts';
import type { TenantId } from '../../core/ids.ts';
import { tenantKey } from './tenant-key.ts';

const windowMs = 60_000;
/** Tenants that have all of theirs again are swept out whenever the map has doubled since the last sweep. */
const smallestSweep = 1_024;

export class MemoryRateLimiter implements RateLimiter {
  readonly #clock: Clock;
  readonly #evenAtMs = new Map<string, number>();
  #sweepAtSize = smallestSweep;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async take(tenant: TenantId, kind: RateKind, perMinute: number): Promise<RateAnswer> {
    const key = tenantKey(tenant, kind);
    const nowMs = this.#clock.monotonicMs();
    // Not behind the window: a limit that was raised meanwhile counts at once.
    const evenAtMs = Math.min(Math.max(this.#evenAtMs.get(key) ?? 0, nowMs), nowMs + windowMs);
    const everyMs = windowMs / perMinute;
    const nextMs = evenAtMs + everyMs;
    // The sum of many parts of a minute is a minute but for rounding.
    const waitMs = nextMs - nowMs - windowMs;
    if (waitMs > 0.001) return { allowed: false, retryAfterMs: Math.ceil(waitMs), limit: perMinute, remaining: 0 };
    this.#evenAtMs.set(key, nextMs);
    this.#sweep(nowMs);
    const remaining = Math.floor((windowMs - (nextMs - nowMs)) / everyMs + 0.001);
    return { allowed: true, retryAfterMs: 0, limit: perMinute, remaining };
  }

  #sweep(nowMs: number): void {
    if (this.#evenAtMs.size < this.#sweepAtSize) return;
    for (const [key, evenAtMs] of this.#evenAtMs) if (evenAtMs <= nowMs) this.#evenAtMs.delete(key);
    this.#sweepAtSize = Math.max(smallestSweep, this.#evenAtMs.size * 2);
  }
}
