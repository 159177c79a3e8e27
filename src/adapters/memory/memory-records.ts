// The records of one process: nothing survives it. Conditional writes need no lock here, because
// every method does its work before it first yields.

import type { CreateResult, Page, PageQuery, Records, SessionRecords, TurnRecords } from '../../contracts/records.ts';
import { ServiceError } from '../../core/errors.ts';
import { mintedAt, type SessionId, type TenantId, type TurnId } from '../../core/ids.ts';
import type { SessionRecord } from '../../core/session.ts';
import type { TurnRecord } from '../../core/turn.ts';
import { type Aged, OrderedRecords } from './ordered-records.ts';
import { tenantKey } from './tenant-key.ts';
import { type UsedSession, UseOrder } from './use-order.ts';

type Stored = Aged & { readonly tenant: TenantId; readonly revision: number };

/** Records by tenant and id, each in a group (a tenant, a session) that can be paged through. */
class RecordTable<T extends Stored> {
  readonly #records = new Map<string, T>();
  readonly #groups = new Map<string, OrderedRecords>();

  get(tenant: TenantId, id: string): T | null {
    return this.#records.get(tenantKey(tenant, id)) ?? null;
  }

  add(record: T, group: string): void {
    this.#records.set(tenantKey(record.tenant, record.id), record);
    const ids = this.#groups.get(group) ?? new OrderedRecords();
    ids.add(record);
    this.#groups.set(group, ids);
  }

  replace(next: T): T | null {
    const key = tenantKey(next.tenant, next.id);
    if (this.#records.get(key)?.revision !== next.revision) return null;
    const stored = { ...next, revision: next.revision + 1 };
    this.#records.set(key, stored);
    return stored;
  }

  delete(tenant: TenantId, id: string, group: string): void {
    const record = this.get(tenant, id);
    if (record === null) return;
    this.#records.delete(tenantKey(tenant, id));
    const ids = this.#groups.get(group);
    ids?.delete(record);
    if (ids?.size === 0) this.#groups.delete(group);
  }

  page(tenant: TenantId, group: string, query: PageQuery): Page<T> {
    const after = this.#placeOf(tenant, query.after);
    const page = this.#groups.get(group)?.page({ ...query, after });
    if (page === undefined) return { data: [], hasMore: false };
    return { data: page.ids.flatMap((id) => this.get(tenant, id) ?? []), hasMore: page.hasMore };
  }

  #placeOf(tenant: TenantId, id: string | null): Aged | null {
    if (id === null) return null;
    const createdAt = this.get(tenant, id)?.createdAt ?? mintedAt(id);
    if (createdAt === null) throw new ServiceError('cursor_invalid', { after: id });
    return { createdAt, id };
  }

  deleteGroup(tenant: TenantId, group: string): void {
    const page = this.#groups.get(group)?.page({ after: null, limit: Number.MAX_SAFE_INTEGER, order: 'asc' });
    for (const id of page?.ids ?? []) this.#records.delete(tenantKey(tenant, id));
    this.#groups.delete(group);
  }
}

export type MemoryRecordsOptions = {
  readonly maxSessions: number;
  /** Of prompts and answers, over all sessions. */
  readonly maxCharacters: number;
  /** A session was forgotten to make room: what others hold of it can go. */
  readonly onForgotten: (session: UsedSession) => void;
};

const defaults: MemoryRecordsOptions = {
  maxSessions: 20_000,
  maxCharacters: 256 * 1024 * 1024,
  onForgotten: () => {},
};
/** Busy sessions are passed over when room is made; so many in a row, and the bound waits for them. */
const mostPassedOver = 1_000;

export class MemoryRecords implements Records {
  readonly sessions: SessionRecords;
  readonly turns: TurnRecords;
  readonly #options: MemoryRecordsOptions;
  readonly #order = new UseOrder();
  readonly #sessions: MemorySessionRecords;

  constructor(options: Partial<MemoryRecordsOptions> = {}) {
    this.#options = { ...defaults, ...options };
    const turns = new RecordTable<TurnRecord>();
    const used = (tenant: TenantId, id: SessionId, characters: number): void => {
      this.#order.use(tenant, id, characters);
      this.#makeRoom(tenant, id);
    };
    this.turns = new MemoryTurnRecords(turns, used);
    this.#sessions = new MemorySessionRecords(turns, used, (tenant, id) => this.#order.forget(tenant, id));
    this.sessions = this.#sessions;
  }

  /** Forgets whole sessions, the one used longest ago first; never one at work, nor the one being used. */
  #makeRoom(tenant: TenantId, id: SessionId): void {
    const { maxCharacters, maxSessions, onForgotten } = this.#options;
    const isFull = (): boolean => this.#order.sessions > maxSessions || this.#order.characters > maxCharacters;
    if (!isFull()) return;
    let passedOver = 0;
    for (const session of this.#order.longestUnused()) {
      if (!isFull() || passedOver >= mostPassedOver) return;
      if ((session.tenant === tenant && session.id === id) || !this.#isAtRest(session)) {
        passedOver++;
        continue;
      }
      // Nothing in it waits: it is done when it returns.
      void this.sessions.erase(session.tenant, session.id);
      onForgotten(session);
    }
  }

  #isAtRest(session: UsedSession): boolean {
    const status = this.#sessions.statusOf(session);
    return status === 'idle' || status === 'hibernated' || status === 'failed';
  }
}

type OnUse = (tenant: TenantId, id: SessionId, addedCharacters: number) => void;

class MemorySessionRecords implements SessionRecords {
  readonly #table = new RecordTable<SessionRecord>();
  readonly #idsByAlias = new Map<string, SessionId>();
  readonly #turns: RecordTable<TurnRecord>;

  readonly #onUse: OnUse;
  readonly #onErase: (tenant: TenantId, id: SessionId) => void;

  constructor(turns: RecordTable<TurnRecord>, onUse: OnUse, onErase: (tenant: TenantId, id: SessionId) => void) {
    this.#turns = turns;
    this.#onUse = onUse;
    this.#onErase = onErase;
  }

  statusOf({ tenant, id }: UsedSession): SessionRecord['status'] | null {
    return this.#table.get(tenant, id)?.status ?? null;
  }

  async create(record: SessionRecord): Promise<CreateResult<SessionRecord>> {
    const standing = this.#table.get(record.tenant, record.id) ?? this.#byAlias(record.tenant, record.alias);
    if (standing !== null) return { outcome: 'exists', record: standing };
    this.#table.add(record, record.tenant);
    if (record.alias !== null) this.#idsByAlias.set(tenantKey(record.tenant, record.alias), record.id);
    this.#onUse(record.tenant, record.id, 0);
    return { outcome: 'created', record };
  }

  async get(tenant: TenantId, id: SessionId): Promise<SessionRecord | null> {
    return this.#table.get(tenant, id);
  }

  async findByAlias(tenant: TenantId, alias: string): Promise<SessionRecord | null> {
    return this.#byAlias(tenant, alias);
  }

  async replace(next: SessionRecord): Promise<SessionRecord | null> {
    const standing = this.#table.get(next.tenant, next.id);
    if (standing !== null && standing.alias !== next.alias) {
      throw new ServiceError('internal', {}, { message: "a session's alias never changes" });
    }
    const written = this.#table.replace(next);
    if (written !== null) this.#onUse(next.tenant, next.id, 0);
    return written;
  }

  async list(tenant: TenantId, query: PageQuery): Promise<Page<SessionRecord>> {
    return this.#table.page(tenant, tenant, query);
  }

  async erase(tenant: TenantId, id: SessionId): Promise<void> {
    const alias = this.#table.get(tenant, id)?.alias ?? null;
    if (alias !== null) this.#idsByAlias.delete(tenantKey(tenant, alias));
    this.#table.delete(tenant, id, tenant);
    this.#turns.deleteGroup(tenant, tenantKey(tenant, id));
    this.#onErase(tenant, id);
  }

  #byAlias(tenant: TenantId, alias: string | null): SessionRecord | null {
    const id = alias === null ? undefined : this.#idsByAlias.get(tenantKey(tenant, alias));
    return id === undefined ? null : this.#table.get(tenant, id);
  }
}

class MemoryTurnRecords implements TurnRecords {
  readonly #table: RecordTable<TurnRecord>;

  readonly #onUse: OnUse;

  constructor(table: RecordTable<TurnRecord>, onUse: OnUse) {
    this.#table = table;
    this.#onUse = onUse;
  }

  async create(record: TurnRecord): Promise<CreateResult<TurnRecord>> {
    const standing = this.#table.get(record.tenant, record.id);
    if (standing !== null) return { outcome: 'exists', record: standing };
    this.#table.add(record, tenantKey(record.tenant, record.sessionId));
    this.#onUse(record.tenant, record.sessionId, charactersOf(record));
    return { outcome: 'created', record };
  }

  async get(tenant: TenantId, id: TurnId): Promise<TurnRecord | null> {
    return this.#table.get(tenant, id);
  }

  async replace(next: TurnRecord): Promise<TurnRecord | null> {
    const standing = this.#table.get(next.tenant, next.id);
    const written = this.#table.replace(next);
    if (written !== null && standing !== null) {
      this.#onUse(next.tenant, next.sessionId, charactersOf(next) - charactersOf(standing));
    }
    return written;
  }

  async list(tenant: TenantId, sessionId: SessionId, query: PageQuery): Promise<Page<TurnRecord>> {
    return this.#table.page(tenant, tenantKey(tenant, sessionId), query);
  }

  async erase(tenant: TenantId, id: TurnId): Promise<void> {
    const turn = this.#table.get(tenant, id);
    if (turn === null) return;
    this.#table.delete(tenant, id, tenantKey(tenant, turn.sessionId));
    this.#onUse(tenant, turn.sessionId, -charactersOf(turn));
  }
}

function charactersOf(turn: TurnRecord): number {
  return turn.prompt.length + turn.finalMessage.length;
}
