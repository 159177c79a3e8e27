// The records of webhooks and of the deliveries to them.

import type { FleetPlace, Page, PageQuery } from '../../contracts/records.ts';
import type { DeliveriesOf, DeliveryFilter, DeliveryRecords, WebhookRecords } from '../../contracts/webhook-records.ts';
import type { TenantId } from '../../core/ids.ts';
import type { DeliveryRecord, WebhookRecord } from '../../core/webhook.ts';
import { type Value, valueOf } from './document.ts';
import { KeyedTable } from './keyed-table.ts';
import type { RecordShape } from './record-document.ts';
import type { RecordStore } from './record-store.ts';

/** In one commit of an erasure; a long one has documents for the rest of its text. */
const erasedAtOnce = 100;

const webhookShape: RecordShape<WebhookRecord> = {
  kind: 'webhooks',
  fields: {},
  ownerField: 'id',
  constantOf: () => '',
  expiresAtOf: () => null,
};

/** `retainMs`: after its end; then Firestore removes it, if the session manager has not. */
function deliveryShape(retainMs: number): RecordShape<DeliveryRecord> {
  const isPending = ({ status }: DeliveryRecord): boolean => status === 'pending';
  return {
    kind: 'deliveries',
    fields: {
      targetId: (delivery) => delivery.target.id,
      sessionId: (delivery) => delivery.sessionId,
      jobId: (delivery) => delivery.jobId,
      status: (delivery) => delivery.status,
      lane: (delivery) => delivery.lane,
      pendingLane: (delivery) => (isPending(delivery) ? delivery.lane : null),
      order: (delivery) => delivery.order,
      dueAt: (delivery) => (isPending(delivery) ? delivery.dueAt : null),
      endedAt: (delivery) => (isPending(delivery) ? null : delivery.endedAt),
    },
    ownerField: 'lane',
    constantOf: () => '',
    expiresAtOf: (delivery) => (delivery.endedAt === null ? null : delivery.endedAt + retainMs),
  };
}

export class FirestoreWebhookRecords extends KeyedTable<WebhookRecord> implements WebhookRecords {
  constructor(store: RecordStore) {
    super(store, webhookShape);
  }

  list(tenant: TenantId, query: PageQuery): Promise<Page<WebhookRecord>> {
    return this.table.page(tenant, {}, query);
  }
}

export class FirestoreDeliveryRecords extends KeyedTable<DeliveryRecord> implements DeliveryRecords {
  constructor(store: RecordStore, retainMs: number) {
    super(store, deliveryShape(retainMs));
  }

  list(tenant: TenantId, { status, targetId }: DeliveryFilter, query: PageQuery): Promise<Page<DeliveryRecord>> {
    return this.table.page(tenant, { targetId, ...(status === null ? {} : { status }) }, query);
  }

  async eraseOf(tenant: TenantId, of: DeliveriesOf): Promise<void> {
    const equal: Readonly<Record<string, Value>> = Object.fromEntries(
      Object.entries(of).map(([field, id]: [string, string]) => [field, valueOf(id)]),
    );
    // Targets are in the index of the lists alone, which is by age.
    await this.table.eraseAll(tenant, equal, erasedAtOnce, 'targetId' in of ? 'by age' : 'in any order');
  }

  listLane(tenant: TenantId, lane: string, limit: number): Promise<readonly DeliveryRecord[]> {
    const query = this.table.queryWithin(tenant, {
      equal: { pendingLane: valueOf(lane) },
      order: [
        ['order', 'ASCENDING'],
        ['__name__', 'ASCENDING'],
      ],
      limit,
    });
    return this.table.read(this.table.start('listLane'), query);
  }

  listDue(beforeMs: number, after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.table.fleetPage('dueAt', after, limit, beforeMs);
  }

  listEnded(beforeMs: number, after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.table.fleetPage('endedAt', after, limit, beforeMs);
  }
}
