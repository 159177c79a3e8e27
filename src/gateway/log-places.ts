// Places in a session's log: its end, the start of a turn, and whether a client's cursor still holds.

import type { EventLog, LogKey, LogPage } from '../contracts/event-log.ts';
import { formatCursor, isTerminalEventType, parseCursor, type StoredEvent } from '../core/event.ts';
import { ServiceError } from '../core/errors.ts';
import type { TurnId } from '../core/ids.ts';
import type { Gear } from './gateway-parts.ts';
import { agreementOf } from './log-loss.ts';

/** Events are at most 256 KiB, most are a hundred bytes. */
const scanPageLimit = 256;

/** The seq of the last event; 0 for an empty log. */
export async function endOfLog(log: EventLog, key: LogKey): Promise<number> {
  return (await log.read(key, Number.MAX_SAFE_INTEGER, 1)).lastSeq;
}

type CursorParts = Pick<Gear, 'log' | 'clock' | 'logKnownForMs'>;

/** After a log lost what it held, its writers bring it back: so long ago this may not have happened yet. */
const bringingBackMs = 30_000;
/** How long a client is kept waiting for that. */
const waitForLogMs = 5_000;
const lookAgainMs = 200;

/** The epoch is that of the event at the place; null where nothing was seen of it, or it is not known. */
export type LogPlace = { readonly seq: number; readonly epoch: number | null };

/**
 * The place that a client's cursor names. Where its event was lost with the end of its epoch, the place at
 * which the log parts from what the client saw. Refuses one that points behind the end.
 */
export async function placeOfCursor(parts: CursorParts, key: LogKey, text: string): Promise<LogPlace> {
  const { clock, log, logKnownForMs } = parts;
  const cursor = parseCursor(text);
  if (cursor === null) throw new ServiceError('cursor_invalid');
  if (cursor.seq === 0) return { seq: 0, epoch: null };
  const endMs = clock.monotonicMs() + waitForLogMs;
  for (;;) {
    const page = await log.read(key, cursor.seq - 1, 1);
    const named = page.events[0];
    if (named?.header.seq === cursor.seq && named.header.epoch < cursor.epoch) {
      throw new ServiceError('cursor_invalid', {}, { message: 'The event of this cursor is not in the log.' });
    }
    const agreement = await agreementOf(log, key, cursor);
    if (agreement.kind === 'same') return cursor;
    if (agreement.kind === 'parted') return { seq: agreement.seq, epoch: null };
    if (clock.monotonicMs() >= endMs || (await logKnownForMs()) >= bringingBackMs) {
      throw new ServiceError('cursor_invalid', {}, { message: 'The log does not reach as far as this cursor.' });
    }
    await new Promise<void>((resolve) => clock.after(lookAgainMs, resolve));
  }
}

/** Events behind a place. Refuses to begin anywhere but right behind it: what was between is gone. */
export async function readBehind(log: EventLog, key: LogKey, afterSeq: number, limit: number): Promise<LogPage> {
  const page = await log.read(key, afterSeq, limit);
  const first = page.events[0];
  if (first === undefined || first.header.seq === afterSeq + 1) return page;
  throw new ServiceError('cursor_expired', {
    first_cursor: formatCursor({ epoch: first.header.epoch, seq: first.header.seq - 1 }),
  });
}

/** All events behind a place, page by page, up to the end at the time of reading. */
export async function* scanLog(log: EventLog, key: LogKey, afterSeq: number): AsyncGenerator<readonly StoredEvent[]> {
  let position = afterSeq;
  for (;;) {
    const { events } = await log.read(key, position, scanPageLimit);
    const last = events.at(-1);
    if (last === undefined) return;
    yield events;
    position = last.header.seq;
    // Other requests get their turn between two pages, however fast the log is.
    if (events.length === scanPageLimit) await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

/** Before the first event of the turn; the end of the log while it has none. */
export async function placeBeforeTurn(log: EventLog, key: LogKey, turnId: TurnId): Promise<number> {
  let before = 0;
  for await (const events of scanLog(log, key, 0)) {
    for (const { header } of events) {
      if (header.turnId === turnId) return header.seq - 1;
      before = header.seq;
    }
  }
  return before;
}

/** Whether the event that ends the turn is at or before the place. */
export async function isTurnOverAt(log: EventLog, key: LogKey, turnId: TurnId, place: number): Promise<boolean> {
  for await (const events of scanLog(log, key, 0)) {
    for (const { header } of events) {
      if (header.seq > place) return false;
      if (header.turnId === turnId && isTerminalEventType(header.type)) return true;
    }
  }
  return false;
}
