// The records of one host in the shared file; here those of sessions, turns and approvals. Every write is on disk before it is
// answered: what a client was told, and that a prompt has been started, must be known after a power cut too.

import type { JobRecords, ScheduleRecords } from '../../contracts/job-records.ts';
import type {
  ApprovalFilter,
  ApprovalRecords,
  CreateResult,
  FleetPlace,
  Page,
  PageQuery,
  Records,
  SessionRecords,
  TurnRecords,
} from '../../contracts/records.ts';
import type { DeliveryRecords, WebhookRecords } from '../../contracts/webhook-records.ts';
import type { ApprovalRecord } from '../../core/approval.ts';
import { ServiceError } from '../../core/errors.ts';
import type { SessionId, TenantId } from '../../core/ids.ts';
import { isHeld, type SessionRecord } from '../../core/session.ts';
import { isTerminal, type TurnRecord } from '../../core/turn.ts';
import { FleetList } from './fleet-list.ts';
import { RecordTable } from './record-table.ts';
import type { SqliteDatabase } from './sqlite-database.ts';
import { SqliteJobRecords, SqliteScheduleRecords } from './sqlite-job-records.ts';
import { SqliteKeyedRecords } from './sqlite-keyed-records.ts';
import { SqliteDeliveryRecords, SqliteWebhookRecords } from './sqlite-webhook-records.ts';

export class SqliteRecords implements Records {
  readonly sessions: SessionRecords;
  readonly turns: TurnRecords;
  readonly approvals: ApprovalRecords;
  readonly jobs: JobRecords;
  readonly schedules: ScheduleRecords;
  readonly webhooks: WebhookRecords;
  readonly deliveries: DeliveryRecords;
  readonly #db: SqliteDatabase;
  readonly #sessionTable: RecordTable<SessionRecord>;
  readonly #turnTable: RecordTable<TurnRecord>;

  constructor(db: SqliteDatabase) {
    this.#db = db;
    this.#sessionTable = new RecordTable<SessionRecord>(db, {
      name: 'sessions',
      columns: {
        alias: (session) => session.alias,
        is_held: (session) => (isHeld(session) ? 1 : 0),
        last_accessed_at: (session) => session.lastAccessedAt,
        sealed_seq: (session) => session.snapshot?.lastSeq ?? 0,
      },
      ownerColumn: 'id',
      lists: [[]],
    });
    this.#turnTable = new RecordTable<TurnRecord>(db, {
      name: 'turns',
      columns: { session_id: (turn) => turn.sessionId, is_open: (turn) => (isTerminal(turn.status) ? 0 : 1) },
      ownerColumn: 'session_id',
      lists: [['session_id'], ['session_id', 'is_open']],
    });
    this.sessions = new SqliteSessionRecords(db, this.#sessionTable);
    this.turns = new SqliteTurnRecords(db, this.#turnTable);
    this.approvals = new SqliteApprovalRecords(db);
    this.jobs = new SqliteJobRecords(db);
    this.schedules = new SqliteScheduleRecords(db);
    this.webhooks = new SqliteWebhookRecords(db);
    this.deliveries = new SqliteDeliveryRecords(db);
  }

  commit(session: SessionRecord, turn: TurnRecord): Promise<{ session: SessionRecord; turn: TurnRecord } | null> {
    return this.#db.write(() => {
      // Others' writes may share the transaction: it is looked first, so that there is nothing to take back.
      if (!this.#sessionTable.stands(session) || !this.#turnTable.stands(turn)) return null;
      assertSameAlias(this.#sessionTable.get(session.tenant, session.id), session);
      const written = { session: this.#sessionTable.replace(session), turn: this.#turnTable.replace(turn) };
      if (written.session === null || written.turn === null) throw new ServiceError('internal');
      return { session: written.session, turn: written.turn };
    }, 'disk');
  }
}

class SqliteSessionRecords implements SessionRecords {
  readonly #db: SqliteDatabase;
  readonly #table: RecordTable<SessionRecord>;
  readonly #held: FleetList;
  readonly #unused: FleetList;
  readonly #idByAlias;
  readonly #deleteTurns;
  readonly #deleteApprovals;

  constructor(db: SqliteDatabase, table: RecordTable<SessionRecord>) {
    this.#db = db;
    this.#table = table;
    const list = { table: 'sessions', ownerColumn: 'id' } as const;
    this.#held = new FleetList(db, { ...list, condition: 'is_held = 1', atColumn: 'created_at' });
    this.#unused = new FleetList(db, { ...list, condition: 'is_held = 0', atColumn: 'last_accessed_at' });
    this.#idByAlias = db.prepare('SELECT id FROM sessions WHERE tenant = ? AND alias = ?');
    this.#deleteTurns = db.prepare('DELETE FROM turns WHERE tenant = ? AND session_id = ?');
    this.#deleteApprovals = db.prepare('DELETE FROM approvals WHERE tenant = ? AND session_id = ?');
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
      assertSameAlias(this.#table.get(next.tenant, next.id), next);
      return this.#table.replace(next);
    }, 'disk');
  }

  list(tenant: TenantId, query: PageQuery): Promise<Page<SessionRecord>> {
    return this.#db.read(() => this.#table.page(tenant, {}, query));
  }

  listHeld(after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.#held.page(after, limit);
  }

  listUnused(beforeMs: number, after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.#unused.page(after, limit, beforeMs);
  }

  async erase(tenant: TenantId, id: SessionId): Promise<void> {
    await this.#db.write(() => {
      this.#deleteTurns.run(tenant, id);
      this.#deleteApprovals.run(tenant, id);
      this.#table.delete(tenant, id);
    }, 'disk');
    await this.#db.shrink();
    this.#db.emptyLogSoon();
  }

  #byAlias(tenant: TenantId, alias: string | null): SessionRecord | null {
    const row = alias === null ? undefined : this.#idByAlias.get(tenant, alias);
    return row === undefined ? null : this.#table.get(tenant, String(row['id']));
  }
}

class SqliteTurnRecords extends SqliteKeyedRecords<TurnRecord> implements TurnRecords {
  readonly #open: FleetList;

  constructor(db: SqliteDatabase, table: RecordTable<TurnRecord>) {
    super(db, table);
    this.#open = new FleetList(db, {
      table: 'turns',
      ownerColumn: 'session_id',
      condition: 'is_open = 1',
      atColumn: 'created_at',
    });
  }

  list(tenant: TenantId, sessionId: SessionId, query: PageQuery): Promise<Page<TurnRecord>> {
    return this.db.read(() => this.table.page(tenant, { session_id: sessionId }, query));
  }

  listOpenOf(tenant: TenantId, sessionId: SessionId, query: PageQuery): Promise<Page<TurnRecord>> {
    return this.db.read(() => this.table.page(tenant, { session_id: sessionId, is_open: 1 }, query));
  }

  listOpen(after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.#open.page(after, limit);
  }
}

class SqliteApprovalRecords extends SqliteKeyedRecords<ApprovalRecord> implements ApprovalRecords {
  readonly #due: FleetList;

  constructor(db: SqliteDatabase) {
    super(
      db,
      new RecordTable<ApprovalRecord>(db, {
        name: 'approvals',
        columns: {
          session_id: (approval) => approval.sessionId,
          status: (approval) => approval.status,
          expires_at: (approval) => approval.expiresAt,
        },
        ownerColumn: 'session_id',
        lists: [[], ['session_id'], ['status'], ['session_id', 'status']],
      }),
    );
    this.#due = new FleetList(db, {
      table: 'approvals',
      ownerColumn: 'session_id',
      condition: "status = 'pending'",
      atColumn: 'expires_at',
    });
  }

  list(tenant: TenantId, { sessionId, status }: ApprovalFilter, query: PageQuery): Promise<Page<ApprovalRecord>> {
    const narrowed = {
      ...(sessionId === null ? {} : { session_id: sessionId }),
      ...(status === null ? {} : { status }),
    };
    return this.db.read(() => this.table.page(tenant, narrowed, query));
  }

  listDue(beforeMs: number, after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.#due.page(after, limit, beforeMs);
  }
}

function assertSameAlias(standing: SessionRecord | null, next: SessionRecord): void {
  if (standing !== null && standing.alias !== next.alias) {
    throw new ServiceError('internal', {}, { message: "a session's alias never changes" });
  }
}
