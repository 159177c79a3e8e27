// Reads the list of due jobs into the backlog. With a store that takes money for each entry, an entry is read once,
// not once a pass:
// - The list is by the time that jobs became due, so what is new stands at its end: reading goes on from where it
//   ended, less some seconds, for clocks differ and writes take their time.
// - What did not fit is read again, from the first that did not, when a tenant's part of the backlog runs out.
// - Now and then it is read from the beginning, for what came to stand before the end all the same; the rarer, the
//   longer the list is.
// - While jobs may begin no more, none of this is begun: only a reading that has not reached the end yet goes on,
//   or a tenant who stands behind ten thousand jobs of another would stay unknown.

import type { FleetPlace, Page } from '../../contracts/records.ts';
import type { DueBacklog } from './due-backlog.ts';

type List = (after: FleetPlace | null, limit: number) => Promise<Page<FleetPlace>>;

const pageSize = 100;
/** In one pass. */
const mostPages = 10;
const settledAfterMs = 5_000;
const wholeEveryMs = 60_000;
/** For each entry of the last reading of all: twenty entries a second are a dollar a day. */
const wholePerEntryMs = 50;

export class DueScan {
  readonly #backlog: DueBacklog;
  /** Where reading goes on; null: at the beginning. */
  #cursor: FleetPlace | null = null;
  /** What is older was read, and nothing comes to stand before it. */
  #settled: FleetPlace | null = null;
  #isAtEnd = false;
  #isWhole = true;
  #entries = 0;
  #nextWholeMs = -Infinity;
  #fillAfter: FleetPlace | null = null;

  constructor(backlog: DueBacklog) {
    this.#backlog = backlog;
  }

  /** Whether the end of the list was not reached: there may be more that is not known. */
  get isUnfinished(): boolean {
    return !this.#isAtEnd || this.#backlog.isFilling;
  }

  /** `nowMs`: as the records count; `monotonicMs`: for when to read all again. */
  async read(list: List, nowMs: number, monotonicMs: number, hasRoom: boolean): Promise<void> {
    if (hasRoom && this.#isAtEnd && monotonicMs >= this.#nextWholeMs) this.#beginWhole();
    let pages = mostPages;
    if (hasRoom || !this.#isAtEnd) pages = await this.#readOn(list, nowMs, monotonicMs, pages);
    if (hasRoom || this.#backlog.isFilling) await this.#fill(list, pages);
  }

  #beginWhole(): void {
    this.#cursor = null;
    this.#settled = null;
    this.#isWhole = true;
    this.#entries = 0;
  }

  /** Answers how many more pages may be read in this pass. */
  async #readOn(list: List, nowMs: number, monotonicMs: number, pages: number): Promise<number> {
    this.#isAtEnd = false;
    for (let left = pages; left > 0; left--) {
      const page = await list(this.#cursor, pageSize);
      this.#entries += page.data.length;
      for (const place of page.data) {
        this.#backlog.add(place, true);
        if (place.at < nowMs - settledAfterMs) this.#settled = place;
      }
      this.#cursor = page.data.at(-1) ?? this.#cursor;
      if (page.hasMore && page.data.length > 0) continue;
      this.#isAtEnd = true;
      this.#cursor = this.#settled;
      if (this.#isWhole) this.#nextWholeMs = monotonicMs + Math.max(wholeEveryMs, this.#entries * wholePerEntryMs);
      this.#isWhole = false;
      return left - 1;
    }
    return 0;
  }

  async #fill(list: List, pages: number): Promise<void> {
    const backlog = this.#backlog;
    for (let left = pages; left > 0; left--) {
      if (!backlog.isFilling) {
        if (!backlog.isHungry) return;
        this.#fillAfter = backlog.beginFilling();
      }
      const page = await list(this.#fillAfter, pageSize);
      for (const place of page.data) backlog.add(place, false);
      this.#fillAfter = page.data.at(-1) ?? this.#fillAfter;
      if (page.hasMore && page.data.length > 0) continue;
      backlog.endFilling();
      return;
    }
  }
}
