// What the model proxies of a cluster know together: which credentials are live, for whom, in which turn,
// and what turns have used. Fast and forgetful: after a loss of its data, proxies and workers fill it again.

import type { TurnId } from '../core/ids.ts';
import type { Usage } from '../core/usage.ts';
import type { GrantId, GrantRequest } from './model-grants.ts';

export type StoredGrant = {
  /** Up to its first dot, the same for all grants of one session and for no other's: a store may keep them together. */
  readonly id: GrantId;
  readonly request: GrantRequest;
  /** Lower-case hex of the credential's SHA-256. The credential itself is kept nowhere. */
  readonly credentialSha256: string;
  /** The turn that runs. */
  readonly turn: TurnId | null;
  /** Of the turn that runs, where it is traced. */
  readonly traceparent?: string;
  /** Grows with each change that the worker makes: of two states the one with the higher number is true. */
  readonly revision: number;
};

/** `ended`: it was revoked, or a later epoch of its session came. Remembered for ten minutes at least. */
export type FoundGrant = StoredGrant | 'ended' | null;

/** What a turn has used. `calls` are those of the provider, repetitions included. */
export type TurnTally = { readonly calls: number; readonly usage: Usage };

/** A change that somebody made; `revision` is null when the grant has ended. */
export type GrantChange = { readonly id: GrantId; readonly revision: number | null };

export interface GrantStore {
  /**
   * Keeps the grant, unless what is kept has the same revision or a higher one, and answers what stands then.
   * The first grant of a later epoch ends those of earlier ones. `stale_epoch` {epoch} where a later epoch of
   * the session is known; `grant_not_found` where the grant has ended: an end is for good. Repeatable.
   */
  put(grant: StoredGrant): Promise<StoredGrant>;
  find(id: GrantId): Promise<FoundGrant>;
  findByCredential(credentialSha256: string): Promise<FoundGrant>;
  /** Ends the grant. Twice is harmless. */
  remove(id: GrantId): Promise<void>;
  /** Adds to what the turn has used, and answers all of it; nothing when it is not the grant's running turn. */
  count(id: GrantId, turn: TurnId, used: TurnTally): Promise<TurnTally>;
  /**
   * Calls back for changes by anybody, in no promised order, until the returned function is called. A hint:
   * one may be missing, so what matters must be asked for from time to time.
   */
  onChange(listener: (change: GrantChange) => void): () => void;
  /** As SessionDirectory.knownForMs: while it is short, an unknown credential may well be a live one. */
  knownForMs(): Promise<number>;
}
