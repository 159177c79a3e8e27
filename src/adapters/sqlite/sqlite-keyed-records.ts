// What records of every kind but sessions have in common: each is written and read by its tenant and id.

import type { CreateResult, KeyedRecords } from '../../contracts/records.ts';
import type { TenantId } from '../../core/ids.ts';
import type { RecordTable, Stored } from './record-table.ts';
import type { SqliteDatabase } from './sqlite-database.ts';

export class SqliteKeyedRecords<T extends Stored> implements KeyedRecords<T> {
  protected readonly db: SqliteDatabase;
  protected readonly table: RecordTable<T>;

  constructor(db: SqliteDatabase, table: RecordTable<T>) {
    this.db = db;
    this.table = table;
  }

  create(record: T): Promise<CreateResult<T>> {
    return this.db.write((): CreateResult<T> => {
      const standing = this.table.get(record.tenant, record.id);
      if (standing !== null) return { outcome: 'exists', record: standing };
      this.table.insert(record);
      return { outcome: 'created', record };
    }, 'disk');
  }

  get(tenant: TenantId, id: string): Promise<T | null> {
    return this.db.read(() => this.table.get(tenant, id));
  }

  replace(next: T): Promise<T | null> {
    return this.db.write(() => this.table.replace(next), 'disk');
  }

  async erase(tenant: TenantId, id: string): Promise<void> {
    await this.db.write(() => this.table.delete(tenant, id), 'disk');
    this.db.emptyLogSoon();
  }
}
