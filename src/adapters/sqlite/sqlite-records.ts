// The records of sessions and turns in the shared file. Every write is on disk before it is answered:
// what a client was told, and that a prompt has been started, must be known after a power cut too.

import type { CreateResult, Page, PageQuery, Records, SessionRecords, TurnRecords } from '../../contracts/records.ts';
import { ServiceError } from '../../core/errors.ts';
import type { SessionId, TenantId, TurnId } from '../../core/ids.ts';
import type { SessionRecord } from '../../core/session.ts';
import type { TurnRecord } from '../../core/turn.ts';
import { RecordTable } from './record-table.ts';
import type { SqliteDatabase } from './sqlite-database.ts';

export class SqliteRecords implements Records {
  readonly sessions: SessionRecords;
  readonly turns: TurnRecords;

  constructor(db: SqliteDatabase) {
    this.sessions = new SqliteSessionRecords(db);
    this.turns = new SqliteTurnRecords(db);
  }
}

class SqliteSessionRecords implements SessionRecords {
  readonly #db: SqliteDatabase;
  readonly #table: RecordTable<SessionRecord>;
  readonly #idByAlias;
  readonly #deleteTurns;

  constructor(db: SqliteDatabase) {
    this.#db = db;
    this.#table = new RecordTable(db, {
      name: 'sessions',
      extraColumn: 'alias',
      extraOf: (session) => session.alias,
      groupColumn: null,
    });
    this.#idByAlias = db.prepare('SELECT id FROM sessions WHERE tenant = ? AND alias = ?');
    this.#deleteTurns = db.prepare('DELETE FROM turns WHERE tenant = ? AND session_id = ?');
  }

  create(record: SessionRecord): Promise<CreateResult<SessionRecord>> {
    return this.#db.write(() => {
      const standing = this.#table.get(record.tenant, record.id) ?? this.#byAlias(record.tenant, record.alias);
      if (standing !== null) return { outcome: 'exists', record: standing };
      this.#table.insert(record);
      return { outcome: 'created', record };
    }, 'disk');
  }

  get(tenant: TenantId, id: SessionId): Promise<SessionRecord | null> {
    return this.#db.read(() => this.#table.get(tenant, id));
  }

  findByAlias(tenant: TenantId, alias: string): Promise<SessionRecord | null> {
    return this.#db.read(() => this.#byAlias(tenant, alias));
  }

  replace(next: SessionRecord): Promise<SessionRecord | null> {
    return this.#db.write(() => {
      const standing = this.#table.get(next.tenant, next.id);
      if (standing !== null && standing.alias !== next.alias) {
        throw new ServiceError('internal', {}, { message: "a session's alias never changes" });
      }
      return this.#table.replace(next);
    }, 'disk');
  }

  list(tenant: TenantId, query: PageQuery): Promise<Page<SessionRecord>> {
    return this.#db.read(() => this.#table.page(tenant, null, query));
  }

  async erase(tenant: TenantId, id: SessionId): Promise<void> {
    await this.#db.write(() => {
      this.#deleteTurns.run(tenant, id);
      this.#table.delete(tenant, id);
    }, 'disk');
    await this.#db.shrink();
  }

  #byAlias(tenant: TenantId, alias: string | null): SessionRecord | null {
    const row = alias === null ? undefined : this.#idByAlias.get(tenant, alias);
    return row === undefined ? null : this.#table.get(tenant, String(row['id']));
  }
}

class SqliteTurnRecords implements TurnRecords {
  readonly #db: SqliteDatabase;
  readonly #table: RecordTable<TurnRecord>;

  constructor(db: SqliteDatabase) {
    this.#db = db;
    this.#table = new RecordTable(db, {
      name: 'turns',
      extraColumn: 'session_id',
      extraOf: (turn) => turn.sessionId,
      groupColumn: 'session_id',
    });
  }

  create(record: TurnRecord): Promise<CreateResult<TurnRecord>> {
    return this.#db.write(() => {
      const standing = this.#table.get(record.tenant, record.id);
      if (standing !== null) return { outcome: 'exists', record: standing };
      this.#table.insert(record);
      return { outcome: 'created', record };
    }, 'disk');
  }

  get(tenant: TenantId, id: TurnId): Promise<TurnRecord | null> {
    return this.#db.read(() => this.#table.get(tenant, id));
  }

  replace(next: TurnRecord): Promise<TurnRecord | null> {
    return this.#db.write(() => this.#table.replace(next), 'disk');
  }

  list(tenant: TenantId, sessionId: SessionId, query: PageQuery): Promise<Page<TurnRecord>> {
    return this.#db.read(() => this.#table.page(tenant, sessionId, query));
  }

  erase(tenant: TenantId, id: TurnId): Promise<void> {
    return this.#db.write(() => this.#table.delete(tenant, id), 'disk');
  }
}
