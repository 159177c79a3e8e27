// Records of one kind by tenant and id, each in the lists that it belongs to: those of its tenant or
// session, and those over all tenants. Every method does its work before it returns.

import type { FleetPlace, Page, PageQuery } from '../../contracts/records.ts';
import { ServiceError } from '../../core/errors.ts';
import { mintedAt, type SessionId, type TenantId } from '../../core/ids.ts';
import { OrderedRecords } from './ordered-records.ts';
import { tenantKey } from './tenant-key.ts';

type Stored = {
  readonly tenant: TenantId;
  readonly id: string;
  readonly revision: number;
  readonly createdAt: number;
};

export type RecordTableShape<T> = {
  readonly sessionOf: (record: T) => SessionId;
  /** Names of the lists, by age, that the record stands in; those of one name are of one tenant. */
  readonly listsOf: (record: T) => readonly string[];
  /** The list over all tenants that the record stands in, with the time it is ordered by; null: none. */
  readonly fleetListOf: (record: T) => { readonly list: string; readonly at: number } | null;
};

export class RecordTable<T extends Stored> {
  readonly #shape: RecordTableShape<T>;
  readonly #records = new Map<string, T>();
  readonly #lists = new Map<string, OrderedRecords>();
  readonly #fleetLists = new Map<string, OrderedRecords>();

  constructor(shape: RecordTableShape<T>) {
    this.#shape = shape;
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
    return this.#fleetLists.get(list)?.pageBefore(beforeMs, after, limit) ?? { data: [], hasMore: false };
  }

  #placesOf(record: T): [lists: Map<string, OrderedRecords>, name: string, place: FleetPlace][] {
    const { tenant, id, createdAt } = record;
    const place = { tenant, id, sessionId: this.#shape.sessionOf(record), at: createdAt };
    const fleet = this.#shape.fleetListOf(record);
    const own = this.#shape.listsOf(record).map((name) => [this.#lists, name, place] as const);
    const all = fleet === null ? own : [...own, [this.#fleetLists, fleet.list, { ...place, at: fleet.at }] as const];
    return all.map(([lists, name, where]) => [lists, name, where]);
  }

  #placeOf(tenant: TenantId, id: string | null): { at: number; id: string; tenant: TenantId } | null {
    if (id === null) return null;
    const at = this.get(tenant, id)?.createdAt ?? mintedAt(id);
    if (at === null) throw new ServiceError('cursor_invalid', { after: id });
    return { at, id, tenant };
  }
}
