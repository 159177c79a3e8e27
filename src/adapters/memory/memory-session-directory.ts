// The session directory of one process: leases in a map, ended by the clock that is passed in.

import type { Lease, SessionDirectory } from '../../contracts/session-directory.ts';
import type { Clock } from '../../core/clock.ts';
import type { SessionId, TenantId } from '../../core/ids.ts';
import { tenantKey } from './tenant-key.ts';

type Held = { readonly lease: Lease; readonly untilMs: number };

/** Leases that nobody asked for again are swept out whenever the map has doubled since the last sweep. */
const smallestSweep = 1_024;

export class MemorySessionDirectory implements SessionDirectory {
  readonly #clock: Clock;
  readonly #held = new Map<string, Held>();
  #sweepAtSize = smallestSweep;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async claim(lease: Lease, ttlMs: number): Promise<Lease | null> {
    const standing = this.#standing(lease.tenant, lease.sessionId);
    // The holder may claim again with the epoch it has or a later one; an earlier one is a paused copy of it.
    const isFree = standing === null || (standing.worker === lease.worker && standing.epoch <= lease.epoch);
    if (!isFree) return standing;
    this.#hold(lease, ttlMs);
    return null;
  }

  async renew(lease: Lease, ttlMs: number): Promise<boolean> {
    if (!this.#isStanding(lease)) return false;
    this.#hold(lease, ttlMs);
    return true;
  }

  async release(lease: Lease): Promise<void> {
    if (this.#isStanding(lease)) this.#held.delete(tenantKey(lease.tenant, lease.sessionId));
  }

  async lookup(tenant: TenantId, sessionId: SessionId): Promise<Lease | null> {
    return this.#standing(tenant, sessionId);
  }

  async knownForMs(): Promise<number> {
    return Infinity;
  }

  #standing(tenant: TenantId, sessionId: SessionId): Lease | null {
    const held = this.#held.get(tenantKey(tenant, sessionId));
    return held !== undefined && this.#clock.monotonicMs() < held.untilMs ? held.lease : null;
  }

  #isStanding(lease: Lease): boolean {
    const standing = this.#standing(lease.tenant, lease.sessionId);
    return standing?.worker === lease.worker && standing.epoch === lease.epoch;
  }

  #hold(lease: Lease, ttlMs: number): void {
    const nowMs = this.#clock.monotonicMs();
    this.#held.set(tenantKey(lease.tenant, lease.sessionId), { lease, untilMs: nowMs + ttlMs });
    if (this.#held.size < this.#sweepAtSize) return;
    for (const [key, held] of this.#held) if (held.untilMs <= nowMs) this.#held.delete(key);
    this.#sweepAtSize = Math.max(smallestSweep, this.#held.size * 2);
  }
}
