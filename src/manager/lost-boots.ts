// The runs of workers that are gone, and how that is known. Remembers the latest of them.

import type { Clock } from '../core/clock.ts';
import type { WorkerId } from '../core/ids.ts';

/**
 * refused: nothing listens at its address. replaced: a later boot has its name. Both prove it.
 * silent: not heard of for a whole lease. withdrawn: it said so itself.
 */
export type LossEvidence = 'refused' | 'replaced' | 'silent' | 'withdrawn';

export type LostBoot = { readonly id: WorkerId; readonly boot: string; readonly evidence: LossEvidence };

/** What is forgotten is judged anew, by what the registry knows: later, and with the same result. */
const mostRemembered = 10_000;

export class LostBoots {
  readonly #clock: Clock;
  /** The latest last. */
  readonly #lost = new Map<string, LostBoot & { readonly atMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(id: WorkerId, boot: string, evidence: LossEvidence): void {
    const name = `${id}/${boot}`;
    this.#lost.delete(name);
    this.#lost.set(name, { id, boot, evidence, atMs: this.#clock.monotonicMs() });
    for (const oldest of this.#lost.keys()) {
      if (this.#lost.size <= mostRemembered) break;
      this.#lost.delete(oldest);
    }
  }

  remove(id: WorkerId, boot: string): void {
    this.#lost.delete(`${id}/${boot}`);
  }

  evidenceOf(id: WorkerId, boot: string): LossEvidence | null {
    return this.#lost.get(`${id}/${boot}`)?.evidence ?? null;
  }

  /** How many were lost in the last so many milliseconds, not those that withdrew. */
  countSince(periodMs: number): number {
    const sinceMs = this.#clock.monotonicMs() - periodMs;
    return [...this.#lost.values()].filter(({ atMs, evidence }) => atMs > sinceMs && evidence !== 'withdrawn').length;
  }

  /** The newest first. */
  lately(limit: number): readonly LostBoot[] {
    return [...this.#lost.values()]
      .slice(-limit)
      .reverse()
      .map(({ id, boot, evidence }) => ({ id, boot, evidence }));
  }
}
