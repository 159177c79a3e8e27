// Whether anybody has a session, or may have it still: the records say who had it last, the directory who
// holds it now, the watch whether that one lives. Ends the lease of an owner that is proven to be lost.

import type { Records } from '../contracts/records.ts';
import type { SessionDirectory } from '../contracts/session-directory.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import type { SessionRecord } from '../core/session.ts';
import type { WorkerWatch } from './worker-watch.ts';

export type SessionOwnersParts = {
  readonly directory: Pick<SessionDirectory, 'knownForMs' | 'lookup' | 'release'>;
  readonly records: { readonly sessions: Pick<Records['sessions'], 'get'> };
  readonly watch: Pick<WorkerWatch, 'trustedForMs' | 'verdict'>;
  readonly leaseMs: number;
};

/** owned: by somebody who lives, or by nobody whom the records know. waiting: its owner's lease has to end first. */
export type Ownership = 'owned' | 'orphaned' | 'waiting';

export class SessionOwners {
  readonly #parts: SessionOwnersParts;

  constructor(parts: SessionOwnersParts) {
    this.#parts = parts;
  }

  /** Whether nobody has it and nobody can have it. Ends no lease. */
  async isOrphaned({ sessionId, tenant }: SessionKey): Promise<boolean> {
    const { directory, records } = this.#parts;
    if ((await directory.lookup(tenant, sessionId)) !== null) return false;
    const session = await records.sessions.get(tenant, sessionId);
    // Whoever takes a session writes its name into the record before it writes anything else.
    if (session === null || session.worker === null) return true;
    return this.#verdict(session) === 'proven' || (await this.#isLeaseOver());
  }

  /** Of a session as its record has just been read. */
  async ownershipOf(session: SessionRecord): Promise<Ownership> {
    const { directory } = this.#parts;
    if (session.worker === null) return 'owned';
    const verdict = this.#verdict(session);
    if (verdict === 'live') return 'owned';
    const lease = await directory.lookup(session.tenant, session.id);
    // Somebody else has taken it, and the record will say so.
    if (lease !== null && (lease.worker !== session.worker || lease.epoch !== session.epoch)) return 'owned';
    if (verdict === 'proven') {
      if (lease !== null) await directory.release(lease);
      return 'orphaned';
    }
    return lease === null && verdict === 'silent' && (await this.#isLeaseOver()) ? 'orphaned' : 'waiting';
  }

  /** A lease that is not there has ended, unless the directory has forgotten it or could not be told. */
  async #isLeaseOver(): Promise<boolean> {
    const { directory, leaseMs, watch } = this.#parts;
    return watch.trustedForMs >= leaseMs && (await directory.knownForMs()) >= leaseMs;
  }

  #verdict({ boot, worker }: SessionRecord): ReturnType<WorkerWatch['verdict']> {
    return worker === null || boot === null ? 'silent' : this.#parts.watch.verdict(worker, boot);
  }
}
