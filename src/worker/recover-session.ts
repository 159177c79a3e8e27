// What becomes of the turns of a session that was taken over: one that ran when its owner was lost has no
// process any more and ends as interrupted; those that waited go on waiting, in their order.

import type { Page, PageQuery } from '../contracts/records.ts';
import type { SessionRecord } from '../core/session.ts';
import { isTerminal, type TurnRecord } from '../core/turn.ts';
import type { HostParts } from './host-parts.ts';
import { answered } from './store-answer.ts';
import type { SessionWriter } from './session-writer.ts';
import { recordEnd } from './turn-end.ts';
import { stopped } from './turn-outcomes.ts';

export type RecoveryParts = {
  readonly parts: HostParts;
  readonly writer: SessionWriter;
  readonly mayNotRecord: () => boolean;
  readonly enqueue: (turn: TurnRecord) => void;
};

const pageSize = 100;

/** Whoever takes the epoch says so first; then every open turn has an owner or an end. */
export async function recoverSession(recovery: RecoveryParts, session: SessionRecord): Promise<void> {
  const { enqueue, mayNotRecord, parts, writer } = recovery;
  writer.write({ type: 'session.recovering', turnId: null, fields: {}, raw: null });
  for (const turn of await openTurns(parts, session)) {
    if (turn.status === 'queued') {
      enqueue(turn);
      continue;
    }
    const { finalMessage, usage } = turn;
    const outcome = { finalMessage, usage, ...stopped('worker_lost') };
    await recordEnd({ parts, writer, turn, outcome, mayNotRecord, settle: async () => {} });
  }
  writer.write({ type: 'session.recovered', turnId: null, fields: {}, raw: null });
}

/** The oldest first. Open turns are the youngest ones: behind a page without any there are no more. */
async function openTurns({ clock, records }: HostParts, session: SessionRecord): Promise<TurnRecord[]> {
  const open: TurnRecord[] = [];
  let after: string | null = null;
  for (;;) {
    const query: PageQuery = { after, limit: pageSize, order: 'desc' };
    const page: Page<TurnRecord> = await answered(clock, records.turns.list(session.tenant, session.id, query));
    const found = page.data.filter(({ status }) => !isTerminal(status));
    open.push(...found);
    after = page.data.at(-1)?.id ?? null;
    if (!page.hasMore || found.length === 0 || after === null) return open.reverse();
  }
}
