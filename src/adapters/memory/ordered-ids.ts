// Ids in their order, for pages. New ids are nearly always the greatest, so inserting is nearly free.

import type { PageQuery } from '../../contracts/records.ts';

export class OrderedIds {
  readonly #ids: string[] = [];

  add(id: string): void {
    const index = this.#indexOf(id);
    if (this.#ids[index] !== id) this.#ids.splice(index, 0, id);
  }

  delete(id: string): void {
    const index = this.#indexOf(id);
    if (this.#ids[index] === id) this.#ids.splice(index, 1);
  }

  get size(): number {
    return this.#ids.length;
  }

  /** `after` need not exist (any more): the page starts where it would stand. */
  page({ after, limit, order }: PageQuery): { readonly ids: readonly string[]; readonly hasMore: boolean } {
    if (order === 'asc') {
      const start = after === null ? 0 : this.#indexAfter(after);
      return { ids: this.#ids.slice(start, start + limit), hasMore: start + limit < this.#ids.length };
    }
    const end = after === null ? this.#ids.length : this.#indexOf(after);
    const start = Math.max(0, end - limit);
    return { ids: this.#ids.slice(start, end).reverse(), hasMore: start > 0 };
  }

  #indexAfter(id: string): number {
    const index = this.#indexOf(id);
    return this.#ids[index] === id ? index + 1 : index;
  }

  /** Where the id stands or would stand. */
  #indexOf(id: string): number {
    let low = 0;
    let high = this.#ids.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ids[middle] ?? '') < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
