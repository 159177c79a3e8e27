// The records of sessions, turns and approvals: what must be true. Every write is conditional on the revision
// that the writer saw, so that two writers never both believe they won.

import type { ApprovalRecord, ApprovalStatus } from '../core/approval.ts';
import type { SessionId, TenantId, TurnId } from '../core/ids.ts';
import type { SessionRecord } from '../core/session.ts';
import type { TurnRecord } from '../core/turn.ts';
import type { JobRecords, ScheduleRecords } from './job-records.ts';
import type { DeliveryRecords, WebhookRecords } from './webhook-records.ts';

export type PageQuery = {
  /**
   * The page starts behind this id, in the order asked for: by time of creation, then by id. One that
   * is gone still has its place, if it was minted; `cursor_invalid` for one that was derived from a key.
   */
  readonly after: string | null;
  /** 1 to 100. */
  readonly limit: number;
  readonly order: 'asc' | 'desc';
};

export type Page<T> = { readonly data: readonly T[]; readonly hasMore: boolean };

/** A place in a list over all tenants: by time, then id, then tenant. Each entry of such a list is its own place. */
export type FleetPlace = {
  readonly tenant: TenantId;
  readonly id: string;
  /** Whose it is; the same as `id` for a session. */
  readonly sessionId: SessionId;
  /** Milliseconds since the epoch; of what, the list says. */
  readonly at: number;
};

export type CreateResult<T> =
  | { readonly outcome: 'created'; readonly record: T }
  /** The id (or the alias) is taken; nothing was written. */
  | { readonly outcome: 'exists'; readonly record: T };

/** Records of one kind, each found by its tenant and id. Every write is durable before it resolves. */
export interface KeyedRecords<T> {
  create(record: T): Promise<CreateResult<T>>;
  get(tenant: TenantId, id: string): Promise<T | null>;
  /** As SessionRecords.replace. */
  replace(next: T): Promise<T | null>;
  /** Removing what is not there is harmless. */
  erase(tenant: TenantId, id: string): Promise<void>;
}

export interface SessionRecords {
  /** The id and the alias (if any) must both be free within the tenant. */
  create(record: SessionRecord): Promise<CreateResult<SessionRecord>>;
  get(tenant: TenantId, id: SessionId): Promise<SessionRecord | null>;
  findByAlias(tenant: TenantId, alias: string): Promise<SessionRecord | null>;
  /**
   * Writes `next` if the stored revision is `next.revision`, and answers it with revision + 1;
   * null when the record has changed or is gone. id, tenant and alias never change.
   */
  replace(next: SessionRecord): Promise<SessionRecord | null>;
  list(tenant: TenantId, query: PageQuery): Promise<Page<SessionRecord>>;
  /**
   * Sessions of all tenants that a run of a worker holds, or that have untold turns, the first created
   * first: after a crash, those that somebody must look after. Lists over all tenants name what they
   * find without reading it: one damaged record does not hide the others.
   */
  listHeld(after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>>;
  /** The others, where last accessed before that time, the longest unused first. */
  listUnused(beforeMs: number, after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>>;
  /** Removes the record, its turns and its approvals; the alias is free again. */
  erase(tenant: TenantId, id: SessionId): Promise<void>;
}

export interface TurnRecords {
  /** Durable before it resolves: a turn is acknowledged to the client only after this. */
  create(record: TurnRecord): Promise<CreateResult<TurnRecord>>;
  get(tenant: TenantId, id: TurnId): Promise<TurnRecord | null>;
  /** As SessionRecords.replace. */
  replace(next: TurnRecord): Promise<TurnRecord | null>;
  list(tenant: TenantId, sessionId: SessionId, query: PageQuery): Promise<Page<TurnRecord>>;
  /** Those of the session that have not ended. */
  listOpenOf(tenant: TenantId, sessionId: SessionId, query: PageQuery): Promise<Page<TurnRecord>>;
  /** Turns of all tenants that have not ended, the first created first: what nobody may be working on after a crash. */
  listOpen(after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>>;
  /** Removes the record of a turn that nobody was told of. */
  erase(tenant: TenantId, id: TurnId): Promise<void>;
}

export type ApprovalFilter = {
  readonly sessionId: SessionId | null;
  readonly status: ApprovalStatus | null;
};

export interface ApprovalRecords {
  /** Durable before it resolves, as all writes here. */
  create(record: ApprovalRecord): Promise<CreateResult<ApprovalRecord>>;
  get(tenant: TenantId, id: string): Promise<ApprovalRecord | null>;
  /** As SessionRecords.replace. */
  replace(next: ApprovalRecord): Promise<ApprovalRecord | null>;
  list(tenant: TenantId, filter: ApprovalFilter, query: PageQuery): Promise<Page<ApprovalRecord>>;
  /** Pending ones of all tenants whose time was over before that moment, the first to expire first. */
  listDue(beforeMs: number, after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>>;
}

export interface Records {
  readonly sessions: SessionRecords;
  readonly turns: TurnRecords;
  /** Erased with their session. */
  readonly approvals: ApprovalRecords;
  readonly jobs: JobRecords;
  readonly schedules: ScheduleRecords;
  readonly webhooks: WebhookRecords;
  readonly deliveries: DeliveryRecords;
  /**
   * Both or neither, as one step: null when either stands at another revision, or is gone. This is how
   * a turn ends: the session's record says at which snapshot, the turn's how.
   */
  commit(session: SessionRecord, turn: TurnRecord): Promise<{ session: SessionRecord; turn: TurnRecord } | null>;
}
