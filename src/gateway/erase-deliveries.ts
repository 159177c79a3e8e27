// Erases the deliveries that tell of something, or are for it, around its record: they go first, so that whoever still
// finds the record knows that something may be left. Each step may be repeated.

import type { DeliveriesOf } from '../contracts/webhook-records.ts';
import type { TenantId } from '../core/ids.ts';
import type { Gear } from './gateway-parts.ts';

type Parts = Pick<Gear, 'logger' | 'records'>;

export async function eraseWithDeliveries(
  parts: Parts,
  tenant: TenantId,
  of: DeliveriesOf,
  eraseRecord: () => Promise<void>,
): Promise<void> {
  await parts.records.deliveries.eraseOf(tenant, of);
  await eraseRecord();
  await eraseLateDeliveries(parts, tenant, of);
}

/** Those that were being written while the record went; then nobody makes another. What is left here goes by its time. */
export async function eraseLateDeliveries(
  { logger, records }: Parts,
  tenant: TenantId,
  of: DeliveriesOf,
): Promise<void> {
  try {
    await records.deliveries.eraseOf(tenant, of);
  } catch (error) {
    logger.warn({ event: 'deliveries_not_erased', tenant, of, err: error }, 'Deliveries were not erased again');
  }
}
