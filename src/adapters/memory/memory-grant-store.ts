// A grant store in memory: for a model proxy that stands alone.

import type { FoundGrant, GrantChange, GrantStore, StoredGrant, TurnTally } from '../../contracts/grant-store.ts';
import type { GrantId } from '../../contracts/model-grants.ts';
import type { Clock } from '../../core/clock.ts';
import { ServiceError } from '../../core/errors.ts';
import type { TurnId } from '../../core/ids.ts';
import { addUsage, noUsage } from '../../core/usage.ts';

type Kept = { grant: StoredGrant; tally: TurnTally };

/** The longest untouched is forgotten first. */
const maxRemembered = 100_000;
const nothingUsed: TurnTally = { calls: 0, usage: noUsage };

export class MemoryGrantStore implements GrantStore {
  readonly #clock: Clock;
  readonly #bornMs: number;
  readonly #byId = new Map<GrantId, Kept>();
  readonly #idOf = new Map<string, GrantId>();
  /** By what a session's ids begin with. */
  readonly #sessions = new Map<string, { readonly epoch: number; readonly ids: Set<GrantId> }>();
  readonly #ended = new Map<GrantId, true>();
  readonly #endedCredentials = new Map<string, true>();
  readonly #listeners = new Set<(change: GrantChange) => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#bornMs = clock.monotonicMs();
  }

  async put(grant: StoredGrant): Promise<StoredGrant> {
    const { id, request, revision } = grant;
    const kept = this.#byId.get(id);
    if (kept === undefined && this.#ended.has(id)) throw new ServiceError('grant_not_found');
    const session = this.#sessionOf(id, request.epoch);
    if (kept !== undefined && kept.grant.revision >= revision) return kept.grant;
    const isSameTurn = kept !== undefined && kept.grant.turn === grant.turn;
    this.#byId.set(id, { grant, tally: isSameTurn ? kept.tally : nothingUsed });
    this.#idOf.set(grant.credentialSha256, id);
    session.ids.add(id);
    this.#tell({ id, revision });
    return grant;
  }

  async find(id: GrantId): Promise<FoundGrant> {
    return this.#byId.get(id)?.grant ?? (this.#ended.has(id) ? 'ended' : null);
  }

  async findByCredential(credentialSha256: string): Promise<FoundGrant> {
    const id = this.#idOf.get(credentialSha256);
    if (id !== undefined) return await this.find(id);
    return this.#endedCredentials.has(credentialSha256) ? 'ended' : null;
  }

  async remove(id: GrantId): Promise<void> {
    this.#end(id);
  }

  async count(id: GrantId, turn: TurnId, used: TurnTally): Promise<TurnTally> {
    const kept = this.#byId.get(id);
    if (kept === undefined || kept.grant.turn !== turn) return nothingUsed;
    kept.tally = { calls: kept.tally.calls + used.calls, usage: addUsage(kept.tally.usage, used.usage) };
    return kept.tally;
  }

  onChange(listener: (change: GrantChange) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  async knownForMs(): Promise<number> {
    return this.#clock.monotonicMs() - this.#bornMs;
  }

  #sessionOf(id: GrantId, epoch: number): { readonly ids: Set<GrantId> } {
    const key = id.split('.', 1)[0] ?? id;
    const known = this.#sessions.get(key);
    if (known !== undefined && epoch < known.epoch) throw new ServiceError('stale_epoch', { epoch: known.epoch });
    if (known?.epoch === epoch) return known;
    for (const earlier of known?.ids ?? []) this.#end(earlier);
    const begun = { epoch, ids: new Set<GrantId>() };
    remember(this.#sessions, key, begun);
    return begun;
  }

  #end(id: GrantId): void {
    const isFirst = !this.#ended.has(id);
    remember(this.#ended, id, true);
    const kept = this.#byId.get(id);
    if (kept !== undefined) {
      const { credentialSha256 } = kept.grant;
      this.#byId.delete(id);
      this.#idOf.delete(credentialSha256);
      this.#sessions.get(id.split('.', 1)[0] ?? id)?.ids.delete(id);
      remember(this.#endedCredentials, credentialSha256, true);
    }
    if (isFirst) this.#tell({ id, revision: null });
  }

  #tell(change: GrantChange): void {
    for (const listener of this.#listeners) listener(change);
  }
}

function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= maxRemembered) return;
  const oldest = map.keys().next();
  if (oldest.done !== true) map.delete(oldest.value);
}
