// Where no cage can be made a worker serves one tenant in its life: whose it is, whom it refuses, and when it has
// to be replaced because others ask. Remembers in which order they asked, so that the next life is the first one's.

import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import type { TenantId } from '../core/ids.ts';

export type OneTenantOptions = {
  readonly clock: Clock;
  /** Who asked an earlier life of this worker and was not served, the first one first. */
  readonly waiting: readonly TenantId[];
  /** By then whoever chooses workers knows whose this one is: who asks later has no other. */
  readonly knownAfterMs: number;
  /** It is somebody's from now on. */
  readonly onTaken: () => void;
  /** Somebody else has no other worker. Once. */
  readonly onWanted: () => void;
};

/** For each who waited to come and take it. A session manager looks every second, where looking costs money every 15. */
const awaitedMs = 20_000;
const mostWaiting = 16;

export class OneTenant {
  readonly #options: OneTenantOptions;
  readonly #waiting: TenantId[];
  /** Since when it could be taken; null before that. */
  #openSinceMs: number | null = null;
  #tenant: TenantId | null = null;
  #takenAtMs = 0;
  #isWanted = false;

  constructor(options: OneTenantOptions) {
    this.#options = options;
    this.#waiting = [...new Set(options.waiting)].slice(0, mostWaiting);
  }

  /** It can be found and asked from now on: who waits has so long from here. */
  open(): void {
    this.#openSinceMs ??= this.#options.clock.monotonicMs();
  }

  /** Whose it is, or for whom it is kept; null while anybody may take it. */
  get reservedFor(): TenantId | null {
    return this.#tenant ?? this.#awaited;
  }

  /** Those who asked and were not served, for the next life. */
  get waiting(): readonly TenantId[] {
    return this.#waiting;
  }

  /** The first session that is taken decides. Throws `worker_reserved` for any other tenant. */
  admit(tenant: TenantId): void {
    const { clock, knownAfterMs, onTaken, onWanted } = this.#options;
    if (tenant === this.#tenant) return;
    const awaited = this.#awaited;
    if (this.#tenant === null && (awaited === null || awaited === tenant)) {
      this.#forgetMissed(tenant);
      this.#tenant = tenant;
      this.#takenAtMs = clock.monotonicMs();
      onTaken();
      return;
    }
    this.#note(tenant);
    const isKnown = this.#tenant !== null && clock.monotonicMs() - this.#takenAtMs >= knownAfterMs;
    if (isKnown && !this.#isWanted) {
      this.#isWanted = true;
      onWanted();
    }
    throw new ServiceError('worker_reserved');
  }

  get #awaited(): TenantId | null {
    if (this.#tenant !== null) return null;
    return this.#waiting[this.#missed] ?? null;
  }

  /** How many of those who waited have let their time pass. */
  get #missed(): number {
    if (this.#openSinceMs === null) return 0;
    return Math.floor((this.#options.clock.monotonicMs() - this.#openSinceMs) / awaitedMs);
  }

  /** Who did not come in its time does not wait any more. */
  #forgetMissed(taker: TenantId): void {
    this.#waiting.splice(0, this.#missed);
    const place = this.#waiting.indexOf(taker);
    if (place !== -1) this.#waiting.splice(place, 1);
  }

  #note(tenant: TenantId): void {
    if (!this.#waiting.includes(tenant) && this.#waiting.length < mostWaiting) this.#waiting.push(tenant);
  }
}
