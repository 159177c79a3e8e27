// Finds what is due among all tenants' deliveries, and pays for each entry that it is shown: what came due since
// the last look at every pass, all the rest at so many a minute, however many wait.

import type { DeliveryRecords } from '../../contracts/webhook-records.ts';
import type { FleetPlace, Page } from '../../contracts/records.ts';
import type { Clock } from '../../core/clock.ts';

export type DeliveryScanParts = {
  readonly deliveries: Pick<DeliveryRecords, 'listDue'>;
  readonly clock: Clock;
  /** Answers whether that is news. What could not be remembered is shown again, by the sweep. */
  readonly onDue: (place: FleetPlace) => boolean;
};

const pageSize = 100;
const mostPagesAtOnce = 10;
/** Written a little late, or by a host whose clock is a little behind: shown again for so long. */
const overlapMs = 2_000;
/** Of the sweep through all that is due: a new one, and a page with little news in it, each so often. */
const sweepEveryMs = 60_000;
const sweepPageEveryMs = 6_000;
const littleNews = 10;

export class DeliveryScan {
  readonly #parts: DeliveryScanParts;
  /** All before it has been shown, and little of what comes behind it; null: nothing has. */
  #edge: FleetPlace | null = null;
  /** Where the last pass had to stop. */
  #goesOnAfter: FleetPlace | null = null;
  #sweepAfter: FleetPlace | null = null;
  #nextSweepMs: number;

  constructor(parts: DeliveryScanParts) {
    this.#parts = parts;
    this.#nextSweepMs = parts.clock.monotonicMs() + sweepEveryMs;
  }

  /** Answers whether there is more that has not been shown yet. */
  async pass(isStopping: () => boolean): Promise<boolean> {
    const hasMore = await this.#lookAtEdge(isStopping);
    if (!isStopping() && this.#parts.clock.monotonicMs() >= this.#nextSweepMs) await this.#sweep();
    return hasMore;
  }

  async #lookAtEdge(isStopping: () => boolean): Promise<boolean> {
    const { clock, deliveries, onDue } = this.#parts;
    const nowMs = clock.now();
    let after = this.#goesOnAfter ?? this.#edge;
    for (let pages = 0; pages < mostPagesAtOnce && !isStopping(); pages++) {
      const page: Page<FleetPlace> = await deliveries.listDue(nowMs + 1, after, pageSize);
      for (const place of page.data) {
        onDue(place);
        if (place.at <= nowMs - overlapMs) this.#edge = place;
      }
      after = page.data.at(-1) ?? after;
      this.#goesOnAfter = page.hasMore ? after : null;
      if (!page.hasMore) return false;
    }
    return true;
  }

  async #sweep(): Promise<void> {
    const { clock, deliveries, onDue } = this.#parts;
    const nowMs = clock.monotonicMs();
    const page = await deliveries.listDue(clock.now() - overlapMs, this.#sweepAfter, pageSize);
    // No short cut: all of them are shown, also those behind one that there is no room for.
    const news = page.data.map(onDue).filter(Boolean).length;
    this.#sweepAfter = page.hasMore ? (page.data.at(-1) ?? null) : null;
    if (this.#sweepAfter === null) this.#nextSweepMs = nowMs + sweepEveryMs;
    else this.#nextSweepMs = news >= littleNews ? nowMs : nowMs + sweepPageEveryMs;
  }
}
