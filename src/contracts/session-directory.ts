// Which worker holds a session, for how long. Fast and forgetful: what must be true is in the records.

import type { SessionId, TenantId, WorkerId } from '../core/ids.ts';

export type Lease = {
  readonly tenant: TenantId;
  readonly sessionId: SessionId;
  readonly worker: WorkerId;
  readonly epoch: number;
};

export interface SessionDirectory {
  /**
   * Succeeds for exactly one worker until the lease ends or is released; for the holder, again.
   * Answers null on success, else the lease that stands. Renewing is the caller's job.
   */
  claim(lease: Lease, ttlMs: number): Promise<Lease | null>;
  /**
   * false when the lease is no longer the caller's: a lost lease is an answer, not an error. One that the
   * directory lost together with all else is the caller's again, unless somebody has claimed it since.
   */
  renew(lease: Lease, ttlMs: number): Promise<boolean>;
  /** Ends the lease if it is still the caller's. */
  release(lease: Lease): Promise<void>;
  lookup(tenant: TenantId, sessionId: SessionId): Promise<Lease | null>;
  /**
   * Milliseconds since the directory last lost what it knew, or began; Infinity where it loses nothing. Until
   * that is one full lease, a session that seems free may have a holder that could not renew yet.
   */
  knownForMs(): Promise<number>;
}
