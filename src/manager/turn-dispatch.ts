// Sees to turns that are on record and that no worker may have: one whose session nobody holds is given to
// a worker, one that waits at a session that is held is asked for, ever more rarely. Bounded in each pass.

import type { FleetPlace, Page, Records } from '../contracts/records.ts';
import type { SessionDirectory } from '../contracts/session-directory.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../observability/logger.ts';
import type { Metrics } from '../observability/metrics.ts';
import { firstRetryMs, type Lanes, type RecoveryDesk } from './recovery-desk.ts';
import type { SessionOwners } from './session-owners.ts';

export type TurnDispatchParts = {
  readonly desk: RecoveryDesk;
  readonly owners: Pick<SessionOwners, 'isOrphaned'>;
  readonly directory: Pick<SessionDirectory, 'lookup'>;
  readonly records: { readonly turns: Pick<Records['turns'], 'get' | 'listOpen'> };
  /** By how much each open turn puts off the next look at all of them, where looking costs money. Default: 0. */
  readonly listedEntryMs?: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'unheldOldestSeconds' | 'unheldSessions'>;
};

const everyMs = 500;
/** Where there is more than a pass looks at. */
const whenManyMs = 1_000;
/** Looking may be put off by so much. */
const longestPauseMs = 15_000;
const pageSize = 100;
const mostPages = 10;
const lanes: Lanes = { mostAtOnce: 8, patienceMs: 2_000 };
/** Beyond these nothing more is handed over: workers that do not answer get no more to do. */
const mostUnderWay = 128;
/** A younger one is on its way to a worker. By when it was first seen: other hosts' clocks may be an hour off. */
const settledAfterMs = 1_500;
/** Longer than a gateway waits for a worker to take it. */
const firstAskMs = 5_000;
const longestAskMs = 10 * 60_000;
/** In one pass: each is a call to whoever holds the session. */
const mostAsked = 32;
/** Turns beyond these are looked at when others have ended. */
const mostRemembered = 50_000;

type Seen = { readonly firstAtMs: number; nextAskMs: number; askDelayMs: number; cycle: number };

export class TurnDispatch {
  readonly #parts: TurnDispatchParts;
  readonly #seen = new Map<string, Seen>();
  /** Sessions that nobody was found to hold, since when. */
  readonly #unheld = new Map<string, number>();
  /** Sessions with open turns, as far as the list was looked through. */
  #listed = new Set<string>();
  #after: FleetPlace | null = null;
  #cycle = 0;
  #isFailureTold = false;

  constructor(parts: TurnDispatchParts) {
    this.#parts = parts;
  }

  /** Answers when the next is due. Never rejects. */
  async pass(isStopping: () => boolean): Promise<number> {
    const { desk, logger } = this.#parts;
    let listed = 0;
    try {
      const turns = await this.#nextTurns((entries) => {
        listed += entries;
      });
      await desk.recoverAll(this.#orphans(turns, isStopping), lanes);
      await this.#ask(turns, isStopping);
      this.#isFailureTold = false;
      this.#reportUnheld();
    } catch (error) {
      if (!this.#isFailureTold)
        logger.warn({ event: 'dispatch_not_possible', err: error }, 'turns that wait could not be looked for');
      this.#isFailureTold = true;
      return firstRetryMs;
    }
    const { listedEntryMs = 0 } = this.#parts;
    const pauseMs = Math.min(longestPauseMs, listed * listedEntryMs);
    return Math.max(this.#after === null ? everyMs : whenManyMs, pauseMs);
  }

  /** Those that have had the time to arrive, from where the last pass ended. */
  async #nextTurns(onListed: (entries: number) => void): Promise<readonly FleetPlace[]> {
    const { clock, records } = this.#parts;
    const settled: FleetPlace[] = [];
    const nowMs = clock.monotonicMs();
    for (let pages = 0; pages < mostPages; pages++) {
      const page: Page<FleetPlace> = await records.turns.listOpen(this.#after, pageSize);
      onListed(page.data.length);
      for (const turn of page.data) this.#listed.add(sessionNameOf(turn));
      for (const turn of page.data) if (nowMs - this.#firstSeen(turn, nowMs) >= settledAfterMs) settled.push(turn);
      this.#after = page.hasMore ? (page.data.at(-1) ?? null) : null;
      if (this.#after === null) {
        this.#endCycle();
        break;
      }
    }
    return settled;
  }

  #firstSeen(turn: FleetPlace, nowMs: number): number {
    const name = nameOf(turn);
    const seen = this.#seen.get(name);
    if (seen !== undefined) {
      seen.cycle = this.#cycle;
      return seen.firstAtMs;
    }
    if (this.#seen.size < mostRemembered) {
      const nextAskMs = nowMs + firstAskMs;
      this.#seen.set(name, { firstAtMs: nowMs, nextAskMs, askDelayMs: firstAskMs, cycle: this.#cycle });
    }
    return nowMs;
  }

  /** The list was seen to its end: what was not on it has ended. */
  #endCycle(): void {
    for (const [name, { cycle }] of this.#seen) if (cycle !== this.#cycle) this.#seen.delete(name);
    for (const name of this.#unheld.keys()) if (!this.#listed.has(name)) this.#unheld.delete(name);
    this.#listed = new Set();
    this.#cycle++;
  }

  async *#orphans(turns: readonly FleetPlace[], isStopping: () => boolean): AsyncGenerator<SessionKey> {
    const { desk, owners } = this.#parts;
    const looked = new Set<string>();
    for (const { id, sessionId, tenant } of turns) {
      if (isStopping() || desk.underWay >= mostUnderWay) return;
      const key = { tenant, sessionId };
      const name = sessionNameOf(key);
      if (looked.has(name) || !desk.isDue(key)) continue;
      looked.add(name);
      const isOrphaned = await owners.isOrphaned(key);
      if (!isOrphaned) {
        this.#unheld.delete(name);
        continue;
      }
      const firstAtMs = this.#seen.get(nameOf({ tenant, id }))?.firstAtMs ?? this.#parts.clock.monotonicMs();
      if (!this.#unheld.has(name)) this.#unheld.set(name, firstAtMs);
      yield key;
    }
  }

  #reportUnheld(): void {
    const { clock, metrics } = this.#parts;
    const nowMs = clock.monotonicMs();
    let oldestMs = nowMs;
    for (const sinceMs of this.#unheld.values()) oldestMs = Math.min(oldestMs, sinceMs);
    metrics.unheldSessions.set(this.#unheld.size);
    metrics.unheldOldestSeconds.set((nowMs - oldestMs) / 1000);
  }

  /** Whoever holds the session looks at all its open turns: one call is for all of them. */
  async #ask(turns: readonly FleetPlace[], isStopping: () => boolean): Promise<void> {
    const { clock, desk } = this.#parts;
    const nowMs = clock.monotonicMs();
    const asked = new Map<string, SessionKey>();
    for (const turn of turns) {
      const seen = this.#seen.get(nameOf(turn));
      if (isStopping() || asked.size >= mostAsked) break;
      if (seen === undefined || seen.nextAskMs > nowMs) continue;
      const key = { tenant: turn.tenant, sessionId: turn.sessionId };
      seen.nextAskMs = nowMs + seen.askDelayMs;
      seen.askDelayMs = Math.min(longestAskMs, 2 * seen.askDelayMs);
      if (await this.#isHeldAndWaits(turn)) asked.set(`${key.tenant}/${key.sessionId}`, key);
    }
    await Promise.all([...asked.values()].map((key) => desk.askHolder(key, lanes.patienceMs)));
  }

  /** One that runs is in hand: no process gives a turn back. */
  async #isHeldAndWaits({ id, sessionId, tenant }: FleetPlace): Promise<boolean> {
    const { directory, records } = this.#parts;
    if ((await directory.lookup(tenant, sessionId)) === null) return false;
    return (await records.turns.get(tenant, id))?.status === 'queued';
  }
}

function nameOf({ id, tenant }: Pick<FleetPlace, 'id' | 'tenant'>): string {
  return `${tenant}/${id}`;
}

function sessionNameOf({ sessionId, tenant }: SessionKey): string {
  return `${tenant}/${sessionId}`;
}
