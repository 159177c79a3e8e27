// All entries of a list over all tenants, a page at a time, while the list may change.

import type { FleetPlace, Page } from '../contracts/records.ts';

const pageSize = 100;

export async function* fleetEntries(
  list: (after: FleetPlace | null, limit: number) => Promise<Page<FleetPlace>>,
): AsyncGenerator<FleetPlace> {
  let after: FleetPlace | null = null;
  for (let hasMore = true; hasMore; ) {
    const page: Page<FleetPlace> = await list(after, pageSize);
    yield* page.data;
    after = page.data.at(-1) ?? null;
    hasMore = page.hasMore && after !== null;
  }
}
