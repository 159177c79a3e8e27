// Keeps the leases of the sessions that this worker hosts, and says when one is lost: refused, or not
// renewed for so long, by this process's own monotonic clock, that another worker may hold it.

import type { Lease, SessionDirectory } from '../contracts/session-directory.ts';
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../observability/logger.ts';
import { answered } from './store-answer.ts';

export type LeaseKeeperOptions = {
  readonly directory: SessionDirectory;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly leaseMs: number;
  readonly renewEveryMs: number;
  /** After so long without a renewal the session is stopped, well before the lease ends. */
  readonly selfFenceMs: number;
};

type Kept = { readonly lease: Lease; readonly onLost: () => void; renewing: boolean; cancelFence: () => void };

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
    const { clock, directory, leaseMs } = this.#options;
    const askedAtMs = clock.monotonicMs();
    const standing = await answered(clock, directory.claim(lease, leaseMs));
    if (standing !== null) return standing;
    const kept: Kept = { lease, onLost, renewing: false, cancelFence: () => {} };
    this.#kept.get(keyOf(lease))?.cancelFence();
    this.#kept.set(keyOf(lease), kept);
    this.#fence(kept, askedAtMs);
    return null;
  }

  async release(lease: Lease): Promise<void> {
    const kept = this.#kept.get(keyOf(lease));
    if (kept?.lease !== lease) return;
    this.#forget(kept);
    await answered(this.#options.clock, this.#options.directory.release(lease));
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelTimer?.();
    for (const kept of this.#kept.values()) kept.cancelFence();
  }

  #schedule(): void {
    if (this.#stopped) return;
    this.#cancelTimer = this.#options.clock.after(this.#options.renewEveryMs, () => {
      for (const kept of this.#kept.values()) if (!kept.renewing) void this.#renew(kept);
      this.#schedule();
    });
  }

  // The fence does not wait for the store's answer: a store that hangs is a reason to stop, too.
  #fence(kept: Kept, provenAtMs: number): void {
    const { clock, selfFenceMs } = this.#options;
    kept.cancelFence();
    kept.cancelFence = clock.after(provenAtMs + selfFenceMs - clock.monotonicMs(), () => this.#lose(kept));
  }

  async #renew(kept: Kept): Promise<void> {
    const { clock, directory, leaseMs, logger } = this.#options;
    const askedAtMs = clock.monotonicMs();
    kept.renewing = true;
    try {
      const isOurs = await answered(clock, directory.renew(kept.lease, leaseMs));
      if (this.#kept.get(keyOf(kept.lease)) !== kept) return;
      // From when we asked, not from when it answered: the store counted from somewhere in between.
      if (isOurs) this.#fence(kept, askedAtMs);
      else this.#lose(kept);
    } catch (error) {
      logger.warn(
        { event: 'lease_renewal_failed', session_id: kept.lease.sessionId, err: error },
        'a lease could not be renewed',
      );
    } finally {
      kept.renewing = false;
    }
  }

  #lose(kept: Kept): void {
    if (this.#kept.get(keyOf(kept.lease)) !== kept) return;
    this.#forget(kept);
    kept.onLost();
  }

  #forget(kept: Kept): void {
    kept.cancelFence();
    this.#kept.delete(keyOf(kept.lease));
  }
}

function keyOf(lease: Lease): string {
  return `${lease.tenant}/${lease.sessionId}`;
}
