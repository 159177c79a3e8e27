// Places in order: by time, then by id, then by tenant. A new one is nearly always the youngest, so
// inserting is nearly free.

import type { FleetPlace, PageQuery } from '../../contracts/records.ts';

type Place = Pick<FleetPlace, 'at' | 'id' | 'tenant'>;
type PlaceQuery = Omit<PageQuery, 'after'> & { readonly after: Place | null };

export class OrderedRecords {
  readonly #places: FleetPlace[] = [];

  add(place: FleetPlace): void {
    const index = this.#indexOf(place);
    if (!isSame(this.#places[index], place)) this.#places.splice(index, 0, place);
  }

  delete(place: FleetPlace): void {
    const index = this.#indexOf(place);
    if (isSame(this.#places[index], place)) this.#places.splice(index, 1);
  }

  get size(): number {
    return this.#places.length;
  }

  /** `after` need not stand here (any more): the page starts where it would. */
  page({ after, limit, order }: PlaceQuery): { readonly data: readonly FleetPlace[]; readonly hasMore: boolean } {
    if (order === 'asc') {
      const start = after === null ? 0 : this.#indexAfter(after);
      return { data: this.#places.slice(start, start + limit), hasMore: start + limit < this.#places.length };
    }
    const end = after === null ? this.#places.length : this.#indexOf(after);
    const start = Math.max(0, end - limit);
    return { data: this.#places.slice(start, end).reverse(), hasMore: start > 0 };
  }

  /** As `page` in ascending order, of the places before that time. */
  pageBefore(beforeMs: number, after: FleetPlace | null, limit: number): ReturnType<OrderedRecords['page']> {
    const page = this.page({ after, limit: limit + 1, order: 'asc' });
    const data = page.data.filter(({ at }) => at < beforeMs);
    return { data: data.slice(0, limit), hasMore: data.length > limit };
  }

  #indexAfter(place: Place): number {
    const index = this.#indexOf(place);
    return isSame(this.#places[index], place) ? index + 1 : index;
  }

  /** Where it stands or would stand. */
  #indexOf(place: Place): number {
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

function isSame(a: Place | undefined, b: Place): boolean {
  return a !== undefined && a.id === b.id && a.tenant === b.tenant && a.at === b.at;
}

function isBefore(a: Place, b: Place): boolean {
  if (a.at !== b.at) return a.at < b.at;
  return a.id < b.id || (a.id === b.id && a.tenant < b.tenant);
}
