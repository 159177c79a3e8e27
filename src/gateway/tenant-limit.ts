// How many things of one kind a tenant may have. In one process the count and what is made after it are one
// step; between replicas, as many more can slip through as make one at the very same time.

import type { Page, PageQuery } from '../contracts/records.ts';
import { ServiceError } from '../core/errors.ts';
import type { TenantId } from '../core/ids.ts';
import type { KeyOrder } from '../core/key-order.ts';

const pageLimit = 100;

export type Limited = {
  readonly tenant: TenantId;
  readonly kind: 'schedule' | 'webhook';
  readonly limit: number;
  readonly list: (query: PageQuery) => Promise<Page<{ readonly id: string }>>;
};

/** Rejects with `limit_reached`, and makes nothing. */
export function makeWithinLimit<T>(order: KeyOrder, limited: Limited, make: () => Promise<T>): Promise<T> {
  const { kind, limit, list, tenant } = limited;
  return order.run(`${kind} of ${tenant}`, async () => {
    if (await hasAsMany(list, limit)) throw new ServiceError('limit_reached', { limit });
    return make();
  });
}

async function hasAsMany(list: Limited['list'], limit: number): Promise<boolean> {
  let after: string | null = null;
  for (let counted = 0; counted < limit; ) {
    const page: Page<{ readonly id: string }> = await list({ after, limit: pageLimit, order: 'asc' });
    counted += page.data.length;
    after = page.data.at(-1)?.id ?? null;
    if (counted < limit && (!page.hasMore || after === null)) return false;
  }
  return true;
}
