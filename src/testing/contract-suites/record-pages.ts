// Lists of records read page by page, in the few numbers that a check can compare.

import assert from 'node:assert/strict';
import type { FleetPlace, Page, PageQuery } from '../../contracts/records.ts';

/** The whole of a short list. */
export const all: PageQuery = { after: null, limit: 100, order: 'asc' };

export function idOf(number: number): string {
  return `019f0000-0000-7000-8000-${String(number).padStart(12, '0')}`;
}

/** All pages of a list, as numbers of ids, one array per page. */
export async function pages(
  list: (query: PageQuery) => Promise<Page<{ readonly id: string }>>,
  order: 'asc' | 'desc',
  limit: number,
): Promise<number[][]> {
  const found: number[][] = [];
  let after: string | null = null;
  for (;;) {
    const page: Page<{ readonly id: string }> = await list({ after, limit, order });
    found.push(page.data.map((record) => Number(record.id.slice(-12))));
    after = page.data.at(-1)?.id ?? null;
    if (!page.hasMore || found.length > 100) return found;
  }
}

/** All pages of a list over all tenants: tenant, number of the id and time of each entry. */
export async function fleetPages(
  list: (after: FleetPlace | null, limit: number) => Promise<Page<FleetPlace>>,
  limit: number,
): Promise<string[]> {
  const found: string[] = [];
  let after: FleetPlace | null = null;
  for (let hasMore = true; hasMore && found.length < 100; ) {
    const page: Page<FleetPlace> = await list(after, limit);
    assert.ok(page.data.length === limit || !page.hasMore, 'a page that is not full says that there is more');
    found.push(...page.data.map(({ tenant, id, at }) => `${tenant} ${Number(id.slice(-12))} ${at}`));
    after = page.data.at(-1) ?? null;
    hasMore = page.hasMore;
  }
  return found;
}
