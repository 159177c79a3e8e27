// Who may call the model now, as far as this process knows: one credential per binding, kept as a hash, good
// while its turn runs and no later epoch of the session exists. Counts calls and tokens per turn. Does no
// I/O: what other proxies know is for shared-grants.ts.

import { createHash, randomBytes, randomUUID } from 'node:crypto';
import type { StoredGrant, TurnTally } from '../contracts/grant-store.ts';
import type { Grant, GrantId, GrantRequest } from '../contracts/model-grants.ts';
import { ServiceError } from '../core/errors.ts';
import type { TurnId } from '../core/ids.ts';
import { addUsage, noUsage } from '../core/usage.ts';
import type { Usage } from '../core/usage.ts';
import { bearerTokenOf } from '../http/bearer.ts';
import { ModelRefusal } from './refusal.ts';

export type GrantLimits = {
  readonly maxGrants: number;
  /** Calls of the provider, repetitions included. */
  readonly maxCallsPerTurn: number;
  readonly maxConcurrentCalls: number;
};

export const defaultGrantLimits: GrantLimits = { maxGrants: 10_000, maxCallsPerTurn: 2000, maxConcurrentCalls: 16 };

/** `stopping`: the grant is as good as before, at another proxy or at this one's next start. */
export type CutWhy = 'turn_ended' | 'stopping';

/** A call that was let in. It must be closed, whatever happens. */
export type OpenCall = {
  readonly grantId: GrantId;
  readonly request: GrantRequest;
  readonly turnId: TurnId;
  /** Of the turn; null where it is not traced. */
  readonly traceparent: string | null;
  /** Before each call of the provider; refuses when the turn's budget is used up. */
  countAttempt(): void;
  addUsage(usage: Usage): void;
  close(): void;
};

type RunningTurn = {
  readonly id: TurnId;
  readonly traceparent: string | null;
  calls: number;
  usage: Usage;
  /** What was not taken out by takeUncounted() yet. */
  uncounted: TurnTally;
  readonly cuts: Set<(why: CutWhy) => void>;
};

type Held = {
  readonly id: GrantId;
  readonly request: GrantRequest;
  readonly hash: string;
  turn: RunningTurn | null;
  revision: number;
};

const maxRemembered = 100_000;
const nothingUsed: TurnTally = { calls: 0, usage: noUsage };

export class GrantTable {
  readonly #limits: GrantLimits;
  readonly #byId = new Map<GrantId, Held>();
  readonly #byHash = new Map<string, Held>();
  /** The highest epoch seen of each session; the longest untouched is forgotten first. */
  readonly #epochs = new Map<string, number>();
  /** Hashes of credentials that were ours: their bearer is told that it ended, not that it is unknown. */
  readonly #ended = new Map<string, true>();

  constructor(limits: GrantLimits) {
    this.#limits = limits;
  }

  issue(request: GrantRequest): Grant {
    this.#enter(request);
    const credential = `cfg_${randomBytes(32).toString('base64url')}`;
    const id = `${sessionTag(request)}.${randomUUID()}`;
    this.#hold({ id, request, hash: hashOfCredential(credential), turn: null, revision: 1 });
    return { id, credential };
  }

  /** What a worker or another proxy knows of a grant, where it is news. An end that happened here stands. */
  install({ id, request, credentialSha256: hash, turn, traceparent, revision }: StoredGrant): void {
    let held = this.#byId.get(id);
    if (held === undefined) {
      if (this.#ended.has(hash)) throw new ServiceError('grant_not_found');
      this.#enter(request);
      held = { id, request, hash, turn: null, revision: 0 };
      this.#hold(held);
    }
    if (revision <= held.revision) return;
    held.revision = revision;
    if (turn === null) this.#endTurn(held);
    else this.#beginTurn(held, turn, traceparent ?? null);
  }

  /** The same turn twice is harmless; another one takes its place. A revision that came before is ignored. */
  beginTurn(id: GrantId, turnId: TurnId, revision?: number, traceparent: string | null = null): void {
    const held = this.#byId.get(id);
    if (held === undefined) throw new ServiceError('grant_not_found');
    if (raise(held, revision)) this.#beginTurn(held, turnId, traceparent);
  }

  /** What the turn used; nothing when it was not the one that runs, which is harmless. */
  endTurn(id: GrantId, turnId: TurnId, revision?: number): TurnTally {
    const held = this.#byId.get(id);
    const turn = held?.turn;
    if (held === undefined || turn === undefined) return nothingUsed;
    if (turn?.id !== turnId) {
      // It began at another proxy. What runs here by the word of its worker has ended before.
      if (revision !== undefined && raise(held, revision)) this.#endTurn(held);
      return nothingUsed;
    }
    if (!raise(held, revision)) return nothingUsed;
    this.#endTurn(held);
    return { calls: turn.calls, usage: turn.usage };
  }

  revoke(id: GrantId): void {
    const held = this.#byId.get(id);
    if (held !== undefined) this.#end(held);
  }

  /** Somebody else knows of an end, or of a later epoch. */
  hearOfEnd(hash: string): void {
    remember(this.#ended, hash, true);
  }

  hearOfEpoch(request: GrantRequest, epoch: number): void {
    this.#raiseEpoch(sessionKey(request), epoch);
  }

  /** Another proxy holds it as well: its bearer is not told that it ended. */
  forget(id: GrantId): void {
    const held = this.#byId.get(id);
    if (held === undefined || held.turn !== null) return;
    this.#byId.delete(id);
    this.#byHash.delete(held.hash);
  }

  stored(id: GrantId): StoredGrant | null {
    const held = this.#byId.get(id);
    if (held === undefined) return null;
    const { request, hash, turn, revision } = held;
    const traced = turn === null || turn.traceparent === null ? {} : { traceparent: turn.traceparent };
    return { id, request, credentialSha256: hash, turn: turn?.id ?? null, ...traced, revision };
  }

  idOf(hash: string): GrantId | null {
    return this.#byHash.get(hash)?.id ?? null;
  }

  hasEnded(hash: string): boolean {
    return this.#ended.has(hash);
  }

  ids(): readonly GrantId[] {
    return [...this.#byId.keys()];
  }

  /** What the turn used since this was asked last. */
  takeUncounted(id: GrantId, turnId: TurnId): TurnTally {
    const turn = this.#byId.get(id)?.turn;
    if (turn?.id !== turnId) return nothingUsed;
    const { uncounted } = turn;
    turn.uncounted = nothingUsed;
    return uncounted;
  }

  /** The calls that the turn made at all proxies together. */
  hearOfCalls(id: GrantId, turnId: TurnId, calls: number): void {
    const turn = this.#byId.get(id)?.turn;
    if (turn?.id === turnId) turn.calls = Math.max(turn.calls, calls);
  }

  /** `cut` is called at most once, when the turn or the grant ends before the call does. */
  openCall(authorization: string | undefined, cut: (why: CutWhy) => void): OpenCall {
    const held = this.#heldBy(authorization);
    const turn = held.turn;
    if (turn === null) throw new ModelRefusal('no_running_turn');
    if (turn.cuts.size >= this.#limits.maxConcurrentCalls) throw new ModelRefusal('too_many_calls');
    turn.cuts.add(cut);
    return {
      grantId: held.id,
      request: held.request,
      turnId: turn.id,
      traceparent: turn.traceparent,
      countAttempt: () => {
        if (turn.calls >= this.#limits.maxCallsPerTurn) throw new ModelRefusal('turn_budget_exhausted');
        turn.calls += 1;
        turn.uncounted = { ...turn.uncounted, calls: turn.uncounted.calls + 1 };
      },
      addUsage: (usage) => {
        turn.usage = addUsage(turn.usage, usage);
        turn.uncounted = { ...turn.uncounted, usage: addUsage(turn.uncounted.usage, usage) };
      },
      close: () => {
        turn.cuts.delete(cut);
      },
    };
  }

  /** Throws unless the credential is a live one, running turn or not. */
  checkCredential(authorization: string | undefined): void {
    this.#heldBy(authorization);
  }

  get size(): number {
    return this.#byId.size;
  }

  endAll(): void {
    for (const held of this.#byId.values()) this.#end(held, 'stopping');
  }

  /** Looked up by its hash: how long that takes says nothing about the credential. */
  #heldBy(authorization: string | undefined): Held {
    const credential = bearerTokenOf(authorization);
    if (credential === null) throw new ModelRefusal('invalid_api_key');
    const hash = hashOfCredential(credential);
    const held = this.#byHash.get(hash);
    if (held === undefined) throw new ModelRefusal(this.#ended.has(hash) ? 'grant_ended' : 'invalid_api_key');
    return held;
  }

  /** Refuses an epoch that is over, ends those before a new one, and keeps to the limit. */
  #enter(request: GrantRequest): void {
    const session = sessionKey(request);
    const newest = this.#epochs.get(session) ?? 0;
    if (request.epoch < newest) throw new ServiceError('stale_epoch', { epoch: newest });
    this.#raiseEpoch(session, request.epoch);
    if (this.#byId.size >= this.#limits.maxGrants) {
      throw new ServiceError('queue_full', { limit: this.#limits.maxGrants });
    }
  }

  #raiseEpoch(session: string, epoch: number): void {
    const newest = this.#epochs.get(session) ?? 0;
    if (epoch > newest) {
      const earlier = [...this.#byId.values()].filter(({ request }) => sessionKey(request) === session);
      for (const held of earlier) this.#end(held);
    }
    remember(this.#epochs, session, Math.max(epoch, newest));
  }

  #hold(held: Held): void {
    this.#byId.set(held.id, held);
    this.#byHash.set(held.hash, held);
  }

  #beginTurn(held: Held, turnId: TurnId, traceparent: string | null): void {
    if (held.turn?.id === turnId) return;
    this.#endTurn(held);
    held.turn = { id: turnId, traceparent, calls: 0, usage: noUsage, uncounted: nothingUsed, cuts: new Set() };
  }

  #end(held: Held, why: CutWhy = 'turn_ended'): void {
    this.#endTurn(held, why);
    this.#byId.delete(held.id);
    this.#byHash.delete(held.hash);
    remember(this.#ended, held.hash, true);
  }

  #endTurn(held: Held, why: CutWhy = 'turn_ended'): void {
    const cuts = held.turn?.cuts ?? [];
    held.turn = null;
    for (const cut of cuts) cut(why);
  }
}

export function hashOfCredential(credential: string): string {
  return createHash('sha256').update(credential).digest('hex');
}

/** What the ids of a session's grants begin with. */
export function sessionTag(request: GrantRequest): string {
  return createHash('sha256').update(sessionKey(request)).digest('base64url').slice(0, 22);
}

/** false: a later change is known. */
function raise(held: Held, revision: number | undefined): boolean {
  if (revision !== undefined && revision <= held.revision) return false;
  held.revision = revision ?? held.revision + 1;
  return true;
}

function sessionKey(request: GrantRequest): string {
  return JSON.stringify([request.tenant, request.sessionId]);
}

function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= maxRemembered) return;
  const oldest = map.keys().next();
  if (oldest.done !== true) map.delete(oldest.value);
}
