// Leases in the shared file, ended by the host's own clock: setting the wall clock moves none of them,
// and those from before a restart of the machine are over. Not brought to the disk: a power cut ends
// their holders too.

import type { Lease, SessionDirectory } from '../../contracts/session-directory.ts';
import type { SessionId, TenantId } from '../../core/ids.ts';
import type { HostTime } from './host-time.ts';
import type { SqliteDatabase } from './sqlite-database.ts';

/** Leases that nobody asked for again are swept out once in so many claims. */
const claimsPerSweep = 1_024;

export class SqliteSessionDirectory implements SessionDirectory {
  readonly #db: SqliteDatabase;
  readonly #time: HostTime;
  readonly #find;
  readonly #hold;
  readonly #delete;
  readonly #sweep;
  readonly #forget;
  #claimsToSweep = claimsPerSweep;

  constructor(db: SqliteDatabase, time: HostTime) {
    this.#db = db;
    this.#time = time;
    this.#find = db.prepare(
      'SELECT worker, epoch, boot_id, ttl_ms, until_ms FROM leases WHERE tenant = ? AND session_id = ?',
    );
    this.#hold = db.prepare(
      `INSERT OR REPLACE INTO leases (tenant, session_id, worker, epoch, boot_id, ttl_ms, until_ms)
       VALUES (?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#delete = db.prepare('DELETE FROM leases WHERE tenant = ? AND session_id = ?');
    this.#sweep = db.prepare('DELETE FROM leases WHERE boot_id <> ? OR until_ms <= ?');
    this.#forget = db.prepare('DELETE FROM leases');
  }

  claim(lease: Lease, ttlMs: number): Promise<Lease | null> {
    return this.#db.write(() => {
      const standing = this.#standing(lease.tenant, lease.sessionId);
      // The holder may claim again with the epoch it has or a later one; an earlier one is a paused copy of it.
      const isFree = standing === null || (standing.worker === lease.worker && standing.epoch <= lease.epoch);
      if (!isFree) return standing;
      this.#keep(lease, ttlMs);
      this.#sweepSometimes();
      return null;
    }, 'os');
  }

  renew(lease: Lease, ttlMs: number): Promise<boolean> {
    return this.#db.write(() => {
      if (!this.#isStanding(lease)) return false;
      this.#keep(lease, ttlMs);
      return true;
    }, 'os');
  }

  release(lease: Lease): Promise<void> {
    return this.#db.write(() => {
      if (this.#isStanding(lease)) this.#delete.run(lease.tenant, lease.sessionId);
    }, 'os');
  }

  /** For the only owner of the file: whoever held a lease before it is gone. */
  forgetLeases(): Promise<void> {
    return this.#db.write(() => void this.#forget.run(), 'os');
  }

  lookup(tenant: TenantId, sessionId: SessionId): Promise<Lease | null> {
    return this.#db.read(() => this.#standing(tenant, sessionId));
  }

  async knownForMs(): Promise<number> {
    return Infinity;
  }

  #standing(tenant: TenantId, sessionId: SessionId): Lease | null {
    const row = this.#find.get(tenant, sessionId);
    if (row === undefined || row['boot_id'] !== this.#time.bootId) return null;
    const remainingMs = Number(row['until_ms']) - this.#time.monotonicMs();
    // More than it was given: the clock began anew where the system does not name its starts.
    if (remainingMs <= 0 || remainingMs > Number(row['ttl_ms'])) return null;
    return { tenant, sessionId, worker: String(row['worker']), epoch: Number(row['epoch']) };
  }

  #isStanding(lease: Lease): boolean {
    const standing = this.#standing(lease.tenant, lease.sessionId);
    return standing?.worker === lease.worker && standing.epoch === lease.epoch;
  }

  #keep({ tenant, sessionId, worker, epoch }: Lease, ttlMs: number): void {
    const untilMs = this.#time.monotonicMs() + ttlMs;
    this.#hold.run(tenant, sessionId, worker, epoch, this.#time.bootId, ttlMs, untilMs);
  }

  #sweepSometimes(): void {
    this.#claimsToSweep--;
    if (this.#claimsToSweep > 0) return;
    this.#claimsToSweep = claimsPerSweep;
    this.#sweep.run(this.#time.bootId, this.#time.monotonicMs());
  }
}
