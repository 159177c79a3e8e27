// Records of one kind: written on conditions, read with their checksum verified, listed by age within a tenant, and by
// a time over all tenants. A list over all tenants names what it finds and reads no bodies.

import type { CreateResult, FleetPlace, Page, PageQuery } from '../../contracts/records.ts';
import { ServiceError } from '../../core/errors.ts';
import { mintedAt, type TenantId } from '../../core/ids.ts';
import type { Call } from './call.ts';
import { afterFailure, createAll, replaceAll, replacementOf } from './conditional-write.ts';
import { isSameTime, plainOf, type StoredDocument, type Value, valueOf, type Write } from './document.ts';
import type { Direction, Query } from './query.ts';
import { type RecordShape, type Stored, standingOf } from './record-document.ts';
import { readRecord, readRecords } from './record-reader.ts';
import {
  collectionOf,
  commitOnce,
  documentName,
  partNames,
  readDocuments,
  type RecordStore,
  startCall,
  tenantName,
} from './record-store.ts';

/** Steps of an erasure that find each time that others were faster. */
const mostInVain = 20;

export class RecordTable<T extends Stored> {
  readonly shape: RecordShape<T>;
  readonly store: RecordStore;

  constructor(store: RecordStore, shape: RecordShape<T>) {
    this.store = store;
    this.shape = shape;
  }

  /** For a call of this table: what its errors name. */
  start(operation: string): Call {
    return startCall(this.store, `${this.shape.kind}.${operation}`);
  }

  nameOf(tenant: TenantId, id: string): string {
    return documentName(this.store, tenant, this.shape.kind, id);
  }

  create(record: T): Promise<CreateResult<T>> {
    const call = this.start('create');
    return this.createWith(
      call,
      record,
      () => [],
      async () => null,
    );
  }

  /** As `createAll`. */
  async createWith(
    call: Call,
    record: T,
    beside: (writeId: string) => readonly Write[],
    findStanding: () => Promise<StoredDocument | null>,
  ): Promise<CreateResult<T>> {
    const created = await createAll(this.store, call, this.shape, record, beside, findStanding);
    if (created.outcome === 'created') return { outcome: 'created', record };
    const standing = await this.recordOf(call, created.document);
    if (standing !== null) return { outcome: 'exists', record: standing };
    // Erased while it was being read: the caller may try again.
    throw new ServiceError('store_conflict');
  }

  async get(tenant: TenantId, id: string): Promise<T | null> {
    return this.getBy(this.start('get'), tenant, id);
  }

  async getBy(call: Call, tenant: TenantId, id: string): Promise<T | null> {
    const name = this.nameOf(tenant, id);
    const [document = null] = await readDocuments(this.store, call, [name], null);
    if (document === null) this.store.places.forget(name);
    return document === null ? null : this.recordOf(call, document);
  }

  async replace(next: T): Promise<T | null> {
    const call = this.start('replace');
    const isWritten = await replaceAll(this.store, call, [replacementOf(this.store, this.shape, next)]);
    return isWritten ? { ...next, revision: next.revision + 1 } : null;
  }

  erase(tenant: TenantId, id: string): Promise<void> {
    return this.eraseWith(this.start('erase'), tenant, id, () => []);
  }

  /** `beside`: what goes with the record, given what never changes of it. */
  async eraseWith(
    call: Call,
    tenant: TenantId,
    id: string,
    beside: (constant: string) => readonly Write[],
  ): Promise<void> {
    const name = this.nameOf(tenant, id);
    for (let first: StoredDocument | null = null; ; ) {
      const [document = null] = await readDocuments(this.store, call, [name], ['meta']);
      this.store.places.forget(name);
      first ??= document;
      // Where an answer was lost, another of the same id may have been made since: that one stays.
      if (document === null || first === null || !isSameTime(first.createTime, document.createTime)) return;
      // On what stands: what a write in between adds must not stay behind.
      const own = this.#deletionOf(document);
      const writes = [...own, ...beside(standingOf(document)?.constant ?? '')];
      try {
        await commitOnce(this.store, call, writes);
        return;
      } catch (error) {
        await afterFailure(this.store, call, error);
        await call.wait(error);
      }
    }
  }

  /** All with these values, so many in a step; each step has a deadline of its own. `order`: for which there is an index. */
  async eraseAll(
    tenant: TenantId,
    equal: Readonly<Record<string, Value>>,
    stepLength: number,
    order: 'by age' | 'in any order' = 'in any order',
  ): Promise<void> {
    for (let inVain = 0; inVain < mostInVain; ) {
      const step = await this.#eraseSome(tenant, equal, stepLength, order);
      if (step === 'none_left') return;
      inVain = step === 'erased' ? 0 : inVain + 1;
    }
    throw new ServiceError('store_conflict');
  }

  async #eraseSome(
    tenant: TenantId,
    equal: Readonly<Record<string, Value>>,
    most: number,
    order: 'by age' | 'in any order',
  ): Promise<'erased' | 'changed' | 'none_left'> {
    const call = this.start('erase');
    const query = this.#queryOf({
      equal,
      parent: tenantName(this.store, tenant),
      order: order === 'by age' ? byAge('ASCENDING') : [],
      select: ['meta'],
      limit: most,
    });
    const found = await call.repeat((timeoutMs) => this.store.link.query(query, timeoutMs));
    if (found.length === 0) return 'none_left';
    for (const { name } of found) this.store.places.forget(name);
    try {
      await commitOnce(
        this.store,
        call,
        found.flatMap((document) => this.#deletionOf(document)),
      );
      return 'erased';
    } catch (error) {
      // What was changed or removed meanwhile is looked for again.
      await afterFailure(this.store, call, error);
      await call.wait(error);
      return 'changed';
    }
  }

  /** `equal`: the values of fields that the list is narrowed by. */
  async page(
    tenant: TenantId,
    equal: Readonly<Record<string, string>>,
    { after, limit, order }: PageQuery,
  ): Promise<Page<T>> {
    const call = this.start('list');
    const direction: Direction = order === 'asc' ? 'ASCENDING' : 'DESCENDING';
    const query = this.#queryOf({
      parent: tenantName(this.store, tenant),
      equal: Object.fromEntries(Object.entries(equal).map(([name, value]) => [name, valueOf(value)])),
      order: byAge(direction),
      startAfter: after === null ? null : await this.#placeOf(call, tenant, after),
      limit: limit + 1,
    });
    for (;;) {
      const found = await call.repeat((timeoutMs) => this.store.link.query(query, timeoutMs));
      const hasMore = found.length > limit;
      const data = await readRecords(this.store, this.shape, call, found.slice(0, limit));
      // All of them were erased while they were read: those behind them are asked for instead.
      if (data.length > 0 || !hasMore) return { data, hasMore };
    }
  }

  /** Those that a query finds, whole. */
  async read(call: Call, query: Query): Promise<T[]> {
    const documents = await call.repeat((timeoutMs) => this.store.link.query(query, timeoutMs));
    return readRecords(this.store, this.shape, call, documents);
  }

  /** Over all tenants, of those that have that time at all, by it. */
  async fleetPage(
    atField: string,
    after: FleetPlace | null,
    limit: number,
    beforeMs: number | null,
  ): Promise<Page<FleetPlace>> {
    const { ownerField } = this.shape;
    const query = this.#queryOf({
      range: { field: atField, from: valueOf(0), before: beforeMs === null ? null : valueOf(beforeMs) },
      order: [
        [atField, 'ASCENDING'],
        ['id', 'ASCENDING'],
        ['tenant', 'ASCENDING'],
      ],
      startAfter: after === null ? null : [after.at, after.id, after.tenant].map(valueOf),
      select: [...new Set(['tenant', 'id', ownerField, atField])],
      limit: limit + 1,
    });
    const found = await this.start('list').repeat((timeoutMs) => this.store.link.query(query, timeoutMs));
    const places = found.map(({ fields }) => ({
      tenant: String(plainOf(fields['tenant'])),
      id: String(plainOf(fields['id'])),
      sessionId: String(plainOf(fields[ownerField])),
      at: Number(plainOf(fields[atField])),
    }));
    return { data: places.slice(0, limit), hasMore: places.length > limit };
  }

  /** null when it is gone by now. */
  recordOf(call: Call, found: StoredDocument): Promise<T | null> {
    return readRecord(this.store, this.shape, call, found);
  }

  /** Of this kind; what is not given asks for nothing. */
  queryWithin(tenant: TenantId, query: Pick<Query, 'order' | 'limit'> & Partial<Query>): Query {
    return this.#queryOf({ ...query, parent: tenantName(this.store, tenant) });
  }

  #queryOf(query: Pick<Query, 'limit'> & Partial<Query>): Query {
    const collection = collectionOf(this.store, this.shape.kind);
    return { collection, parent: null, equal: {}, range: null, order: [], startAfter: null, select: null, ...query };
  }

  #deletionOf(document: StoredDocument): Write[] {
    const parts = partNames(this.store, document.name, standingOf(document)?.parts ?? null);
    return [
      { delete: document.name, condition: { updateTime: document.updateTime } },
      ...parts.map((part): Write => ({ delete: part, condition: null })),
    ];
  }

  /** Where a page goes on: behind a record, or where it was if it is gone. */
  async #placeOf(call: Call, tenant: TenantId, id: string): Promise<Value[]> {
    const name = this.nameOf(tenant, id);
    const [document = null] = await readDocuments(this.store, call, [name], ['createdAt']);
    const createdAt = document === null ? mintedAt(id) : plainOf(document.fields['createdAt']);
    if (typeof createdAt !== 'number') throw new ServiceError('cursor_invalid', { after: id });
    return [valueOf(createdAt), { referenceValue: name }];
  }
}

/** By name where the times are the same: it is made of the id, and costs no index of its own. */
function byAge(direction: Direction): Query['order'] {
  return [
    ['createdAt', direction],
    ['__name__', direction],
  ];
}
