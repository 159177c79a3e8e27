// The records of one process: nothing survives it. Conditional writes need no lock here, because
// every method does its work before it first yields.

import type { JobRecords, ScheduleRecords } from '../../contracts/job-records.ts';
import type {
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
import { ServiceError } from '../../core/errors.ts';
import type { SessionId, TenantId, TurnId } from '../../core/ids.ts';
import { isHeld, type SessionRecord } from '../../core/session.ts';
import { isTerminal, type TurnRecord } from '../../core/turn.ts';
import type { DeliveryRecord } from '../../core/webhook.ts';
import { MemoryApprovalRecords } from './memory-approval-records.ts';
import { MemoryJobRecords, MemoryScheduleRecords } from './memory-job-records.ts';
import { MemoryDeliveryRecords, MemoryWebhookRecords } from './memory-webhook-records.ts';
import { RecordTable } from './record-table.ts';
import { tenantKey } from './tenant-key.ts';
import { type OnUse, type UsedSession, UseOrder } from './use-order.ts';

export type MemoryRecordsOptions = {
  readonly maxSessions: number;
  /** Of prompts, answers and approvals, over all sessions. */
  readonly maxCharacters: number;
  /** Beyond them ended ones are forgotten; with none that has ended, new ones are refused. */
  readonly maxJobs: number;
  readonly maxJobCharacters: number;
  readonly maxSchedules: number;
  readonly maxWebhooks: number;
  /** Beyond them ended ones are forgotten, then pending ones: a receiver that is down stops nobody's work. */
  readonly maxDeliveries: number;
  readonly maxDeliveryCharacters: number;
  /** A session was forgotten to make room: what others hold of it can go. */
  readonly onForgotten: (session: UsedSession) => void;
  /** A delivery that had not arrived was forgotten to make room. */
  readonly onUndelivered: (delivery: DeliveryRecord) => void;
};

const defaults: MemoryRecordsOptions = {
  maxSessions: 20_000,
  maxCharacters: 256 * 1024 * 1024,
  maxJobs: 20_000,
  maxJobCharacters: 64 * 1024 * 1024,
  maxSchedules: 20_000,
  maxWebhooks: 20_000,
  maxDeliveries: 20_000,
  maxDeliveryCharacters: 64 * 1024 * 1024,
  onForgotten: () => {},
  onUndelivered: () => {},
};
/** Busy sessions are passed over when room is made; so many in a row, and the bound waits for them. */
const mostPassedOver = 1_000;

export class MemoryRecords implements Records {
  readonly sessions: SessionRecords;
  readonly turns: TurnRecords;
  readonly approvals: ApprovalRecords;
  readonly jobs: JobRecords;
  readonly schedules: ScheduleRecords;
  readonly webhooks: WebhookRecords;
  readonly deliveries: DeliveryRecords;
  readonly #options: MemoryRecordsOptions;
  readonly #order = new UseOrder();
  readonly #sessionTable = new RecordTable<SessionRecord>({
    sessionOf: ({ id }) => id,
    listsOf: ({ tenant }) => [tenant],
    orderedListsOf: (session) =>
      isHeld(session) ? [{ list: 'held', at: session.createdAt }] : [{ list: 'unused', at: session.lastAccessedAt }],
  });
  readonly #turnTable = new RecordTable<TurnRecord>({
    sessionOf: ({ sessionId }) => sessionId,
    listsOf: ({ tenant, sessionId, status }) =>
      isTerminal(status) ? [tenantKey(tenant, sessionId)] : [tenantKey(tenant, sessionId), openKey(tenant, sessionId)],
    orderedListsOf: ({ status, createdAt }) => (isTerminal(status) ? [] : [{ list: 'open', at: createdAt }]),
  });
  readonly #used: OnUse;

  constructor(options: Partial<MemoryRecordsOptions> = {}) {
    this.#options = { ...defaults, ...options };
    this.jobs = new MemoryJobRecords(this.#options.maxJobs, this.#options.maxJobCharacters);
    this.schedules = new MemoryScheduleRecords(this.#options.maxSchedules);
    this.webhooks = new MemoryWebhookRecords(this.#options.maxWebhooks);
    this.deliveries = new MemoryDeliveryRecords(this.#options);
    const used: OnUse = (tenant, id, characters) => {
      this.#order.use(tenant, id, characters);
      this.#makeRoom(tenant, id);
    };
    this.turns = new MemoryTurnRecords(this.#turnTable, used);
    const approvals = new MemoryApprovalRecords(used);
    this.approvals = approvals;
    this.sessions = new MemorySessionRecords(this.#sessionTable, used, (tenant, id) => {
      this.#turnTable.deleteList(tenantKey(tenant, id));
      approvals.eraseOf(tenant, id);
      this.#order.forget(tenant, id);
    });
    this.#used = used;
  }

  async commit(session: SessionRecord, turn: TurnRecord): Promise<{ session: SessionRecord; turn: TurnRecord } | null> {
    const standing = this.#turnTable.get(turn.tenant, turn.id);
    if (standing === null || !this.#turnTable.stands(turn)) return null;
    const written = replaceSession(this.#sessionTable, session);
    const writtenTurn = written === null ? null : this.#turnTable.replace(turn);
    if (written === null || writtenTurn === null) return null;
    this.#used(session.tenant, session.id, charactersOf(turn) - charactersOf(standing));
    return { session: written, turn: writtenTurn };
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
    const status = this.#sessionTable.get(session.tenant, session.id)?.status;
    return status === 'idle' || status === 'hibernated' || status === 'failed' || status === 'quarantined';
  }
}

/** The list of those that have not ended. No session's own id has such a beginning. */
function openKey(tenant: TenantId, sessionId: SessionId): string {
  return tenantKey(tenant, `open ${sessionId}`);
}

class MemorySessionRecords implements SessionRecords {
  readonly #table: RecordTable<SessionRecord>;
  readonly #idsByAlias = new Map<string, SessionId>();
  readonly #onUse: OnUse;
  readonly #onErase: (tenant: TenantId, id: SessionId) => void;

  constructor(table: RecordTable<SessionRecord>, onUse: OnUse, onErase: (tenant: TenantId, id: SessionId) => void) {
    this.#table = table;
    this.#onUse = onUse;
    this.#onErase = onErase;
  }

  async create(record: SessionRecord): Promise<CreateResult<SessionRecord>> {
    const standing = this.#table.get(record.tenant, record.id) ?? this.#byAlias(record.tenant, record.alias);
    if (standing !== null) return { outcome: 'exists', record: standing };
    this.#table.add(record);
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
    const written = replaceSession(this.#table, next);
    if (written !== null) this.#onUse(next.tenant, next.id, 0);
    return written;
  }

  async list(tenant: TenantId, query: PageQuery): Promise<Page<SessionRecord>> {
    return this.#table.page(tenant, tenant, query);
  }

  async listHeld(after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.#table.fleetPage('held', after, limit);
  }

  async listUnused(beforeMs: number, after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.#table.fleetPage('unused', after, limit, beforeMs);
  }

  async erase(tenant: TenantId, id: SessionId): Promise<void> {
    const alias = this.#table.get(tenant, id)?.alias ?? null;
    if (alias !== null) this.#idsByAlias.delete(tenantKey(tenant, alias));
    this.#table.delete(tenant, id);
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
    this.#table.add(record);
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

  async listOpenOf(tenant: TenantId, sessionId: SessionId, query: PageQuery): Promise<Page<TurnRecord>> {
    return this.#table.page(tenant, openKey(tenant, sessionId), query);
  }

  async listOpen(after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.#table.fleetPage('open', after, limit);
  }

  async erase(tenant: TenantId, id: TurnId): Promise<void> {
    const turn = this.#table.get(tenant, id);
    if (turn === null) return;
    this.#table.delete(tenant, id);
    this.#onUse(tenant, turn.sessionId, -charactersOf(turn));
  }
}

function replaceSession(table: RecordTable<SessionRecord>, next: SessionRecord): SessionRecord | null {
  const standing = table.get(next.tenant, next.id);
  if (standing !== null && standing.alias !== next.alias) {
    throw new ServiceError('internal', {}, { message: "a session's alias never changes" });
  }
  return table.replace(next);
}

function charactersOf(turn: TurnRecord): number {
  return turn.steers.reduce((sum, { text }) => sum + text.length, turn.prompt.length + turn.finalMessage.length);
}
