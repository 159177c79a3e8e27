// Takes events out of the file: those of erased logs, and those that are older than they need be kept
// and stand in a snapshot as well.
// In steps, so that nobody waits long for the file or the event loop meanwhile.

import type { EventRows } from './event-rows.ts';
import type { LogAge, LogHeads } from './log-heads.ts';
import type { SqliteDatabase } from './sqlite-database.ts';

const stepEvents = 2_000;

/** Several processes may do so at once; each event is then removed by one of them. */
export async function removeErased(db: SqliteDatabase, heads: LogHeads, rows: EventRows): Promise<void> {
  const isMore = (): boolean => {
    const erased = heads.nextErased();
    if (erased === null) return false;
    const { logId, nextSeq, lastSeq } = erased;
    rows.delete(logId, nextSeq, Math.min(lastSeq, nextSeq + stepEvents - 1));
    if (nextSeq + stepEvents > lastSeq) heads.forgetErased(logId);
    else heads.noteErased({ logId, nextSeq: nextSeq + stepEvents, lastSeq });
    return true;
  };
  while (await db.write(isMore, 'os')) await db.shrink();
}

export async function dropOlderEvents(
  db: SqliteDatabase,
  heads: LogHeads,
  rows: EventRows,
  cutoffMs: number,
): Promise<number> {
  let dropped = 0;
  let after: LogAge = { firstAt: -1, logId: 0 };
  const step = (): { dropped: number; after: LogAge } | null => {
    const older = heads.nextOlder(cutoffMs, after);
    if (older === null) return null;
    const { age, head, sealedSeq } = older;
    if (head === null) return { dropped: 0, after: age };
    const { logId } = head;
    const lastEnd = Math.min(head.lastSeq, sealedSeq + 1);
    const end = Math.min(lastEnd, head.firstSeq + stepEvents);
    const firstSeq = rows.firstSince(logId, head.firstSeq, end - 1, cutoffMs) ?? end;
    rows.delete(logId, head.firstSeq, firstSeq - 1);
    heads.update({ ...head, firstSeq, firstAt: rows.at(logId, firstSeq) });
    // A log that has more to drop is found again; one whose first event stays is passed.
    const isDone = firstSeq < end || end === lastEnd;
    return { dropped: firstSeq - head.firstSeq, after: isDone ? age : { ...age, logId: logId - 1 } };
  };
  for (let done = await db.write(step, 'os'); done !== null; done = await db.write(step, 'os')) {
    dropped += done.dropped;
    after = done.after;
    await db.shrink();
  }
  return dropped;
}
