// Pages of a session's turns, all or those of one status. A page of the latter may be short, or empty,
// and have more behind it: nobody reads a whole history for one answer.

import { openStatus, type StatusFilter } from '../api/turns.ts';
import type { PageQuery, Records } from '../contracts/records.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import { isTerminal, type TurnRecord } from '../core/turn.ts';
import { fittingPage } from './page-size.ts';

const mostLookedAt = 1000;
const stepLimit = 100;

export type TurnPage = {
  readonly data: readonly TurnRecord[];
  readonly hasMore: boolean;
  /** Where the next page begins; null when nothing was looked at. */
  readonly lastId: string | null;
};

export async function readTurnPage(
  records: Records,
  { sessionId, tenant }: SessionKey,
  query: PageQuery,
  status: StatusFilter | null,
): Promise<TurnPage> {
  const data: TurnRecord[] = [];
  let lastId = query.after;
  for (let seen = 0; seen < mostLookedAt; ) {
    const limit = status === null ? query.limit : stepLimit;
    const page = await records.turns.list(tenant, sessionId, { after: lastId, limit, order: query.order });
    for (const [index, turn] of page.data.entries()) {
      lastId = turn.id;
      if (isWanted(turn, status)) data.push(turn);
      if (data.length === query.limit) return fitting(data, page.hasMore || index + 1 < page.data.length, lastId);
    }
    seen += page.data.length;
    if (!page.hasMore) return fitting(data, false, lastId);
  }
  return fitting(data, true, lastId);
}

function isWanted(turn: TurnRecord, status: StatusFilter | null): boolean {
  if (status === null) return true;
  return status === openStatus ? !isTerminal(turn.status) : turn.status === status;
}

function fitting(found: readonly TurnRecord[], hasMore: boolean, lastId: string | null): TurnPage {
  const data = fittingPage(found, charactersOf);
  if (data.length === found.length) return { data, hasMore, lastId };
  return { data, hasMore: true, lastId: data.at(-1)?.id ?? lastId };
}

function charactersOf({ finalMessage, outputSchema, prompt, steers }: TurnRecord): number {
  const given = steers.reduce((sum, { text }) => sum + text.length, 0);
  return (
    prompt.length + finalMessage.length + given + (outputSchema === null ? 0 : JSON.stringify(outputSchema).length)
  );
}
