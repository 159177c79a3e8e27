// Records of one kind by tenant and id, each in the lists that it belongs to: those of its tenant or
// session, and those over all tenants. Every method does its work before it returns.

import type { FleetPlace, Page, PageQuery } from '../../contracts/records.ts';
import { ServiceError } from '../../core/errors.ts';
import { mintedAt, type SessionId, type TenantId } from '../../core/ids.ts';
import { OrderedRecords } from './ordered-records.ts';
import { tenantKey } from './tenant-key.ts';

export type Stored = {
  readonly tenant: TenantId;
  readonly id: string;
  readonly revision: number;
  readonly createdAt: number;
};

/** `at`: what it is ordered by, then by id. */
export type OrderedList = { readonly list: string; readonly at: number };

export type RecordTableShape<T> = {
  /** What places in lists over all tenants say whose it is. */
  readonly sessionOf: (record: T) => SessionId;
  /** Names of the lists, by age, that the record stands in; those of one name are of one tenant. */
  readonly listsOf: (record: T) => readonly string[];
  /** Lists by something else than age that the record stands in, those over all tenants among them. */
  readonly orderedListsOf: (record: T) => readonly OrderedList[];
};

type PlaceIn = readonly [lists: Map<string, OrderedRecords>, name: string, place: FleetPlace];

export class RecordTable<T extends Stored> {
  readonly #shape: RecordTableShape<T>;
  readonly #records = new Map<string, T>();
  readonly #lists = new Map<string, OrderedRecords>();
  readonly #orderedLists = new Map<string, OrderedRecords>();

  constructor(shape: RecordTableShape<T>) {
    this.#shape = shape;
  }

  get size(): number {
    return this.#records.size;
  }

  get(tenant: TenantId, id: string): T | null {
    return this.#records.get(tenantKey(tenant, id)) ?? null;
  }

  add(record: T): void {
    this.#records.set(tenantKey(record.tenant, record.id), record);
    for (const [lists, name, place] of this.#placesOf(record)) {
      const list = lists.get(name) ?? new OrderedRecords();
      list.add(place);
      lists.set(name, list);
    }
  }

  /** Whether the record stands at the revision that the writer of `next` saw. */
  stands({ tenant, id, revision }: Stored): boolean {
    return this.get(tenant, id)?.revision === revision;
  }

  replace(next: T): T | null {
    if (!this.stands(next)) return null;
    const stored = { ...next, revision: next.revision + 1 };
    this.delete(next.tenant, next.id);
    this.add(stored);
    return stored;
  }

  delete(tenant: TenantId, id: string): void {
    const record = this.get(tenant, id);
    if (record === null) return;
    this.#records.delete(tenantKey(tenant, id));
    for (const [lists, name, place] of this.#placesOf(record)) {
      const list = lists.get(name);
      list?.delete(place);
      if (list?.size === 0) lists.delete(name);
    }
  }

  deleteList(name: string): void {
    const page = this.#lists.get(name)?.page({ after: null, limit: Number.MAX_SAFE_INTEGER, order: 'asc' });
    for (const { tenant, id } of page?.data ?? []) this.delete(tenant, id);
  }

  page(tenant: TenantId, list: string, query: PageQuery): Page<T> {
    const after = this.#placeOf(tenant, query.after);
    const page = this.#lists.get(list)?.page({ ...query, after });
    if (page === undefined) return { data: [], hasMore: false };
    return { data: page.data.flatMap(({ id }) => this.get(tenant, id) ?? []), hasMore: page.hasMore };
  }

  fleetPage(list: string, after: FleetPlace | null, limit: number, beforeMs = Infinity): Page<FleetPlace> {
    return this.#orderedLists.get(list)?.pageBefore(beforeMs, after, limit) ?? { data: [], hasMore: false };
  }

  /** How many stand in the list, by age, of that name. */
  count(list: string): number {
    return this.#lists.get(list)?.size ?? 0;
  }

  /** The first in a list by something else than age. */
  first(list: string, limit: number): readonly T[] {
    return this.fleetPage(list, null, limit).data.flatMap(({ tenant, id }) => this.get(tenant, id) ?? []);
  }

  /** The last in a list by something else than age. */
  last(list: string): T | null {
    const [place] = this.#orderedLists.get(list)?.page({ after: null, limit: 1, order: 'desc' }).data ?? [];
    return place === undefined ? null : this.get(place.tenant, place.id);
  }

  #placesOf(record: T): readonly PlaceIn[] {
    const { tenant, id, createdAt } = record;
    const place = { tenant, id, sessionId: this.#shape.sessionOf(record), at: createdAt };
    const ordered = this.#shape.orderedListsOf(record);
    return [
      ...this.#shape.listsOf(record).map((name): PlaceIn => [this.#lists, name, place]),
      ...ordered.map(({ list, at }): PlaceIn => [this.#orderedLists, list, { ...place, at }]),
    ];
  }

  #placeOf(tenant: TenantId, id: string | null): { at: number; id: string; tenant: TenantId } | null {
    if (id === null) return null;
    const at = this.get(tenant, id)?.createdAt ?? mintedAt(id);
    if (at === null) throw new ServiceError('cursor_invalid', { after: id });
    return { at, id, tenant };
  }
}
