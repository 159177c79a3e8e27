// Keeps the messages in hand ours: their leases are extended again and again, up to a bound. One whose bound
// has passed becomes another reader's; who holds it here is not told, for handling it twice is harmless.

import type { Clock } from '../../core/clock.ts';
import type { SubscriptionCalls } from './pubsub-subscription.ts';

export type LeaseKeeperOptions = {
  readonly calls: Pick<SubscriptionCalls, 'extend'>;
  readonly clock: Clock;
  readonly leaseMs: number;
  /** From when it was taken. */
  readonly longestHoldMs: number;
};

type Lease = { untilMs: number; readonly lastExtensionMs: number };

const mostIdsPerCall = 1_000;

export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions;
  readonly #leases = new Map<string, Lease>();
  #cancelRound: (() => void) | null = null;
  #isExtending = false;

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
  }

  add(ackId: string): void {
    const { clock, leaseMs, longestHoldMs } = this.#options;
    const nowMs = clock.monotonicMs();
    this.#leases.set(ackId, { untilMs: nowMs + leaseMs, lastExtensionMs: nowMs + longestHoldMs });
    this.#cancelRound ??= clock.after(this.#roundMs, () => this.#round());
  }

  remove(ackId: string): void {
    this.#leases.delete(ackId);
    if (this.#leases.size === 0) this.stop();
  }

  /** All of them are let go. */
  stop(): void {
    this.#leases.clear();
    this.#cancelRound?.();
    this.#cancelRound = null;
  }

  /** Three rounds fit into a lease: one that failed is made up for. */
  get #roundMs(): number {
    return this.#options.leaseMs / 4;
  }

  #round(): void {
    this.#cancelRound = this.#options.clock.after(this.#roundMs, () => this.#round());
    if (!this.#isExtending) void this.#extend();
  }

  async #extend(): Promise<void> {
    const { calls, clock, leaseMs } = this.#options;
    const nowMs = clock.monotonicMs();
    const due = [...this.#leases].filter(([, lease]) => lease.untilMs - nowMs <= leaseMs * 0.8);
    const kept = due.filter(([, lease]) => nowMs <= lease.lastExtensionMs).map(([ackId]) => ackId);
    this.#isExtending = true;
    try {
      for (let from = 0; from < kept.length; from += mostIdsPerCall) {
        const ackIds = kept.slice(from, from + mostIdsPerCall);
        const askedMs = clock.monotonicMs();
        const { again, lost } = await calls.extend(ackIds, Math.round(leaseMs / 1_000));
        const refused = new Set([...again, ...lost]);
        for (const ackId of ackIds) {
          const lease = this.#leases.get(ackId);
          if (lease !== undefined && !refused.has(ackId)) lease.untilMs = askedMs + leaseMs;
        }
      }
    } finally {
      this.#isExtending = false;
    }
  }
}
