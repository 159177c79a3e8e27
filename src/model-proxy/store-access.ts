// The way to the grant store, with a deadline on each question. While the store is away nobody waits for it
// one by one: after a failure the next questions are answered at once.

import type { GrantStore } from '../contracts/grant-store.ts';
import type { Clock } from '../core/clock.ts';
import { isServiceError } from '../core/errors.ts';

/** The store did not answer; what it would have said is not known. */
export class StoreAway extends Error {
  constructor(cause: unknown) {
    super('the grant store does not answer', { cause });
    this.name = 'StoreAway';
  }
}

const deadlineMs = 500;
const restAfterFailureMs = 250;

export class StoreAccess {
  readonly #store: GrantStore;
  readonly #clock: Clock;
  readonly #onTurn: (isAway: boolean, error: unknown) => void;
  #restUntilMs = Number.NEGATIVE_INFINITY;
  #isAway = false;

  /** `onTurn` hears when the store goes away, and when it is back. */
  constructor(store: GrantStore, clock: Clock, onTurn: (isAway: boolean, error: unknown) => void) {
    this.#store = store;
    this.#clock = clock;
    this.#onTurn = onTurn;
  }

  get isAway(): boolean {
    return this.#isAway;
  }

  /** Rejects with the store's own refusals (`stale_epoch`, `grant_not_found`), else with StoreAway. */
  async ask<T>(question: (store: GrantStore) => Promise<T>): Promise<T> {
    if (this.#clock.monotonicMs() < this.#restUntilMs) throw new StoreAway('it failed a moment ago');
    const late = Promise.withResolvers<never>();
    const cancel = this.#clock.after(deadlineMs, () => late.reject(new Error(`no answer within ${deadlineMs} ms`)));
    try {
      const answer = await Promise.race([question(this.#store), late.promise]);
      this.#turn(false, null);
      return answer;
    } catch (error) {
      if (isServiceError(error, 'stale_epoch') || isServiceError(error, 'grant_not_found')) {
        this.#turn(false, null);
        throw error;
      }
      this.#restUntilMs = this.#clock.monotonicMs() + restAfterFailureMs;
      this.#turn(true, error);
      throw new StoreAway(error);
    } finally {
      cancel();
    }
  }

  #turn(isAway: boolean, error: unknown): void {
    if (isAway === this.#isAway) return;
    this.#isAway = isAway;
    this.#onTurn(isAway, error);
  }
}
