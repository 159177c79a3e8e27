// Records of one kind: a JSON text each, with a checksum that is verified whenever it is read, and
// the few columns that they are found and ordered by. A damaged one is `session_corrupt`.

import { crc32 } from 'node:zlib';
import type { Page, PageQuery } from '../../contracts/records.ts';
import { ServiceError } from '../../core/errors.ts';
import { mintedAt, type TenantId } from '../../core/ids.ts';
import type { SqliteDatabase } from './sqlite-database.ts';

type Stored = {
  readonly tenant: TenantId;
  readonly id: string;
  readonly revision: number;
  readonly createdAt: number;
};

export type RecordTableShape<T> = {
  readonly name: 'sessions' | 'turns';
  /** A column of its own beside id, created_at and revision: a session's alias, a turn's session. */
  readonly extraColumn: string;
  readonly extraOf: (record: T) => string | null;
  /** What a list is of, beside the tenant; null: all of the tenant's. */
  readonly groupColumn: string | null;
};

type Row = {
  readonly id: string;
  readonly extra: string | null;
  readonly created_at: number;
  readonly revision: number;
  readonly checksum: number;
  readonly body: string;
};

/** Every method is one step of a transaction that the caller began. */
export class RecordTable<T extends Stored> {
  readonly #shape: RecordTableShape<T>;
  readonly #insert;
  readonly #get;
  readonly #update;
  readonly #delete;
  readonly #createdAt;
  readonly #ascending;
  readonly #descending;

  constructor(db: SqliteDatabase, shape: RecordTableShape<T>) {
    const { name, extraColumn, groupColumn } = shape;
    const columns = `id, ${extraColumn} AS extra, created_at, revision, checksum, body`;
    const ofGroup = groupColumn === null ? 'tenant = ?1 AND ?2 IS NULL' : `tenant = ?1 AND ${groupColumn} = ?2`;
    this.#shape = shape;
    this.#insert = db.prepare(
      `INSERT INTO ${name} (tenant, id, ${extraColumn}, created_at, revision, checksum, body) VALUES (?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#get = db.prepare(`SELECT ${columns} FROM ${name} WHERE tenant = ? AND id = ?`);
    this.#update = db.prepare(
      `UPDATE ${name} SET ${extraColumn} = ?, created_at = ?, revision = ?, checksum = ?, body = ?
       WHERE tenant = ? AND id = ? AND revision = ?`,
    );
    this.#delete = db.prepare(`DELETE FROM ${name} WHERE tenant = ? AND id = ?`);
    this.#createdAt = db.prepare(`SELECT created_at FROM ${name} WHERE tenant = ? AND id = ?`);
    this.#ascending = db.prepare(
      `SELECT ${columns} FROM ${name} WHERE ${ofGroup} AND (created_at, id) > (?3, ?4)
       ORDER BY created_at, id LIMIT ?5`,
    );
    this.#descending = db.prepare(
      `SELECT ${columns} FROM ${name} WHERE ${ofGroup} AND (created_at, id) < (?3, ?4)
       ORDER BY created_at DESC, id DESC LIMIT ?5`,
    );
  }

  get(tenant: TenantId, id: string): T | null {
    const row = this.#get.get(tenant, id);
    return row === undefined ? null : this.#recordOf(tenant, row as Row);
  }

  insert(record: T): void {
    const { tenant, id, createdAt, revision } = record;
    const extra = this.#shape.extraOf(record);
    const body = JSON.stringify(record);
    this.#insert.run(
      tenant,
      id,
      extra,
      createdAt,
      revision,
      this.#checksum(tenant, id, extra, createdAt, revision, body),
      body,
    );
  }

  /** null when another revision stands, or none. */
  replace(next: T): T | null {
    const { tenant, id, createdAt } = next;
    const stored = { ...next, revision: next.revision + 1 };
    const extra = this.#shape.extraOf(next);
    const body = JSON.stringify(stored);
    const checksum = this.#checksum(tenant, id, extra, createdAt, stored.revision, body);
    const row = [extra, createdAt, stored.revision, checksum, body];
    const { changes } = this.#update.run(...row, tenant, id, next.revision);
    return changes === 0 ? null : stored;
  }

  delete(tenant: TenantId, id: string): void {
    this.#delete.run(tenant, id);
  }

  page(tenant: TenantId, group: string | null, { after, limit, order }: PageQuery): Page<T> {
    const start = this.#placeOf(tenant, after, order);
    const statement = order === 'asc' ? this.#ascending : this.#descending;
    const rows = statement.all(tenant, group, start.createdAt, start.id, limit + 1);
    return {
      data: rows.slice(0, limit).map((row) => this.#recordOf(tenant, row as Row)),
      hasMore: rows.length > limit,
    };
  }

  #placeOf(tenant: TenantId, id: string | null, order: 'asc' | 'desc'): { createdAt: number; id: string } {
    if (id === null) return { createdAt: order === 'asc' ? -1 : Number.MAX_SAFE_INTEGER, id: '' };
    const row = this.#createdAt.get(tenant, id);
    const createdAt = row === undefined ? mintedAt(id) : Number(row['created_at']);
    if (createdAt === null) throw new ServiceError('cursor_invalid', { after: id });
    return { createdAt, id };
  }

  #recordOf(tenant: TenantId, row: Row): T {
    const { id, extra, created_at: createdAt, revision, checksum, body } = row;
    if (this.#checksum(tenant, id, extra, createdAt, revision, body) !== checksum) {
      const sessionId = this.#shape.name === 'sessions' ? id : extra;
      throw new ServiceError('session_corrupt', { session_id: sessionId, part: this.#shape.name, id });
    }
    return JSON.parse(body) as T;
  }

  /** Of the columns too: a record must not be found under another's name, nor in another's place. */
  #checksum(
    tenant: TenantId,
    id: string,
    extra: string | null,
    createdAt: number,
    revision: number,
    body: string,
  ): number {
    return crc32(body, crc32(JSON.stringify([tenant, id, extra, createdAt, revision])));
  }
}
