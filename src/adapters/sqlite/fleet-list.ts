// A list over all tenants, straight from an index: what is found is named by its columns and not read,
// so that one damaged record hides no other.

import type { FleetPlace, Page } from '../../contracts/records.ts';
import type { OwnerColumn, RecordTableName } from './record-table.ts';
import type { SqliteDatabase } from './sqlite-database.ts';

export type FleetListShape = {
  readonly table: RecordTableName;
  readonly ownerColumn: OwnerColumn;
  /** As the partial index has it, word for word: else SQLite would not use it. */
  readonly condition: string;
  readonly atColumn: string;
};

export class FleetList {
  readonly #db: SqliteDatabase;
  readonly #page;

  constructor(db: SqliteDatabase, { table, ownerColumn, condition, atColumn }: FleetListShape) {
    this.#db = db;
    this.#page = db.prepare(
      `SELECT tenant, id, ${ownerColumn} AS owner, ${atColumn} AS at FROM ${table}
       WHERE ${condition} AND (${atColumn}, id, tenant) > (?, ?, ?) AND ${atColumn} < ?
       ORDER BY ${atColumn}, id, tenant LIMIT ?`,
    );
  }

  page(after: FleetPlace | null, limit: number, beforeMs = Number.MAX_SAFE_INTEGER): Promise<Page<FleetPlace>> {
    return this.#db.read(() => {
      const { at, id, tenant } = after ?? { at: -1, id: '', tenant: '' };
      const rows = this.#page.all(at, id, tenant, beforeMs, limit + 1);
      return { data: rows.slice(0, limit).map(placeOf), hasMore: rows.length > limit };
    });
  }
}

function placeOf(row: Readonly<Record<string, unknown>>): FleetPlace {
  return {
    tenant: String(row['tenant']),
    id: String(row['id']),
    sessionId: String(row['owner']),
    at: Number(row['at']),
  };
}
