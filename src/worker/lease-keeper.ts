// Keeps the leases of the sessions that this worker hosts, and says when one is lost: refused, or not
// renewed for so long, by this process's own monotonic clock, that another worker may hold it.

import type { Lease, SessionDirectory } from '../contracts/session-directory.ts';
import type { Clock } from '../core/clock.ts';
import { within } from '../core/deadline.ts';
import { ServiceError } from '../core/errors.ts';
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
  /**
   * Whether the records still say that the session is this worker's, asked when the directory cannot be:
   * who takes a session raises the epoch there first. Rejects when that is not to be had either.
   */
  readonly isStillOurs: (lease: Lease) => Promise<boolean>;
  /** The directory has lost what it knew: what lies in the same place may be lost, too. */
  readonly onDirectoryLost?: () => void;
};

type Kept = { readonly lease: Lease; readonly onLost: () => void; renewing: boolean; cancelFence: () => void };

export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions;
  readonly #kept = new Map<string, Kept>();
  #cancelTimer: (() => void) | null = null;
  /** When the directory last did not answer us: nor did it, then, let others renew. */
  #awayAtMs = -Infinity;
  #knownForMs = 0;
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

  /**
   * The directory has lost what it knew, or was away, and those that hold a session may not have renewed yet:
   * what seems free is not.
   */
  async isForgetful(): Promise<boolean> {
    const { clock, directory, leaseMs } = this.#options;
    if (clock.monotonicMs() - this.#awayAtMs < leaseMs) return true;
    return (await answered(clock, directory.knownForMs())) < leaseMs;
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
      void this.#look();
      this.#schedule();
    });
  }

  /**
   * Who has nothing to renew asks all the same: it may be given a session next. A directory may count what it has
   * known from when it is first asked, and one that has known less than before has lost what it knew.
   */
  async #look(): Promise<void> {
    const { clock, directory, onDirectoryLost } = this.#options;
    try {
      await this.#soon(
        directory.knownForMs().then((knownForMs) => {
          const isLost = knownForMs < this.#knownForMs;
          this.#knownForMs = knownForMs;
          if (isLost && !this.#stopped) onDirectoryLost?.();
        }),
      );
    } catch {
      this.#awayAtMs = clock.monotonicMs();
    }
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
    // From when we asked, not from when it answered: the store counted from somewhere in between. An answer
    // that is late is one all the same.
    const renewed = answered(clock, directory.renew(kept.lease, leaseMs)).then(async (isRenewed) => {
      const isOurs = isRenewed || (await this.#isTakenUpAgain(kept));
      if (this.#kept.get(keyOf(kept.lease)) !== kept) return;
      if (isOurs) this.#fence(kept, askedAtMs);
      else this.#lose(kept);
    });
    try {
      await this.#soon(renewed);
    } catch (error) {
      logger.warn(
        { event: 'lease_renewal_failed', session_id: kept.lease.sessionId, err: error },
        'a lease could not be renewed',
      );
      renewed.catch(() => undefined);
      this.#awayAtMs = clock.monotonicMs();
      await this.#askRecords(kept);
    } finally {
      kept.renewing = false;
    }
  }

  /**
   * A lease that ran out while the directory was away: ours again where nobody has it and the records say that
   * nobody had. It is claimed first, so that nobody can take the session behind the records' answer.
   */
  async #isTakenUpAgain(kept: Kept): Promise<boolean> {
    const { lease } = kept;
    const { clock, directory, isStillOurs, leaseMs, logger } = this.#options;
    if (this.#kept.get(keyOf(lease)) !== kept) return false;
    if ((await answered(clock, directory.claim(lease, leaseMs))) !== null) return false;
    const isOurs = await answered(clock, isStillOurs(lease)).catch(() => false);
    if (isOurs && this.#kept.get(keyOf(lease)) === kept) {
      logger.info(
        { event: 'lease_taken_up_again', session_id: lease.sessionId },
        'a lease that had run out unnoticed is kept',
      );
      return true;
    }
    await answered(clock, directory.release(lease)).catch(() => undefined);
    return false;
  }

  /** A directory that is away takes no session from anybody: nobody can claim one either, or else the epoch tells. */
  async #askRecords(kept: Kept): Promise<void> {
    const { clock, isStillOurs } = this.#options;
    const askedAtMs = clock.monotonicMs();
    const isOurs = await this.#soon(isStillOurs(kept.lease)).catch(() => null);
    if (isOurs === null || this.#kept.get(keyOf(kept.lease)) !== kept) return;
    if (isOurs) this.#fence(kept, askedAtMs);
    else this.#lose(kept);
  }

  /** Both are asked, and the answers are here, before the fence falls. */
  async #soon<T>(asked: Promise<T>): Promise<T> {
    const { clock, renewEveryMs, selfFenceMs } = this.#options;
    const answerMs = (selfFenceMs - renewEveryMs) / 3;
    const answer = await within(
      clock,
      answerMs,
      asked.then((value) => ({ value })),
      null,
    );
    if (answer === null) throw new ServiceError('store_unavailable', { waited_ms: answerMs });
    return answer.value;
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
