// What records of every kind can do that are found by tenant and id alone.

import type { CreateResult, KeyedRecords } from '../../contracts/records.ts';
import type { TenantId } from '../../core/ids.ts';
import type { RecordShape, Stored } from './record-document.ts';
import type { RecordStore } from './record-store.ts';
import { RecordTable } from './record-table.ts';

export class KeyedTable<T extends Stored> implements KeyedRecords<T> {
  protected readonly table: RecordTable<T>;

  constructor(store: RecordStore, shape: RecordShape<T>) {
    this.table = new RecordTable(store, shape);
  }

  create(record: T): Promise<CreateResult<T>> {
    return this.table.create(record);
  }

  get(tenant: TenantId, id: string): Promise<T | null> {
    return this.table.get(tenant, id);
  }

  replace(next: T): Promise<T | null> {
    return this.table.replace(next);
  }

  erase(tenant: TenantId, id: string): Promise<void> {
    return this.table.erase(tenant, id);
  }
}
