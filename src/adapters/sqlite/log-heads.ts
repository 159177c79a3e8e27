// The first and last place of each session's log, and the highest epoch that named it. An erased log
// leaves a note of what is to be removed, so that no crash leaves its events behind. A head has a
// checksum too: one whose end had moved would hide events without a trace.

import { crc32 } from 'node:zlib';
import type { LogKey } from '../../contracts/event-log.ts';
import { ServiceError } from '../../core/errors.ts';
import type { SqliteDatabase } from './sqlite-database.ts';

export type LogHead = {
  readonly tenant: string;
  readonly sessionId: string;
  readonly logId: number;
  readonly epoch: number;
  /** 0 while the log is empty, as `lastSeq`. */
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** When the first event was written, in milliseconds since the epoch. */
  readonly firstAt: number;
};

/** Where a log stands among all, by the age of its first event. */
export type LogAge = { readonly firstAt: number; readonly logId: number };

/** The head is null when it is damaged: the log is left alone, and the others are not. */
export type OlderLog = { readonly age: LogAge; readonly head: LogHead | null; readonly sealedSeq: number };

export type ErasedLog = { readonly logId: number; readonly nextSeq: number; readonly lastSeq: number };

const columns = 'log_id, tenant, session_id, epoch, first_seq, last_seq, first_at, checksum';
const logColumns = columns.replaceAll(/\w+/g, 'logs.$&');

/** Every method is one step of a transaction that the caller began. */
export class LogHeads {
  readonly #find;
  readonly #create;
  readonly #update;
  readonly #oldest;
  readonly #sealed;
  readonly #place;
  readonly #delete;
  readonly #noteErased;
  readonly #nextErased;
  readonly #forgetErased;

  constructor(db: SqliteDatabase) {
    this.#find = db.prepare(`SELECT ${columns} FROM logs WHERE tenant = ? AND session_id = ?`);
    this.#create = db.prepare(
      `INSERT INTO logs (tenant, session_id, epoch, first_seq, last_seq, first_at, checksum)
       VALUES (?, ?, 0, 0, 0, 0, 0)`,
    );
    this.#update = db.prepare(
      'UPDATE logs SET epoch = ?, first_seq = ?, last_seq = ?, first_at = ?, checksum = ? WHERE log_id = ?',
    );
    this.#oldest = db.prepare(
      `SELECT ${logColumns}, sealed_seq FROM logs
       JOIN sessions ON sessions.tenant = logs.tenant AND sessions.id = logs.session_id
       WHERE first_seq < last_seq AND first_at < ? AND (first_at, log_id) > (?, ?) AND first_seq <= sealed_seq
       ORDER BY first_at, log_id LIMIT 1`,
    );
    this.#sealed = db.prepare('SELECT sealed_seq FROM sessions WHERE tenant = ? AND id = ?');
    this.#place = db.prepare('SELECT log_id FROM logs WHERE tenant = ? AND session_id = ?');
    this.#delete = db.prepare('DELETE FROM logs WHERE log_id = ?');
    this.#noteErased = db.prepare('INSERT OR REPLACE INTO erased_logs (log_id, next_seq, last_seq) VALUES (?, ?, ?)');
    this.#nextErased = db.prepare('SELECT log_id, next_seq, last_seq FROM erased_logs ORDER BY log_id LIMIT 1');
    this.#forgetErased = db.prepare('DELETE FROM erased_logs WHERE log_id = ?');
  }

  find(key: LogKey): LogHead | null {
    const row = this.#find.get(key.tenant, key.sessionId);
    return row === undefined ? null : headOf(row as HeadRow);
  }

  create({ tenant, sessionId }: LogKey, epoch: number): LogHead {
    const logId = Number(this.#create.run(tenant, sessionId).lastInsertRowid);
    const head = { tenant, sessionId, logId, epoch, firstSeq: 0, lastSeq: 0, firstAt: 0 };
    this.update(head);
    return head;
  }

  update(head: LogHead): void {
    this.#update.run(head.epoch, head.firstSeq, head.lastSeq, head.firstAt, checksumOf(head), head.logId);
  }

  /** Of the logs behind that place whose first event is older, sealed and not their only one, the next. */
  nextOlder(cutoffMs: number, after: LogAge): OlderLog | null {
    const row = this.#oldest.get(cutoffMs, after.firstAt, after.logId);
    if (row === undefined) return null;
    const age = { firstAt: Number(row['first_at']), logId: Number(row['log_id']) };
    return { age, head: wholeHeadOf(row as HeadRow), sealedSeq: Number(row['sealed_seq']) };
  }

  /** Up to which event the session's snapshot holds them; null for a log without a session's record. */
  sealedSeq({ tenant, sessionId }: LogKey): number | null {
    const row = this.#sealed.get(tenant, sessionId);
    return row === undefined ? null : Number(row['sealed_seq']);
  }

  /** What the log holds is asked of the events themselves: a damaged head can be erased as well. */
  erase(key: LogKey, seqsOf: (logId: number) => { first: number; last: number } | null): void {
    const row = this.#place.get(key.tenant, key.sessionId);
    if (row === undefined) return;
    const logId = Number(row['log_id']);
    this.#delete.run(logId);
    const seqs = seqsOf(logId);
    if (seqs !== null) this.noteErased({ logId, nextSeq: seqs.first, lastSeq: seqs.last });
  }

  noteErased({ logId, nextSeq, lastSeq }: ErasedLog): void {
    this.#noteErased.run(logId, nextSeq, lastSeq);
  }

  nextErased(): ErasedLog | null {
    const row = this.#nextErased.get();
    if (row === undefined) return null;
    return { logId: Number(row['log_id']), nextSeq: Number(row['next_seq']), lastSeq: Number(row['last_seq']) };
  }

  forgetErased(logId: number): void {
    this.#forgetErased.run(logId);
  }
}

type HeadRow = {
  readonly log_id: number;
  readonly tenant: string;
  readonly session_id: string;
  readonly epoch: number;
  readonly first_seq: number;
  readonly last_seq: number;
  readonly first_at: number;
  readonly checksum: number;
};

function headOf(row: HeadRow): LogHead {
  const head = wholeHeadOf(row);
  if (head !== null) return head;
  throw new ServiceError('session_corrupt', { session_id: row.session_id, part: 'log_head' });
}

function wholeHeadOf(row: HeadRow): LogHead | null {
  const head = {
    tenant: row.tenant,
    sessionId: row.session_id,
    logId: row.log_id,
    epoch: row.epoch,
    firstSeq: row.first_seq,
    lastSeq: row.last_seq,
    firstAt: row.first_at,
  };
  return checksumOf(head) === row.checksum ? head : null;
}

function checksumOf(head: LogHead): number {
  const { tenant, sessionId, logId, epoch, firstSeq, lastSeq, firstAt } = head;
  return crc32(JSON.stringify([tenant, sessionId, logId, epoch, firstSeq, lastSeq, firstAt]));
}
