// Keeps the leases of the sessions that this worker hosts, and says when one is lost: refused, or not
// renewed for so long, by this process's own monotonic clock, that another worker may hold it.

import type { Lease, SessionDirectory } from '../contracts/session-directory.ts';
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../observability/logger.ts';

export type LeaseKeeperOptions = {
  readonly directory: SessionDirectory;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly leaseMs: number;
  readonly renewEveryMs: number;
  /** After so long without a renewal the session is stopped, well before the lease ends. */
  readonly selfFenceMs: number;
};

type Kept = { readonly lease: Lease; readonly onLost: () => void; renewedAtMs: number; renewing: boolean };

export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions;
  readonly #kept = new Map<string, Kept>();
  #cancelTimer: (() => void) | null = null;
  #stopped = false;

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
  }

  start(): void {
    this.#schedule();
  }

  /** null when claimed; else the lease of the worker that holds the session. */
  async claim(lease: Lease, onLost: () => void): Promise<Lease | null> {
    const askedAtMs = this.#options.clock.monotonicMs();
    const standing = await this.#options.directory.claim(lease, this.#options.leaseMs);
    if (standing === null) this.#kept.set(keyOf(lease), { lease, onLost, renewedAtMs: askedAtMs, renewing: false });
    return standing;
  }

  async release(lease: Lease): Promise<void> {
    if (this.#kept.delete(keyOf(lease))) await this.#options.directory.release(lease);
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelTimer?.();
  }

  #schedule(): void {
    if (this.#stopped) return;
    this.#cancelTimer = this.#options.clock.after(this.#options.renewEveryMs, () => {
      for (const kept of this.#kept.values()) this.#tend(kept);
      this.#schedule();
    });
  }

  // The fence does not wait for the store's answer: a store that hangs is a reason to stop, too.
  #tend(kept: Kept): void {
    const { clock, selfFenceMs } = this.#options;
    if (clock.monotonicMs() - kept.renewedAtMs >= selfFenceMs) this.#lose(kept);
    else if (!kept.renewing) void this.#renew(kept);
  }

  async #renew(kept: Kept): Promise<void> {
    const { clock, directory, leaseMs, logger } = this.#options;
    const askedAtMs = clock.monotonicMs();
    kept.renewing = true;
    try {
      // From when we asked, not from when it answered: the store counted from somewhere in between.
      if (await directory.renew(kept.lease, leaseMs)) kept.renewedAtMs = askedAtMs;
      else this.#lose(kept);
    } catch (error) {
      logger.warn({ event: 'lease_renewal_failed', session_id: kept.lease.sessionId, err: error }, 'a lease could not be renewed');
    } finally {
      kept.renewing = false;
    }
  }

  #lose(kept: Kept): void {
    if (this.#kept.get(keyOf(kept.lease)) !== kept) return;
    this.#kept.delete(keyOf(kept.lease));
    kept.onLost();
  }
}

function keyOf(lease: Lease): string {
  return `${lease.tenant}/${lease.sessionId}`;
}
