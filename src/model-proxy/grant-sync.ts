// Keeps what this proxy knows of grants and what the store knows of them the same. Of two states the later
// revision stands, an end for good; what the store could not be told is told when it is back.

import type { FoundGrant, GrantStore } from '../contracts/grant-store.ts';
import type { GrantId } from '../contracts/model-grants.ts';
import type { Clock } from '../core/clock.ts';
import { isServiceError } from '../core/errors.ts';
import { Round } from '../core/round.ts';
import type { Logger } from '../observability/logger.ts';
import type { GrantTable } from './grants.ts';
import { ModelRefusal } from './refusal.ts';
import { StoreAccess, StoreAway } from './store-access.ts';

export type GrantSyncParts = {
  readonly table: GrantTable;
  readonly store: GrantStore;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Looked at in each round: a call may not outlive its turn. */
  readonly inUse: () => readonly GrantId[];
};

/** What is known of a grant is good for so long. */
const freshMs = 1500;
const lookAtUsedMs = 1000;
/** A store that lost what it knew is filled again by proxies and workers in this time. */
const refillMs = 10_000;
const retryMs = 500;
const atOnce = 50;
const maxUnsaved = 20_000;
const sweepMs = 60_000;
const idleMs = 10 * 60_000;

export class GrantSync {
  readonly #parts: GrantSyncParts;
  readonly #table: GrantTable;
  readonly #access: StoreAccess;
  readonly #clock: Clock;
  readonly #bornMs: number;
  readonly #lookedAtMs = new Map<GrantId, number>();
  readonly #unsaved = new Set<GrantId>();
  readonly #rounds: { readonly look: Round; readonly retry: Round; readonly sweep: Round };
  #lastAwayMs = Number.NEGATIVE_INFINITY;
  #stopListening: () => void = () => {};

  constructor(parts: GrantSyncParts) {
    const { clock, logger } = parts;
    this.#parts = parts;
    this.#table = parts.table;
    this.#clock = clock;
    this.#bornMs = clock.monotonicMs();
    this.#access = new StoreAccess(parts.store, clock, (isAway, error) => {
      if (isAway) logger.warn({ event: 'grant_store_away', err: error }, 'The grant store is away');
      else logger.info({ event: 'grant_store_back' }, 'The grant store is back');
      this.#lastAwayMs = clock.monotonicMs();
    });
    const round = (everyMs: number, work: () => Promise<unknown>, goesOn: () => boolean): Round => {
      const onError = (error: unknown): void =>
        logger.error({ event: 'grants_upkeep_failed', err: error }, 'Upkeep of grants failed');
      return new Round({ clock, pauseMs: () => everyMs, work, goesOn, onError });
    };
    this.#rounds = {
      look: round(
        lookAtUsedMs,
        () => this.#inBatches(parts.inUse(), (id) => this.look(id)),
        () => parts.inUse().length > 0,
      ),
      retry: round(
        retryMs,
        () => this.#saveUnsaved(),
        () => this.#unsaved.size > 0,
      ),
      sweep: round(
        sweepMs,
        async () => this.#sweep(),
        () => true,
      ),
    };
  }

  start(): void {
    this.#stopListening = this.#parts.store.onChange(({ id, revision }) => {
      const known = this.#table.stored(id);
      if (known === null) return;
      if (revision === null) this.#table.revoke(id);
      else if (revision > known.revision) void this.look(id);
    });
    this.#rounds.sweep.begin();
    // A store counts from when it is first asked.
    void this.#storeAgeMs();
  }

  /** What cannot be written now is left for the workers to say again. */
  async stop(): Promise<void> {
    this.#stopListening();
    for (const round of Object.values(this.#rounds)) round.stop();
    await this.#saveUnsaved();
  }

  /** Some grant is in use. */
  beginLooking(): void {
    this.#rounds.look.begin();
  }

  get isStoreAway(): boolean {
    return this.#access.isAway;
  }

  /** As StoreAccess.ask. */
  ask<T>(question: (store: GrantStore) => Promise<T>): Promise<T> {
    return this.#access.ask(question);
  }

  isFresh(id: GrantId): boolean {
    return this.#clock.monotonicMs() - (this.#lookedAtMs.get(id) ?? Number.NEGATIVE_INFINITY) < freshMs;
  }

  /** Whether those who know more may not have had the time to say so. */
  async isRefilling(): Promise<boolean> {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - Math.max(this.#bornMs, this.#lastAwayMs) < refillMs) return true;
    return (await this.#storeAgeMs()) < refillMs;
  }

  /** In our time, not before it. */
  async hasStoreLostData(): Promise<boolean> {
    const ageMs = await this.#storeAgeMs();
    return ageMs < refillMs && ageMs + freshMs < this.#clock.monotonicMs() - this.#bornMs;
  }

  async #storeAgeMs(): Promise<number> {
    return await this.#access.ask((store) => store.knownForMs()).catch(() => 0);
  }

  /** Asks what the others know of it. false: the store did not answer, what is known here stands. */
  async look(id: GrantId): Promise<boolean> {
    const askedAtMs = this.#clock.monotonicMs();
    const hash = this.#table.stored(id)?.credentialSha256 ?? null;
    try {
      const found = await this.#access.ask((store) => store.find(id));
      if (found === 'ended' || found !== null) this.adopt(found, hash);
      this.#lookedAtMs.set(id, askedAtMs);
      const mine = this.#table.stored(id);
      const standing = found === null || found === 'ended' ? -1 : found.revision;
      // The store lost it, or was away when it changed here.
      if (mine !== null && mine.revision > standing) await this.save(id);
      return true;
    } catch (error) {
      if (error instanceof StoreAway) return false;
      // Refused by the store: #save has ended it here.
      return true;
    }
  }

  adopt(found: Exclude<FoundGrant, null>, hash: string | null): void {
    if (found === 'ended') {
      if (hash === null) return;
      const id = this.#table.idOf(hash);
      if (id !== null) this.#table.revoke(id);
      this.#table.hearOfEnd(hash);
      return;
    }
    try {
      this.#table.install(found);
      this.#lookedAtMs.set(found.id, this.#clock.monotonicMs());
    } catch (error) {
      // It ended here, or a later epoch is known here, and the store has yet to hear of it.
      if (isServiceError(error, 'queue_full')) throw new ModelRefusal('overloaded');
      this.#table.hearOfEnd(found.credentialSha256);
      this.#later(found.id);
    }
  }

  /** Brings the store to what is true here. Refused by it: the grant has ended. Away: later. */
  async save(id: GrantId): Promise<void> {
    const mine = this.#table.stored(id);
    try {
      if (mine === null) {
        await this.#access.ask((store) => store.remove(id));
        this.#lookedAtMs.delete(id);
      } else {
        const standing = await this.#access.ask((store) => store.put(mine));
        this.#lookedAtMs.set(id, this.#clock.monotonicMs());
        if (standing.revision > mine.revision) this.adopt(standing, mine.credentialSha256);
      }
      if ((this.#table.stored(id)?.revision ?? null) === (mine?.revision ?? null)) this.#unsaved.delete(id);
    } catch (error) {
      if (error instanceof StoreAway) {
        this.#later(id);
        return;
      }
      this.#unsaved.delete(id);
      this.#table.revoke(id);
      const epoch = isServiceError(error, 'stale_epoch') ? error.details['epoch'] : null;
      if (mine !== null && typeof epoch === 'number') this.#table.hearOfEpoch(mine.request, epoch);
      throw error;
    }
  }

  #later(id: GrantId): void {
    this.#unsaved.add(id);
    if (this.#unsaved.size > maxUnsaved) {
      const oldest = this.#unsaved.values().next();
      if (oldest.done !== true) this.#unsaved.delete(oldest.value);
    }
    this.#rounds.retry.begin();
  }

  /** A refusal has ended the grant here: that is all there is to do. */
  #saveUnsaved(): Promise<void> {
    return this.#inBatches([...this.#unsaved], (id) => this.save(id));
  }

  async #inBatches(ids: readonly GrantId[], work: (id: GrantId) => Promise<unknown>): Promise<void> {
    for (let at = 0; at < ids.length; at += atOnce) {
      await Promise.allSettled(ids.slice(at, at + atOnce).map(work));
      if (this.#access.isAway) return;
    }
  }

  /** Grants that another proxy's worker uses, or ended unheard, do not stay for ever. */
  #sweep(): void {
    const used = new Set(this.#parts.inUse());
    const beforeMs = this.#clock.monotonicMs() - idleMs;
    for (const id of this.#table.ids()) {
      if (this.#unsaved.has(id) || used.has(id)) continue;
      if ((this.#lookedAtMs.get(id) ?? Number.NEGATIVE_INFINITY) < beforeMs) this.#table.forget(id);
    }
    for (const id of this.#lookedAtMs.keys()) if (this.#table.stored(id) === null) this.#lookedAtMs.delete(id);
  }
}
