// Records of one kind: a JSON text each, with a checksum that is verified whenever it is read, and
// the few columns that they are found and ordered by. A damaged one is `session_corrupt`.

import type { StatementSync } from 'node:sqlite';
import { crc32 } from 'node:zlib';
import type { Page, PageQuery } from '../../contracts/records.ts';
import { ServiceError } from '../../core/errors.ts';
import { mintedAt, type TenantId } from '../../core/ids.ts';
import type { SqliteDatabase } from './sqlite-database.ts';

export type Stored = {
  readonly tenant: TenantId;
  readonly id: string;
  readonly revision: number;
  readonly createdAt: number;
};

export const recordTableNames = [
  'sessions',
  'turns',
  'approvals',
  'jobs',
  'schedules',
  'webhooks',
  'deliveries',
] as const;
export type RecordTableName = (typeof recordTableNames)[number];

/** The column that says whose a record is, where that is not known from the record itself. */
export type OwnerColumn = 'id' | 'session_id' | 'lane';

type Value = string | number | null;

export type RecordTableShape<T> = {
  readonly name: RecordTableName;
  /** Columns of its own beside id, created_at and revision, with what each holds of a record. */
  readonly columns: Readonly<Record<string, (record: T) => Value>>;
  readonly ownerColumn: OwnerColumn;
  /** Each the columns that a list can be narrowed by, beside the tenant. */
  readonly lists: readonly (readonly string[])[];
};

type Row = Readonly<Record<string, unknown>> & {
  readonly id: string;
  readonly created_at: number;
  readonly revision: number;
  readonly checksum: number;
  readonly body: string;
};

/** Every method is one step of a transaction that the caller began. */
export class RecordTable<T extends Stored> {
  readonly #db: SqliteDatabase;
  readonly #shape: RecordTableShape<T>;
  readonly #readColumns: string;
  readonly #columns: readonly string[];
  readonly #insert;
  readonly #get;
  readonly #update;
  readonly #delete;
  readonly #place;
  /** By order and narrowing columns. */
  readonly #lists: ReadonlyMap<string, StatementSync>;

  constructor(db: SqliteDatabase, shape: RecordTableShape<T>) {
    const { name, lists } = shape;
    this.#db = db;
    this.#shape = shape;
    this.#columns = Object.keys(shape.columns);
    const written = [...this.#columns, 'created_at', 'revision', 'checksum', 'body'];
    const read = ['id', ...written].join(', ');
    this.#readColumns = read;
    this.#insert = db.prepare(
      `INSERT INTO ${name} (${written.join(', ')}, tenant, id) VALUES (${written.map(() => '?').join(', ')}, ?, ?)`,
    );
    this.#get = db.prepare(`SELECT ${read} FROM ${name} WHERE tenant = ? AND id = ?`);
    this.#update = db.prepare(
      `UPDATE ${name} SET ${written.map((column) => `${column} = ?`).join(', ')} WHERE tenant = ? AND id = ? AND revision = ?`,
    );
    this.#delete = db.prepare(`DELETE FROM ${name} WHERE tenant = ? AND id = ?`);
    this.#place = db.prepare(`SELECT created_at, revision FROM ${name} WHERE tenant = ? AND id = ?`);
    const list = (narrowedBy: readonly string[], order: 'asc' | 'desc'): StatementSync =>
      db.prepare(
        `SELECT ${read} FROM ${name} WHERE tenant = ? ${narrowedBy.map((column) => `AND ${column} = ? `).join('')}
         AND (created_at, id) ${order === 'asc' ? '>' : '<'} (?, ?) ORDER BY created_at ${order}, id ${order} LIMIT ?`,
      );
    this.#lists = new Map(
      lists.flatMap((narrowedBy) =>
        (['asc', 'desc'] as const).map((order) => [listName(order, narrowedBy), list(narrowedBy, order)] as const),
      ),
    );
  }

  get(tenant: TenantId, id: string): T | null {
    const row = this.#get.get(tenant, id);
    return row === undefined ? null : this.#recordOf(tenant, row as Row);
  }

  /** Whether the record stands at the revision that the writer of `next` saw. */
  stands({ tenant, id, revision }: Stored): boolean {
    return this.#place.get(tenant, id)?.['revision'] === revision;
  }

  insert(record: T): void {
    this.#insert.run(...this.#written(record), record.tenant, record.id);
  }

  /** null when another revision stands, or none. */
  replace(next: T): T | null {
    const stored = { ...next, revision: next.revision + 1 };
    const { changes } = this.#update.run(...this.#written(stored), next.tenant, next.id, next.revision);
    return changes === 0 ? null : stored;
  }

  delete(tenant: TenantId, id: string): void {
    this.#delete.run(tenant, id);
  }

  /** `narrowed`: values by column, for one of the shape's lists. */
  page(tenant: TenantId, narrowed: Readonly<Record<string, Value>>, { after, limit, order }: PageQuery): Page<T> {
    const statement = this.#lists.get(listName(order, Object.keys(narrowed)));
    if (statement === undefined) throw new ServiceError('internal', {}, { message: 'there is no such list' });
    const start = this.#placeOf(tenant, after, order);
    const rows = statement.all(tenant, ...Object.values(narrowed), start.createdAt, start.id, limit + 1);
    return {
      data: rows.slice(0, limit).map((row) => this.#recordOf(tenant, row as Row)),
      hasMore: rows.length > limit,
    };
  }

  /** Of one tenant's records those that `condition` finds, in the order that it ends with. */
  prepareQuery(condition: string): (tenant: TenantId, ...values: readonly Value[]) => readonly T[] {
    const { name } = this.#shape;
    const query = this.#db.prepare(`SELECT ${this.#readColumns} FROM ${name} WHERE tenant = ? AND ${condition}`);
    return (tenant, ...values) => query.all(tenant, ...values).map((row) => this.#recordOf(tenant, row as Row));
  }

  /** Deletes so many of one tenant's at most with that value; answers how many these were. */
  prepareDeletion(column: string): (tenant: TenantId, value: Value, most: number) => number {
    const { name } = this.#shape;
    const deletion = this.#db.prepare(
      `DELETE FROM ${name} WHERE rowid IN (SELECT rowid FROM ${name} WHERE tenant = ? AND ${column} = ? LIMIT ?)`,
    );
    return (tenant, value, most) => Number(deletion.run(tenant, value, most).changes);
  }

  #placeOf(tenant: TenantId, id: string | null, order: 'asc' | 'desc'): { createdAt: number; id: string } {
    if (id === null) return { createdAt: order === 'asc' ? -1 : Number.MAX_SAFE_INTEGER, id: '' };
    const row = this.#place.get(tenant, id);
    const createdAt = row === undefined ? mintedAt(id) : Number(row['created_at']);
    if (createdAt === null) throw new ServiceError('cursor_invalid', { after: id });
    return { createdAt, id };
  }

  #written(record: T): Value[] {
    const { tenant, id, createdAt, revision } = record;
    const own = Object.values(this.#shape.columns).map((valueOf) => valueOf(record));
    const body = JSON.stringify(record);
    return [...own, createdAt, revision, checksumOf([tenant, id, ...own, createdAt, revision], body), body];
  }

  #recordOf(tenant: TenantId, row: Row): T {
    const { id, created_at: createdAt, revision, checksum, body } = row;
    const own = this.#columns.map((column) => row[column]);
    if (checksumOf([tenant, id, ...own, createdAt, revision], body) !== checksum) {
      const { name, ownerColumn } = this.#shape;
      throw new ServiceError('session_corrupt', { session_id: row[ownerColumn], part: name, id });
    }
    return JSON.parse(body) as T;
  }
}

function listName(order: 'asc' | 'desc', narrowedBy: readonly string[]): string {
  return [order, ...narrowedBy].join(' ');
}

/** Of the columns too: a record must not be found under another's name, nor in another's place. */
function checksumOf(columns: readonly unknown[], body: string): number {
  return crc32(body, crc32(JSON.stringify(columns)));
}
