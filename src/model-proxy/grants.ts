// Who may call the model now: one credential per binding, kept as a hash, good while its turn runs
// and no later epoch of the session exists. Counts calls and tokens per turn. Does no I/O.

import { createHash, randomBytes, randomUUID } from 'node:crypto';
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

export type TurnTally = { readonly calls: number; readonly usage: Usage };

/** A call that was let in. It must be closed, whatever happens. */
export type OpenCall = {
  readonly request: GrantRequest;
  readonly turnId: TurnId;
  /** Before each call of the provider; refuses when the turn's budget is used up. */
  countAttempt(): void;
  addUsage(usage: Usage): void;
  close(): void;
};

type RunningTurn = {
  readonly id: TurnId;
  calls: number;
  usage: Usage;
  readonly cuts: Set<() => void>;
};

type Held = { readonly id: GrantId; readonly request: GrantRequest; readonly hash: string; turn: RunningTurn | null };

const maxRemembered = 100_000;

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
    const session = sessionKey(request);
    const newest = this.#epochs.get(session) ?? 0;
    if (request.epoch < newest) throw new ServiceError('stale_epoch', { epoch: newest });
    if (request.epoch > newest) {
      for (const held of this.#byId.values()) if (sessionKey(held.request) === session) this.#end(held);
    }
    if (this.#byId.size >= this.#limits.maxGrants) {
      throw new ServiceError('queue_full', { limit: this.#limits.maxGrants });
    }
    remember(this.#epochs, session, request.epoch);

    const credential = `cfg_${randomBytes(32).toString('base64url')}`;
    const held: Held = { id: randomUUID(), request, hash: hashOf(credential), turn: null };
    this.#byId.set(held.id, held);
    this.#byHash.set(held.hash, held);
    return { id: held.id, credential };
  }

  /** The same turn twice is harmless; another one takes its place. */
  beginTurn(id: GrantId, turnId: TurnId): void {
    const held = this.#byId.get(id);
    if (held === undefined) throw new ServiceError('grant_not_found');
    if (held.turn?.id === turnId) return;
    this.#endTurn(held);
    held.turn = { id: turnId, calls: 0, usage: noUsage, cuts: new Set() };
  }

  /** What the turn used; nothing when it was not the one that runs, which is harmless. */
  endTurn(id: GrantId, turnId: TurnId): TurnTally {
    const held = this.#byId.get(id);
    const turn = held?.turn;
    if (held === undefined || turn === undefined || turn?.id !== turnId) return { calls: 0, usage: noUsage };
    this.#endTurn(held);
    return { calls: turn.calls, usage: turn.usage };
  }

  revoke(id: GrantId): void {
    const held = this.#byId.get(id);
    if (held !== undefined) this.#end(held);
  }

  /** `cut` is called at most once, when the turn or the grant ends before the call does. */
  openCall(authorization: string | undefined, cut: () => void): OpenCall {
    const held = this.#heldBy(authorization);
    const turn = held.turn;
    if (turn === null) throw new ModelRefusal('no_running_turn');
    if (turn.cuts.size >= this.#limits.maxConcurrentCalls) throw new ModelRefusal('too_many_calls');
    turn.cuts.add(cut);
    return {
      request: held.request,
      turnId: turn.id,
      countAttempt: () => {
        if (turn.calls >= this.#limits.maxCallsPerTurn) throw new ModelRefusal('turn_budget_exhausted');
        turn.calls += 1;
      },
      addUsage: (usage) => {
        turn.usage = addUsage(turn.usage, usage);
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
    for (const held of this.#byId.values()) this.#end(held);
  }

  /** Looked up by its hash: how long that takes says nothing about the credential. */
  #heldBy(authorization: string | undefined): Held {
    const credential = bearerTokenOf(authorization);
    if (credential === null) throw new ModelRefusal('invalid_api_key');
    const hash = hashOf(credential);
    const held = this.#byHash.get(hash);
    if (held === undefined) throw new ModelRefusal(this.#ended.has(hash) ? 'grant_ended' : 'invalid_api_key');
    return held;
  }

  #end(held: Held): void {
    this.#endTurn(held);
    this.#byId.delete(held.id);
    this.#byHash.delete(held.hash);
    remember(this.#ended, held.hash, true);
  }

  #endTurn(held: Held): void {
    const cuts = held.turn?.cuts ?? [];
    held.turn = null;
    for (const cut of cuts) cut();
  }
}

function hashOf(credential: string): string {
  return createHash('sha256').update(credential).digest('base64');
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
