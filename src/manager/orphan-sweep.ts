// Clears away snapshots of sessions that have no record any more: a worker that was paused while its session
// was erased may have put one afterwards. Slow, and careful: what it removes is kept nowhere else.

import type { Records } from '../contracts/records.ts';
import type { SnapshotStore } from '../contracts/snapshots.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../observability/logger.ts';

export type OrphanSweepParts = {
  readonly records: { readonly sessions: Pick<Records['sessions'], 'get'> };
  readonly snapshots: Pick<SnapshotStore, 'erase' | 'sessions'>;
  readonly clock: Clock;
  readonly logger: Logger;
};

const firstMs = 10 * 60_000;
const everyMs = 60 * 60_000;
/** So many are looked at; then others have their turn. */
const batch = 100;
const pauseMs = 50;
const mostErased = 50;
/** Where more than one in so many has no record, it is the records that are not the right ones. */
const leastKnownPerOrphan = 10;

export class OrphanSweep {
  readonly #parts: OrphanSweepParts;
  /** Found without a record by the last pass. */
  #suspected: ReadonlySet<string> = new Set();
  #isBegun = false;

  constructor(parts: OrphanSweepParts) {
    this.#parts = parts;
  }

  /** Answers when the next is due. Never rejects. */
  async pass(isStopping: () => boolean): Promise<number> {
    if (!this.#isBegun) {
      this.#isBegun = true;
      return firstMs;
    }
    try {
      const { orphans, stored } = await this.#look(isStopping);
      if (!isStopping()) await this.#erase(orphans, stored, isStopping);
    } catch (error) {
      this.#parts.logger.warn(
        { event: 'orphans_not_swept', err: error },
        'stored snapshots could not be looked through',
      );
    }
    return everyMs;
  }

  async #look(isStopping: () => boolean): Promise<{ orphans: readonly SessionKey[]; stored: number }> {
    const { clock, records, snapshots } = this.#parts;
    const orphans: SessionKey[] = [];
    let stored = 0;
    for await (const key of snapshots.sessions()) {
      if (isStopping()) break;
      stored++;
      if ((await records.sessions.get(key.tenant, key.sessionId)) === null) orphans.push(key);
      if (stored % batch === 0) await new Promise<void>((resolve) => void clock.after(pauseMs, resolve));
    }
    return { orphans, stored };
  }

  /** Those that had no record an hour ago either. */
  async #erase(orphans: readonly SessionKey[], stored: number, isStopping: () => boolean): Promise<void> {
    const { logger, snapshots } = this.#parts;
    const before = this.#suspected;
    this.#suspected = new Set(orphans.map(nameOf));
    if (orphans.length === 0) return;
    if (orphans.length * leastKnownPerOrphan > stored) {
      const facts = { event: 'snapshots_without_records', sessions: orphans.length, stored };
      logger.warn(facts, 'snapshots of sessions that have no record are kept: there are too many of them to be chance');
      return;
    }
    for (const key of orphans.filter((one) => before.has(nameOf(one))).slice(0, mostErased)) {
      if (isStopping()) return;
      await snapshots.erase(key);
      const facts = { event: 'orphan_erased', session_id: key.sessionId };
      logger.info(facts, 'a snapshot of a session that was erased before was removed');
    }
  }
}

function nameOf({ sessionId, tenant }: SessionKey): string {
  return JSON.stringify([tenant, sessionId]);
}
