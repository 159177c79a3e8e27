// The records of webhooks and deliveries in the shared file.

import type { FleetPlace, Page, PageQuery } from '../../contracts/records.ts';
import type { DeliveriesOf, DeliveryFilter, DeliveryRecords, WebhookRecords } from '../../contracts/webhook-records.ts';
import type { TenantId } from '../../core/ids.ts';
import type { DeliveryRecord, WebhookRecord } from '../../core/webhook.ts';
import { FleetList } from './fleet-list.ts';
import { RecordTable } from './record-table.ts';
import type { SqliteDatabase } from './sqlite-database.ts';
import { SqliteKeyedRecords } from './sqlite-keyed-records.ts';

/** In one transaction of an erasure: others write in between. */
const erasedAtOnce = 200;

export class SqliteWebhookRecords extends SqliteKeyedRecords<WebhookRecord> implements WebhookRecords {
  constructor(db: SqliteDatabase) {
    super(db, new RecordTable<WebhookRecord>(db, { name: 'webhooks', columns: {}, ownerColumn: 'id', lists: [[]] }));
  }

  list(tenant: TenantId, query: PageQuery): Promise<Page<WebhookRecord>> {
    return this.db.read(() => this.table.page(tenant, {}, query));
  }
}

export class SqliteDeliveryRecords extends SqliteKeyedRecords<DeliveryRecord> implements DeliveryRecords {
  readonly #due: FleetList;
  readonly #ended: FleetList;
  readonly #waiting;
  readonly #deleteOfSession;
  readonly #deleteOfJob;
  readonly #deleteOfTarget;

  constructor(db: SqliteDatabase) {
    super(
      db,
      new RecordTable<DeliveryRecord>(db, {
        name: 'deliveries',
        columns: {
          target_id: (delivery) => delivery.target.id,
          session_id: (delivery) => delivery.sessionId,
          job_id: (delivery) => delivery.jobId,
          lane: (delivery) => delivery.lane,
          lane_order: (delivery) => delivery.order,
          status: (delivery) => delivery.status,
          due_at: (delivery) => delivery.dueAt,
          ended_at: (delivery) => delivery.endedAt,
        },
        ownerColumn: 'lane',
        lists: [['target_id'], ['target_id', 'status']],
      }),
    );
    const list = { table: 'deliveries', ownerColumn: 'lane' } as const;
    this.#due = new FleetList(db, { ...list, condition: "status = 'pending'", atColumn: 'due_at' });
    this.#ended = new FleetList(db, { ...list, condition: "status <> 'pending'", atColumn: 'ended_at' });
    this.#waiting = this.table.prepareQuery("lane = ? AND status = 'pending' ORDER BY lane_order, id LIMIT ?");
    this.#deleteOfSession = this.table.prepareDeletion('session_id');
    this.#deleteOfJob = this.table.prepareDeletion('job_id');
    this.#deleteOfTarget = this.table.prepareDeletion('target_id');
  }

  list(tenant: TenantId, { targetId, status }: DeliveryFilter, query: PageQuery): Promise<Page<DeliveryRecord>> {
    const narrowed = { target_id: targetId, ...(status === null ? {} : { status }) };
    return this.db.read(() => this.table.page(tenant, narrowed, query));
  }

  async eraseOf(tenant: TenantId, of: DeliveriesOf): Promise<void> {
    while ((await this.db.write(() => this.#deleteSome(tenant, of), 'disk')) === erasedAtOnce) {
      // Others get their turn between two steps.
    }
    await this.db.shrink();
    this.db.emptyLogSoon();
  }

  #deleteSome(tenant: TenantId, of: DeliveriesOf): number {
    if ('sessionId' in of) return this.#deleteOfSession(tenant, of.sessionId, erasedAtOnce);
    if ('jobId' in of) return this.#deleteOfJob(tenant, of.jobId, erasedAtOnce);
    return this.#deleteOfTarget(tenant, of.targetId, erasedAtOnce);
  }

  listLane(tenant: TenantId, lane: string, limit: number): Promise<readonly DeliveryRecord[]> {
    return this.db.read(() => this.#waiting(tenant, lane, limit));
  }

  listDue(beforeMs: number, after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.#due.page(after, limit, beforeMs);
  }

  listEnded(beforeMs: number, after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.#ended.page(after, limit, beforeMs);
  }
}
