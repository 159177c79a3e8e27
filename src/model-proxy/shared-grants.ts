// The grants of this proxy and, through the store, those of the others. A call of a grant that nobody knows
// yet waits a moment: its worker, or the proxy that knows it, may be about to say so.

import type { GrantStore, StoredGrant, TurnTally } from '../contracts/grant-store.ts';
import type { Grant, GrantId, GrantRequest } from '../contracts/model-grants.ts';
import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import type { TurnId } from '../core/ids.ts';
import { bearerTokenOf } from '../http/bearer.ts';
import type { Logger } from '../observability/logger.ts';
import { type CutWhy, type GrantTable, hashOfCredential, type OpenCall, sessionTag } from './grants.ts';
import { GrantSync } from './grant-sync.ts';
import { ModelRefusal } from './refusal.ts';
import { StoreAway } from './store-access.ts';

export type SharedGrantsParts = {
  readonly table: GrantTable;
  readonly store: GrantStore;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** How long a call waits for somebody to know its credential, and how often it looks. */
const patienceMs = 4000;
const lookAgainMs = 100;
const maxWaiting = 1000;
/** What is shaped otherwise was never a credential of ours. */
const credentialPattern = /^cfg_[\w-]{43}$/;

export class SharedGrants {
  readonly #table: GrantTable;
  readonly #sync: GrantSync;
  readonly #clock: Clock;
  readonly #openCalls = new Map<GrantId, number>();
  #waiting = 0;
  #isStopped = false;

  constructor(parts: SharedGrantsParts) {
    this.#table = parts.table;
    this.#clock = parts.clock;
    this.#sync = new GrantSync({ ...parts, inUse: () => [...this.#openCalls.keys()] });
  }

  start(): void {
    this.#sync.start();
  }

  /** Ends calls under way; their grants go on at other proxies. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#sync.stop();
    this.#table.endAll();
  }

  get size(): number {
    return this.#table.size;
  }

  get openCallCount(): number {
    return [...this.#openCalls.values()].reduce((sum, calls) => sum + calls, 0);
  }

  get isStoreAway(): boolean {
    return this.#sync.isStoreAway;
  }

  async issue(request: GrantRequest): Promise<Grant> {
    const grant = this.#table.issue(request);
    await this.#sync.save(grant.id);
    return grant;
  }

  /** What its worker remembers of a grant that nobody here knows any more. */
  async restore(grant: StoredGrant): Promise<void> {
    if (!grant.id.startsWith(`${sessionTag(grant.request)}.`)) {
      throw new ServiceError('invalid_request', { errors: [{ field: 'id', message: 'is of another session' }] });
    }
    this.#table.install(grant);
    await this.#sync.save(grant.id);
  }

  /** Those of which nobody knows, or not this state. */
  async missing(wanted: readonly { readonly id: GrantId; readonly revision: number }[]): Promise<GrantId[]> {
    const isKnown = ({ id, revision }: { id: GrantId; revision: number }): boolean =>
      (this.#table.stored(id)?.revision ?? -1) >= revision;
    // Those that are known are looked at as well: a store that lost them gets them again.
    const unsure = wanted.filter((one) => !isKnown(one) || !this.#sync.isFresh(one.id));
    await Promise.all(unsure.map(({ id }) => this.#sync.look(id)));
    return wanted.filter((one) => !isKnown(one)).map(({ id }) => id);
  }

  async beginTurn(id: GrantId, turnId: TurnId, revision?: number, traceparent?: string | null): Promise<void> {
    if (this.#table.stored(id) === null) await this.#sync.look(id);
    this.#table.beginTurn(id, turnId, revision, traceparent);
    await this.#sync.save(id);
  }

  async endTurn(id: GrantId, turnId: TurnId, revision?: number): Promise<TurnTally> {
    const isKnown = this.#table.stored(id)?.turn === turnId || (await this.#sync.look(id));
    // Its worker remembers it, and says it again with all that belongs to it.
    if (!isKnown && this.#table.stored(id) === null) throw new ServiceError('grant_not_found');
    const uncounted = this.#table.takeUncounted(id, turnId);
    const tally = this.#table.endTurn(id, turnId, revision);
    if (this.#table.stored(id) === null) return tally;
    const counted = this.#sync.ask((store) => store.count(id, turnId, uncounted));
    const all = await counted.catch(() => tally);
    await this.#sync.save(id);
    return all.calls >= tally.calls ? all : tally;
  }

  async revoke(id: GrantId): Promise<void> {
    this.#table.revoke(id);
    await this.#sync.save(id);
  }

  /** `cut` as in GrantTable.openCall; `signal` is the client's patience. */
  async openCall(
    authorization: string | undefined,
    cut: (why: CutWhy) => void,
    signal: AbortSignal,
  ): Promise<OpenCall> {
    await this.#know(authorization, signal, (known) => known.turn !== null);
    const call = this.#table.openCall(authorization, cut);
    const { grantId, turnId } = call;
    this.#openCalls.set(grantId, (this.#openCalls.get(grantId) ?? 0) + 1);
    this.#sync.beginLooking();
    return {
      ...call,
      close: () => {
        call.close();
        const left = (this.#openCalls.get(grantId) ?? 1) - 1;
        if (left > 0) this.#openCalls.set(grantId, left);
        else this.#openCalls.delete(grantId);
        void this.#count(grantId, turnId);
      },
    };
  }

  /** Refuses unless the credential is a live one, running turn or not. */
  async checkCredential(authorization: string | undefined, signal: AbortSignal): Promise<void> {
    await this.#know(authorization, signal, () => true);
    this.#table.checkCredential(authorization);
  }

  /** Resolves when the table can answer for the credential; refuses, in a way that is tried again, when nobody can. */
  async #know(
    authorization: string | undefined,
    signal: AbortSignal,
    suffices: (known: StoredGrant) => boolean,
  ): Promise<void> {
    const credential = bearerTokenOf(authorization);
    if (credential === null || !credentialPattern.test(credential)) return;
    const hash = hashOfCredential(credential);
    const endMs = this.#clock.monotonicMs() + patienceMs;
    for (;;) {
      const answer = await this.#answerFor(hash, suffices);
      if (answer === 'settled') return;
      if (this.#clock.monotonicMs() >= endMs || this.#waiting >= maxWaiting || this.#isStopped) {
        if (answer === 'unknown' && !(await this.#sync.isRefilling())) return;
        throw new ModelRefusal('grants_unavailable');
      }
      this.#waiting += 1;
      await new Promise<void>((resolve) => this.#clock.after(lookAgainMs, resolve));
      this.#waiting -= 1;
      signal.throwIfAborted();
    }
  }

  /** Of all but `settled`, a worker or another proxy may know better in a moment. */
  async #answerFor(
    hash: string,
    suffices: (known: StoredGrant) => boolean,
  ): Promise<'settled' | 'unknown' | 'unanswered'> {
    const id = this.#table.idOf(hash);
    const known = id === null ? null : this.#table.stored(id);
    if (known !== null) {
      if (suffices(known) && this.#sync.isFresh(known.id)) return 'settled';
      const isAnswered = await this.#sync.look(known.id);
      const now = this.#table.stored(known.id);
      if (now === null || suffices(now)) return 'settled';
      return isAnswered && !(await this.#sync.hasStoreLostData()) ? 'settled' : 'unanswered';
    }
    if (this.#table.hasEnded(hash)) return 'settled';
    try {
      const found = await this.#sync.ask((store) => store.findByCredential(hash));
      if (found === null) return 'unknown';
      this.#sync.adopt(found, hash);
      return 'settled';
    } catch (error) {
      if (error instanceof StoreAway) return 'unanswered';
      throw error;
    }
  }

  async #count(id: GrantId, turnId: TurnId): Promise<void> {
    const used = this.#table.takeUncounted(id, turnId);
    if (used.calls === 0) return;
    try {
      const all = await this.#sync.ask((store) => store.count(id, turnId, used));
      this.#table.hearOfCalls(id, turnId, all.calls);
    } catch {
      // Counting is for people; the budget of calls goes on with what is known here.
    }
  }
}
