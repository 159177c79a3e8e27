// The records of webhooks and of the deliveries to them: as those of sessions and turns, conditional on the
// revision that the writer saw.

import type { SessionId, TenantId } from '../core/ids.ts';
import type { DeliveryRecord, DeliveryStatus, WebhookRecord } from '../core/webhook.ts';
import type { FleetPlace, KeyedRecords, Page, PageQuery } from './records.ts';

export interface WebhookRecords extends KeyedRecords<WebhookRecord> {
  list(tenant: TenantId, query: PageQuery): Promise<Page<WebhookRecord>>;
}

/** `targetId`: of a webhook, of a job with a receiver of its own, or `topic`. */
export type DeliveryFilter = { readonly targetId: string; readonly status: DeliveryStatus | null };

/** Those that tell of a session, those that tell of a job, or those to one target. */
export type DeliveriesOf =
  | { readonly sessionId: SessionId }
  | { readonly jobId: string }
  | { readonly targetId: string };

/** In lists over all tenants a delivery's `sessionId` is its lane. */
export interface DeliveryRecords extends KeyedRecords<DeliveryRecord> {
  list(tenant: TenantId, filter: DeliveryFilter, query: PageQuery): Promise<Page<DeliveryRecord>>;
  /** All of them, whatever their status, in steps: cut short, the same again finishes it. */
  eraseOf(tenant: TenantId, of: DeliveriesOf): Promise<void>;
  /** Pending ones of that lane, by order, then by id: the first is the one whose turn it is. */
  listLane(tenant: TenantId, lane: string, limit: number): Promise<readonly DeliveryRecord[]>;
  /** Pending ones of all tenants that were due before that moment, by that time. */
  listDue(beforeMs: number, after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>>;
  /** Those of all tenants that ended before that moment, by that time. */
  listEnded(beforeMs: number, after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>>;
}
