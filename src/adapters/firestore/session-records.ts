// The records of sessions, turns and approvals. A session's alias is a document of its own, written and removed with
// the session in one step: that is what makes it unique.

import type {
  ApprovalFilter,
  ApprovalRecords,
  CreateResult,
  FleetPlace,
  Page,
  PageQuery,
  SessionRecords,
  TurnRecords,
} from '../../contracts/records.ts';
import type { ApprovalRecord } from '../../core/approval.ts';
import { ServiceError } from '../../core/errors.ts';
import type { SessionId, TenantId } from '../../core/ids.ts';
import { isHeld, type SessionRecord } from '../../core/session.ts';
import { isTerminal, type TurnRecord } from '../../core/turn.ts';
import type { Call } from './call.ts';
import { plainOf, type StoredDocument, valueOf, type Write } from './document.ts';
import { KeyedTable } from './keyed-table.ts';
import type { RecordShape } from './record-document.ts';
import { afterFailure } from './conditional-write.ts';
import { commitOnce, documentName, readDocuments, type RecordStore } from './record-store.ts';
import { RecordTable } from './record-table.ts';

/** In one commit of an erasure; each may have documents for the rest of its text. */
const erasedAtOnce = 40;

// None of these expires by itself: Firestore would remove them in any order and at any time, a session before the
// snapshots and the log that only it names, a turn below a session that still counts it. The session manager removes
// them when their time has come, in the right order.
const neverExpires = (): null => null;

export const sessionShape: RecordShape<SessionRecord> = {
  kind: 'sessions',
  fields: {
    heldAt: (session) => (isHeld(session) ? session.createdAt : null),
    unusedAt: (session) => (isHeld(session) ? null : session.lastAccessedAt),
  },
  ownerField: 'id',
  constantOf: ({ alias }) => alias ?? '',
  expiresAtOf: neverExpires,
};

export const turnShape: RecordShape<TurnRecord> = {
  kind: 'turns',
  fields: {
    sessionId: (turn) => turn.sessionId,
    openSession: (turn) => (isTerminal(turn.status) ? null : turn.sessionId),
    openAt: (turn) => (isTerminal(turn.status) ? null : turn.createdAt),
  },
  ownerField: 'sessionId',
  constantOf: () => '',
  expiresAtOf: neverExpires,
};

const approvalShape: RecordShape<ApprovalRecord> = {
  kind: 'approvals',
  fields: {
    sessionId: (approval) => approval.sessionId,
    status: (approval) => approval.status,
    dueAt: (approval) => (approval.status === 'pending' ? approval.expiresAt : null),
  },
  ownerField: 'sessionId',
  constantOf: () => '',
  expiresAtOf: neverExpires,
};

export class FirestoreSessionRecords implements SessionRecords {
  readonly #store: RecordStore;
  readonly #table: RecordTable<SessionRecord>;
  readonly #turns: RecordTable<TurnRecord>;
  readonly #approvals: RecordTable<ApprovalRecord>;

  constructor(store: RecordStore) {
    this.#store = store;
    this.#table = new RecordTable(store, sessionShape);
    this.#turns = new RecordTable(store, turnShape);
    this.#approvals = new RecordTable(store, approvalShape);
  }

  create(record: SessionRecord): Promise<CreateResult<SessionRecord>> {
    const call = this.#table.start('create');
    const { alias, id, tenant } = record;
    if (alias === null) return this.#table.createWith(call, record, noWrites, nothing);
    const set = this.#aliasName(tenant, alias);
    const fields = { id: valueOf(id), alias: valueOf(alias) };
    return this.#table.createWith(
      call,
      record,
      () => [{ set, fields, condition: { exists: false } }],
      () => this.#holderOf(call, tenant, alias),
    );
  }

  get(tenant: TenantId, id: SessionId): Promise<SessionRecord | null> {
    return this.#table.get(tenant, id);
  }

  async findByAlias(tenant: TenantId, alias: string): Promise<SessionRecord | null> {
    const call = this.#table.start('findByAlias');
    const document = await this.#documentByAlias(call, tenant, alias);
    const session = document === null ? null : await this.#table.recordOf(call, document);
    if (session === null || session.alias === alias) return session;
    throw new ServiceError('session_corrupt', { session_id: session.id, part: 'aliases', id: alias });
  }

  replace(next: SessionRecord): Promise<SessionRecord | null> {
    return this.#table.replace(next);
  }

  list(tenant: TenantId, query: PageQuery): Promise<Page<SessionRecord>> {
    return this.#table.page(tenant, {}, query);
  }

  listHeld(after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.#table.fleetPage('heldAt', after, limit, null);
  }

  listUnused(beforeMs: number, after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.#table.fleetPage('unusedAt', after, limit, beforeMs);
  }

  /** In steps, each with a deadline of its own. The session goes last: cut short, the same again finishes it. */
  async erase(tenant: TenantId, id: SessionId): Promise<void> {
    const ofSession = { sessionId: valueOf(id) };
    await this.#turns.eraseAll(tenant, ofSession, erasedAtOnce);
    await this.#approvals.eraseAll(tenant, ofSession, erasedAtOnce);
    await this.#table.eraseWith(this.#table.start('erase'), tenant, id, (alias): Write[] =>
      alias === '' ? [] : [{ delete: this.#aliasName(tenant, alias), condition: null }],
    );
  }

  #aliasName(tenant: TenantId, alias: string): string {
    return documentName(this.#store, tenant, 'aliases', alias);
  }

  async #documentByAlias(call: Call, tenant: TenantId, alias: string): Promise<StoredDocument | null> {
    const [, session] = await this.#aliasAndSession(call, tenant, alias);
    return session;
  }

  /** Who has the alias that a new session was refused. One that no session has (only damage leaves such) is removed. */
  async #holderOf(call: Call, tenant: TenantId, alias: string): Promise<StoredDocument | null> {
    const [found, session] = await this.#aliasAndSession(call, tenant, alias);
    if (found === null || session !== null) return session;
    try {
      // A session and its alias are written as one: if this alias is still the one that was read, it has none.
      const deletion: Write = { delete: found.name, condition: { updateTime: found.updateTime } };
      await commitOnce(this.#store, call, [deletion]);
    } catch (error) {
      await afterFailure(this.#store, call, error);
    }
    return null;
  }

  async #aliasAndSession(
    call: Call,
    tenant: TenantId,
    alias: string,
  ): Promise<[alias: StoredDocument | null, session: StoredDocument | null]> {
    const [found = null] = await readDocuments(this.#store, call, [this.#aliasName(tenant, alias)], null);
    const id = found === null ? null : plainOf(found.fields['id']);
    if (typeof id !== 'string') return [found, null];
    const [session = null] = await readDocuments(this.#store, call, [this.#table.nameOf(tenant, id)], null);
    return [found, session];
  }
}

export class FirestoreTurnRecords extends KeyedTable<TurnRecord> implements TurnRecords {
  constructor(store: RecordStore) {
    super(store, turnShape);
  }

  list(tenant: TenantId, sessionId: SessionId, query: PageQuery): Promise<Page<TurnRecord>> {
    return this.table.page(tenant, { sessionId }, query);
  }

  listOpenOf(tenant: TenantId, sessionId: SessionId, query: PageQuery): Promise<Page<TurnRecord>> {
    return this.table.page(tenant, { openSession: sessionId }, query);
  }

  listOpen(after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.table.fleetPage('openAt', after, limit, null);
  }
}

export class FirestoreApprovalRecords extends KeyedTable<ApprovalRecord> implements ApprovalRecords {
  constructor(store: RecordStore) {
    super(store, approvalShape);
  }

  list(tenant: TenantId, { sessionId, status }: ApprovalFilter, query: PageQuery): Promise<Page<ApprovalRecord>> {
    const narrowed = { ...(sessionId === null ? {} : { sessionId }), ...(status === null ? {} : { status }) };
    return this.table.page(tenant, narrowed, query);
  }

  listDue(beforeMs: number, after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.table.fleetPage('dueAt', after, limit, beforeMs);
  }
}

const noWrites = (): Write[] => [];
const nothing = async (): Promise<null> => null;
