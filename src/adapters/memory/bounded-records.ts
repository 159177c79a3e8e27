// Records of one kind that nothing else bounds: so many of them, so many characters. What may be forgotten to make
// room, and in which order, is the kind's own business. Every method does its work before it first yields.

import type { CreateResult, KeyedRecords } from '../../contracts/records.ts';
import { ServiceError } from '../../core/errors.ts';
import type { TenantId } from '../../core/ids.ts';
import { RecordTable, type RecordTableShape, type Stored } from './record-table.ts';

export type RecordBound<T> = {
  readonly maxRecords: number;
  readonly maxCharacters: number;
  readonly charactersOf: (record: T) => number;
  /** What goes next; null: nothing may, and no further record is taken: it is refused so. */
  readonly nextToForget: (table: RecordTable<T & Stored>) => T | null;
  /** Never `storage_full`: that is said of a disk, and would make the whole fleet spare it. */
  readonly refusal: 'too_many_jobs' | 'limit_reached' | 'store_unavailable';
  readonly onForgotten?: (record: T) => void;
};

export class BoundedRecords<T extends Stored> implements KeyedRecords<T> {
  protected readonly table: RecordTable<T>;
  readonly #bound: RecordBound<T>;
  #characters = 0;

  constructor(shape: RecordTableShape<T>, bound: RecordBound<T>) {
    this.table = new RecordTable<T>(shape);
    this.#bound = bound;
  }

  async create(record: T): Promise<CreateResult<T>> {
    const standing = this.table.get(record.tenant, record.id);
    if (standing !== null) return { outcome: 'exists', record: standing };
    const characters = this.#bound.charactersOf(record);
    this.#makeRoom(1, characters, record);
    // One alone is taken whatever its size.
    if (this.#isFull(1, characters) && this.table.size > 0) {
      throw new ServiceError(this.#bound.refusal, { limit: this.#bound.maxRecords });
    }
    this.table.add(record);
    this.#characters += characters;
    return { outcome: 'created', record };
  }

  async get(tenant: TenantId, id: string): Promise<T | null> {
    return this.table.get(tenant, id);
  }

  async replace(next: T): Promise<T | null> {
    const standing = this.table.get(next.tenant, next.id);
    const written = this.table.replace(next);
    if (standing === null || written === null) return null;
    this.#characters += this.#bound.charactersOf(written) - this.#bound.charactersOf(standing);
    this.#makeRoom(0, 0, written);
    return written;
  }

  async erase(tenant: TenantId, id: string): Promise<void> {
    const standing = this.table.get(tenant, id);
    if (standing !== null) this.#remove(standing);
  }

  /** All that stand in the list of the tenant's, by age, of that name. */
  protected eraseList(tenant: TenantId, list: string): void {
    const { data } = this.table.page(tenant, list, { after: null, limit: Number.MAX_SAFE_INTEGER, order: 'asc' });
    for (const record of data) this.#remove(record);
  }

  /** Never forgets the one that is being used; then room is made with the next. */
  #makeRoom(records: number, characters: number, used: T): void {
    while (this.#isFull(records, characters)) {
      const next = this.#bound.nextToForget(this.table);
      if (next === null || (next.tenant === used.tenant && next.id === used.id)) return;
      this.#remove(next);
      this.#bound.onForgotten?.(next);
    }
  }

  #isFull(records: number, characters: number): boolean {
    const { maxCharacters, maxRecords } = this.#bound;
    return this.table.size + records > maxRecords || this.#characters + characters > maxCharacters;
  }

  #remove(record: T): void {
    this.table.delete(record.tenant, record.id);
    this.#characters -= this.#bound.charactersOf(record);
  }
}
