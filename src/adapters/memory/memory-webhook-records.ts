// The webhooks of one process and the deliveries to them. Beyond their bound the deliveries that ended longest ago
// are forgotten, then pending ones that failed, the one due last first: its receiver has been down longest; then the
// one that has waited longest.

import type { FleetPlace, Page, PageQuery } from '../../contracts/records.ts';
import type { DeliveriesOf, DeliveryFilter, DeliveryRecords, WebhookRecords } from '../../contracts/webhook-records.ts';
import type { TenantId } from '../../core/ids.ts';
import type { DeliveryRecord, WebhookRecord } from '../../core/webhook.ts';
import { BoundedRecords } from './bounded-records.ts';
import type { OrderedList } from './record-table.ts';
import { tenantKey } from './tenant-key.ts';

export class MemoryWebhookRecords extends BoundedRecords<WebhookRecord> implements WebhookRecords {
  constructor(maxRecords: number) {
    super(
      { sessionOf: ({ id }) => id, listsOf: ({ tenant }) => [tenant], orderedListsOf: () => [] },
      // As with schedules. Their texts are short, as the API has them.
      {
        maxRecords,
        maxCharacters: Infinity,
        charactersOf: () => 0,
        nextToForget: () => null,
        refusal: 'limit_reached',
      },
    );
  }

  async list(tenant: TenantId, query: PageQuery): Promise<Page<WebhookRecord>> {
    return this.table.page(tenant, tenant, query);
  }
}

export type MemoryDeliveriesOptions = {
  readonly maxDeliveries: number;
  readonly maxDeliveryCharacters: number;
  readonly onUndelivered: (delivery: DeliveryRecord) => void;
};

export class MemoryDeliveryRecords extends BoundedRecords<DeliveryRecord> implements DeliveryRecords {
  constructor({ maxDeliveries, maxDeliveryCharacters, onUndelivered }: MemoryDeliveriesOptions) {
    super(
      {
        sessionOf: ({ lane }) => lane,
        listsOf: ({ tenant, target, status, sessionId, jobId }) => [
          deliveryList(tenant, { targetId: target.id, status: null }),
          deliveryList(tenant, { targetId: target.id, status }),
          ...(sessionId === null ? [] : [subjectList(tenant, { sessionId })]),
          ...(jobId === null ? [] : [subjectList(tenant, { jobId })]),
        ],
        orderedListsOf: (delivery) => orderedDeliveryLists(delivery),
      },
      {
        maxRecords: maxDeliveries,
        maxCharacters: maxDeliveryCharacters,
        charactersOf: ({ data }) => data.length,
        nextToForget: (table) =>
          table.first('ended', 1)[0] ?? table.last('failing') ?? table.first('due', 1)[0] ?? null,
        refusal: 'store_unavailable',
        onForgotten: (delivery) => {
          if (delivery.status === 'pending') onUndelivered(delivery);
        },
      },
    );
  }

  async list(tenant: TenantId, filter: DeliveryFilter, query: PageQuery): Promise<Page<DeliveryRecord>> {
    return this.table.page(tenant, deliveryList(tenant, filter), query);
  }

  async eraseOf(tenant: TenantId, of: DeliveriesOf): Promise<void> {
    this.eraseList(tenant, subjectList(tenant, of));
  }

  async listLane(tenant: TenantId, lane: string, limit: number): Promise<readonly DeliveryRecord[]> {
    return this.table.first(laneList(tenant, lane), limit);
  }

  async listDue(beforeMs: number, after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.table.fleetPage('due', after, limit, beforeMs);
  }

  async listEnded(beforeMs: number, after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.table.fleetPage('ended', after, limit, beforeMs);
  }
}

function deliveryList(tenant: TenantId, { targetId, status }: DeliveryFilter): string {
  return `${status ?? ''} ${tenantKey(tenant, targetId)}`;
}

/** No status is called so. */
function subjectList(tenant: TenantId, of: DeliveriesOf): string {
  if ('sessionId' in of) return `session ${tenantKey(tenant, of.sessionId)}`;
  if ('jobId' in of) return `job ${tenantKey(tenant, of.jobId)}`;
  return deliveryList(tenant, { targetId: of.targetId, status: null });
}

/** No list over all tenants begins so. */
function laneList(tenant: TenantId, lane: string): string {
  return `lane ${tenantKey(tenant, lane)}`;
}

function orderedDeliveryLists({
  tenant,
  lane,
  order,
  status,
  dueAt,
  endedAt,
  attemptCount,
}: DeliveryRecord): readonly OrderedList[] {
  if (status !== 'pending') return endedAt === null ? [] : [{ list: 'ended', at: endedAt }];
  const waiting = { list: laneList(tenant, lane), at: order };
  if (dueAt === null) return [waiting];
  const due = { list: 'due', at: dueAt };
  return attemptCount === 0 ? [waiting, due] : [waiting, due, { list: 'failing', at: dueAt }];
}
