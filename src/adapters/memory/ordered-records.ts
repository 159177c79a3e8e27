// Records by age, for pages: by time of creation, then by id. A new one is nearly always the youngest,
// so inserting is nearly free.

import type { PageQuery } from '../../contracts/records.ts';

export type Aged = { readonly createdAt: number; readonly id: string };

export class OrderedRecords {
  readonly #places: Aged[] = [];

  add(record: Aged): void {
    const index = this.#indexOf(record);
    if (this.#places[index]?.id !== record.id)
      this.#places.splice(index, 0, { createdAt: record.createdAt, id: record.id });
  }

  delete(record: Aged): void {
    const index = this.#indexOf(record);
    if (this.#places[index]?.id === record.id) this.#places.splice(index, 1);
  }

  get size(): number {
    return this.#places.length;
  }

  /** `after` need not stand here (any more): the page starts where it would. */
  page(query: Omit<PageQuery, 'after'> & { readonly after: Aged | null }): {
    readonly ids: readonly string[];
    readonly hasMore: boolean;
  } {
    const { after, limit, order } = query;
    const ids = (start: number, end: number): string[] => this.#places.slice(start, end).map(({ id }) => id);
    if (order === 'asc') {
      const start = after === null ? 0 : this.#indexAfter(after);
      return { ids: ids(start, start + limit), hasMore: start + limit < this.#places.length };
    }
    const end = after === null ? this.#places.length : this.#indexOf(after);
    const start = Math.max(0, end - limit);
    return { ids: ids(start, end).reverse(), hasMore: start > 0 };
  }

  #indexAfter(place: Aged): number {
    const index = this.#indexOf(place);
    return this.#places[index]?.id === place.id ? index + 1 : index;
  }

  /** Where it stands or would stand. */
  #indexOf(place: Aged): number {
    let low = 0;
    let high = this.#places.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const found = this.#places[middle];
      if (found !== undefined && isBefore(found, place)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function isBefore(a: Aged, b: Aged): boolean {
  return a.createdAt < b.createdAt || (a.createdAt === b.createdAt && a.id < b.id);
}
