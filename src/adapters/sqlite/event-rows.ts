// Events as rows of the table: a place for each, a checksum over all of it, verified whenever it is
// read. What does not add up is reported as `session_corrupt`, never skipped and never handed out.

import { crc32 } from 'node:zlib';
import type { LogKey } from '../../contracts/event-log.ts';
import { ServiceError } from '../../core/errors.ts';
import type { StoredEvent } from '../../core/event.ts';
import type { SqliteDatabase } from './sqlite-database.ts';

/** A place is log_id * 2^31 + seq. */
const seqBits = 31;
const highestSeq = 2 ** seqBits - 1;

export type WrittenEvent = { readonly epoch: number; readonly checksum: number };

const columns = 'version, epoch, turn_id, type, at, checksum, header_checksum, body, raw';

/** Every method is one step of a transaction that the caller began. */
export class EventRows {
  readonly #insert;
  readonly #range;
  readonly #written;
  readonly #delete;
  readonly #firstSince;
  readonly #at;
  readonly #ends;

  constructor(db: SqliteDatabase) {
    const place = (log: string, seq: string): string => `((${log} << ${seqBits}) | ${seq})`;
    const seq = `(place & ${highestSeq})`;
    this.#insert = db.prepare(
      `INSERT INTO events (place, ${columns}) VALUES (${place('?', '?')}, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#range = db.prepare(
      `SELECT ${seq} AS seq, ${columns} FROM events
       WHERE place BETWEEN ${place('?1', '?2')} AND ${place('?1', '?3')} ORDER BY place`,
    );
    this.#written = db.prepare(`SELECT epoch, checksum FROM events WHERE place = ${place('?', '?')}`);
    this.#delete = db.prepare(`DELETE FROM events WHERE place BETWEEN ${place('?1', '?2')} AND ${place('?1', '?3')}`);
    this.#firstSince = db.prepare(
      `SELECT ${seq} AS seq FROM events
       WHERE place BETWEEN ${place('?1', '?2')} AND ${place('?1', '?3')} AND at >= ?4 ORDER BY place LIMIT 1`,
    );
    this.#ends = db.prepare(
      `SELECT min(${seq}) AS first, max(${seq}) AS last FROM events
       WHERE place BETWEEN ${place('?1', '0')} AND ${place('?1', String(highestSeq))}`,
    );
    this.#at = db.prepare(`SELECT at FROM events WHERE place = ${place('?', '?')}`);
  }

  insert(logId: number, { version, header, body, raw }: StoredEvent): void {
    const { seq, epoch, turnId, type, at, checksum } = header;
    if (seq > highestSeq) throw new ServiceError('internal', {}, { message: 'a log has no place for so many events' });
    const headerSum = headerChecksum(header, raw);
    this.#insert.run(logId, seq, version, epoch, turnId, type, at, checksum, headerSum, body, raw);
  }

  /** What a repeated event must equal; null when that place is empty. */
  written(logId: number, seq: number): WrittenEvent | null {
    const row = this.#written.get(logId, seq);
    return row === undefined ? null : { epoch: Number(row['epoch']), checksum: Number(row['checksum']) };
  }

  /** All events from first to last, or fewer where they would take more than `maxChars`; at least one. */
  read(logId: number, key: LogKey, first: number, last: number, maxChars: number): StoredEvent[] {
    const events: StoredEvent[] = [];
    let chars = 0;
    for (let from = first; from <= last && chars < maxChars; from += readStep) {
      for (const row of this.#range.all(logId, from, Math.min(last, from + readStep - 1))) {
        const event = eventOf(key, row as EventRow);
        if (event.header.seq !== first + events.length) throw damaged(key, first + events.length);
        events.push(event);
        chars += event.body.length + (event.raw?.length ?? 0);
      }
      if (events.length !== Math.min(last, from + readStep - 1) - first + 1) throw damaged(key, first + events.length);
    }
    return events;
  }

  delete(logId: number, first: number, last: number): void {
    this.#delete.run(logId, first, last);
  }

  /** The first seq from `first` to `last` that is not older; null when all are. */
  firstSince(logId: number, first: number, last: number, atMs: number): number | null {
    const row = this.#firstSince.get(logId, first, last, atMs);
    return row === undefined ? null : Number(row['seq']);
  }

  /** What is there of the log, whatever its head says; null for nothing. Reads all of its places. */
  ends(logId: number): { first: number; last: number } | null {
    const row = this.#ends.get(logId);
    const first = row?.['first'] ?? null;
    return first === null ? null : { first: Number(first), last: Number(row?.['last']) };
  }

  at(logId: number, seq: number): number {
    return Number(this.#at.get(logId, seq)?.['at'] ?? 0);
  }
}

/** So many rows are fetched at a time: rows may be of 256 KiB. */
const readStep = 32;

type EventRow = {
  readonly seq: number;
  readonly version: number;
  readonly epoch: number;
  readonly turn_id: string | null;
  readonly type: string;
  readonly at: number;
  readonly checksum: number;
  readonly header_checksum: number;
  readonly body: string;
  readonly raw: string | null;
};

/** The public checksum, as core/event.ts defines it. */
export function bodyChecksum(body: string, raw: string | null): number {
  return crc32(`${body}\n${raw ?? ''}`);
}

/** Goes on from the body's: together they cover all of the event, and whose it is. */
function headerChecksum(header: StoredEvent['header'], raw: string | null): number {
  const { tenant, sessionId, turnId, epoch, seq, type, at, checksum } = header;
  return crc32(JSON.stringify([tenant, sessionId, turnId, epoch, seq, type, at, raw === null]), checksum);
}

function eventOf(key: LogKey, row: EventRow): StoredEvent {
  const { seq, epoch, type, at, checksum, body, raw } = row;
  const { tenant, sessionId } = key;
  const header = { tenant, sessionId, turnId: row.turn_id, epoch, seq, type, at, checksum };
  const isWhole =
    row.version === 1 && bodyChecksum(body, raw) === checksum && headerChecksum(header, raw) === row.header_checksum;
  if (!isWhole) throw damaged(key, seq);
  return { version: 1, header, body, raw };
}

function damaged(key: LogKey, seq: number): ServiceError {
  return new ServiceError('session_corrupt', { session_id: key.sessionId, part: 'log', seq });
}
