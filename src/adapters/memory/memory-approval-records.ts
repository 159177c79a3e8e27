// The approvals of one process; what they hold counts as their session's.

import type {
  ApprovalFilter,
  ApprovalRecords,
  CreateResult,
  FleetPlace,
  Page,
  PageQuery,
} from '../../contracts/records.ts';
import type { ApprovalRecord } from '../../core/approval.ts';
import type { SessionId, TenantId } from '../../core/ids.ts';
import { RecordTable } from './record-table.ts';
import { tenantKey } from './tenant-key.ts';
import type { OnUse } from './use-order.ts';

export class MemoryApprovalRecords implements ApprovalRecords {
  readonly #table = new RecordTable<ApprovalRecord>({
    sessionOf: ({ sessionId }) => sessionId,
    listsOf: ({ tenant, sessionId, status }) => [
      approvalList(tenant, { sessionId: null, status: null }),
      approvalList(tenant, { sessionId, status: null }),
      approvalList(tenant, { sessionId: null, status }),
      approvalList(tenant, { sessionId, status }),
    ],
    orderedListsOf: ({ status, expiresAt }) => (status === 'pending' ? [{ list: 'due', at: expiresAt }] : []),
  });
  readonly #onUse: OnUse;

  constructor(onUse: OnUse) {
    this.#onUse = onUse;
  }

  async create(record: ApprovalRecord): Promise<CreateResult<ApprovalRecord>> {
    const standing = this.#table.get(record.tenant, record.id);
    if (standing !== null) return { outcome: 'exists', record: standing };
    this.#table.add(record);
    this.#onUse(record.tenant, record.sessionId, JSON.stringify(record).length);
    return { outcome: 'created', record };
  }

  async get(tenant: TenantId, id: string): Promise<ApprovalRecord | null> {
    return this.#table.get(tenant, id);
  }

  async replace(next: ApprovalRecord): Promise<ApprovalRecord | null> {
    const written = this.#table.replace(next);
    if (written !== null) this.#onUse(next.tenant, next.sessionId, 0);
    return written;
  }

  async list(tenant: TenantId, filter: ApprovalFilter, query: PageQuery): Promise<Page<ApprovalRecord>> {
    return this.#table.page(tenant, approvalList(tenant, filter), query);
  }

  async listDue(beforeMs: number, after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.#table.fleetPage('due', after, limit, beforeMs);
  }

  eraseOf(tenant: TenantId, sessionId: SessionId): void {
    this.#table.deleteList(approvalList(tenant, { sessionId, status: null }));
  }
}

function approvalList(tenant: TenantId, { sessionId, status }: ApprovalFilter): string {
  return `${status ?? ''} ${tenantKey(tenant, sessionId ?? '')}`;
}
