// The first and last place of each session's log, and the highest epoch that named it. An erased log
// leaves a note of what is to be removed, so that no crash leaves its events behind.

import type { LogKey } from '../../contracts/event-log.ts';
import type { SqliteDatabase } from './sqlite-database.ts';

export type LogHead = {
  readonly logId: number;
  readonly epoch: number;
  /** 0 while the log is empty, as `lastSeq`. */
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** When the first event was written, in milliseconds since the epoch. */
  readonly firstAt: number;
};

export type ErasedLog = { readonly logId: number; readonly nextSeq: number; readonly lastSeq: number };

const columns = 'log_id, epoch, first_seq, last_seq, first_at';

/** Every method is one step of a transaction that the caller began. */
export class LogHeads {
  readonly #find;
  readonly #create;
  readonly #raiseEpoch;
  readonly #advance;
  readonly #oldest;
  readonly #delete;
  readonly #noteErased;
  readonly #nextErased;
  readonly #forgetErased;

  constructor(db: SqliteDatabase) {
    this.#find = db.prepare(`SELECT ${columns} FROM logs WHERE tenant = ? AND session_id = ?`);
    this.#create = db.prepare(
      `INSERT INTO logs (tenant, session_id, epoch, first_seq, last_seq, first_at) VALUES (?, ?, ?, 0, 0, 0)
       RETURNING ${columns}`,
    );
    this.#raiseEpoch = db.prepare('UPDATE logs SET epoch = max(epoch, ?2) WHERE log_id = ?1');
    this.#advance = db.prepare('UPDATE logs SET first_seq = ?2, last_seq = ?3, first_at = ?4 WHERE log_id = ?1');
    this.#oldest = db.prepare(
      `SELECT ${columns} FROM logs WHERE first_at < ? AND log_id > ? AND first_seq < last_seq
       ORDER BY log_id LIMIT 1`,
    );
    this.#delete = db.prepare(`DELETE FROM logs WHERE log_id = ?`);
    this.#noteErased = db.prepare('INSERT OR REPLACE INTO erased_logs (log_id, next_seq, last_seq) VALUES (?, ?, ?)');
    this.#nextErased = db.prepare('SELECT log_id, next_seq, last_seq FROM erased_logs ORDER BY log_id LIMIT 1');
    this.#forgetErased = db.prepare('DELETE FROM erased_logs WHERE log_id = ?');
  }

  find(key: LogKey): LogHead | null {
    const row = this.#find.get(key.tenant, key.sessionId);
    return row === undefined ? null : headOf(row as HeadRow);
  }

  create(key: LogKey, epoch: number): LogHead {
    return headOf(this.#create.get(key.tenant, key.sessionId, epoch) as HeadRow);
  }

  raiseEpoch(logId: number, epoch: number): void {
    this.#raiseEpoch.run(logId, epoch);
  }

  advance({ logId, firstSeq, lastSeq, firstAt }: LogHead): void {
    this.#advance.run(logId, firstSeq, lastSeq, firstAt);
  }

  /** Of the logs behind `afterLogId` whose first event is older, and not their only one, the next. */
  nextOlder(cutoffMs: number, afterLogId: number): LogHead | null {
    const row = this.#oldest.get(cutoffMs, afterLogId);
    return row === undefined ? null : headOf(row as HeadRow);
  }

  erase(key: LogKey): void {
    const head = this.find(key);
    if (head === null) return;
    this.#delete.run(head.logId);
    if (head.lastSeq > 0) this.noteErased({ logId: head.logId, nextSeq: head.firstSeq, lastSeq: head.lastSeq });
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
  readonly epoch: number;
  readonly first_seq: number;
  readonly last_seq: number;
  readonly first_at: number;
};

function headOf(row: HeadRow): LogHead {
  const { log_id: logId, epoch, first_seq: firstSeq, last_seq: lastSeq, first_at: firstAt } = row;
  return { logId, epoch, firstSeq, lastSeq, firstAt };
}
