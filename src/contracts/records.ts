// The records of sessions and turns: what must be true. Every write is conditional on the revision
// that the writer saw, so that two writers never both believe they won.

import type { SessionId, TenantId, TurnId } from '../core/ids.ts';
import type { SessionRecord } from '../core/session.ts';
import type { TurnRecord } from '../core/turn.ts';

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

export type CreateResult<T> =
  | { readonly outcome: 'created'; readonly record: T }
  /** The id (or the alias) is taken; nothing was written. */
  | { readonly outcome: 'exists'; readonly record: T };

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
  /** Removes the record and its turns; the alias is free again. */
  erase(tenant: TenantId, id: SessionId): Promise<void>;
}

export interface TurnRecords {
  /** Durable before it resolves: a turn is acknowledged to the client only after this. */
  create(record: TurnRecord): Promise<CreateResult<TurnRecord>>;
  get(tenant: TenantId, id: TurnId): Promise<TurnRecord | null>;
  /** As SessionRecords.replace. */
  replace(next: TurnRecord): Promise<TurnRecord | null>;
  list(tenant: TenantId, sessionId: SessionId, query: PageQuery): Promise<Page<TurnRecord>>;
  /** Removes the record of a turn that nobody was told of. */
  erase(tenant: TenantId, id: TurnId): Promise<void>;
}

export interface Records {
  readonly sessions: SessionRecords;
  readonly turns: TurnRecords;
}
