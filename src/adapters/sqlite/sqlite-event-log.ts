// The event log in the shared file: survives every process, tells those of one host of each other's
// events. What halts a turn or concerns its session is on disk before it is answered; the rest is the
// operating system's until the next such event, the next durable record, or its own good time.

import type { AppendResult, EventLog, LogKey, LogPage, OpenResult } from '../../contracts/event-log.ts';
import type { Clock } from '../../core/clock.ts';
import { ServiceError } from '../../core/errors.ts';
import type { StoredEvent } from '../../core/event.ts';
import { assertBatch } from '../../core/event-batch.ts';
import { bodyChecksum, EventRows } from './event-rows.ts';
import { EventSubscriptions, type Listener, type LogPlace } from './event-subscriptions.ts';
import { type LogHead, LogHeads } from './log-heads.ts';
import { dropOlderEvents, removeErased } from './log-retention.ts';
import type { SqliteDatabase } from './sqlite-database.ts';

export type SqliteEventLogOptions = {
  /** Of those that a snapshot holds as well; without one, `unsealedFactor` times as many. */
  readonly maxEventsPerSession: number;
  /** How often the file is asked for other processes' events, while anyone listens. At most 50. */
  readonly pollMs: number;
  /** A listener must not throw; when one does, the others get their events all the same. */
  readonly onListenerError: (error: unknown) => void;
};

const defaults: SqliteEventLogOptions = {
  maxEventsPerSession: 200_000,
  pollMs: 25,
  onListenerError: (error) => process.emitWarning(`an event listener threw: ${String(error)}`),
};

/** Bounds what a page takes in memory: it may be shorter than its limit. */
const maxPageChars = 8 * 1024 * 1024;
const pollPageLimit = 256;
/** What no snapshot holds yet is kept longer, and yet not for ever: a turn may not fill the disk by talking. */
const unsealedFactor = 10;
/** Bounds how long an append takes that finds far more events than may be kept. */
const maxTrimmed = 5_000;

export class SqliteEventLog implements EventLog {
  readonly #db: SqliteDatabase;
  readonly #options: SqliteEventLogOptions;
  readonly #heads: LogHeads;
  readonly #rows: EventRows;
  readonly #subscriptions: EventSubscriptions;

  constructor(db: SqliteDatabase, clock: Clock, options: Partial<SqliteEventLogOptions> = {}) {
    this.#db = db;
    this.#options = { ...defaults, ...options };
    this.#heads = new LogHeads(db);
    this.#rows = new EventRows(db);
    this.#subscriptions = new EventSubscriptions({
      clock,
      pollMs: this.#options.pollMs,
      dataVersion: () => db.dataVersion(),
      readSince: (key, place) => db.readNow(() => this.#readSince(key, place)),
      onListenerError: this.#options.onListenerError,
    });
  }

  async append(key: LogKey, epoch: number, events: readonly StoredEvent[]): Promise<AppendResult> {
    assertBatch(key, epoch, events);
    assertChecksums(events);
    const durability = events.some(({ header }) => isTurningPoint(header.type)) ? 'disk' : 'os';
    const { result, logId, fresh } = await this.#db.write(() => this.#append(key, epoch, events), durability);
    if (fresh.length > 0) this.#subscriptions.push(key, logId, fresh);
    return result;
  }

  open(key: LogKey, epoch: number, sealedSeq: number): Promise<OpenResult> {
    return this.#db.write((): OpenResult => {
      const head = this.#heads.find(key) ?? this.#heads.create(key, epoch);
      if (epoch < head.epoch) return { outcome: 'stale_epoch', epoch: head.epoch };
      const isBehind = head.lastSeq < sealedSeq;
      if (isBehind && head.lastSeq > 0) this.#rows.delete(head.logId, head.firstSeq, head.lastSeq);
      const next = { ...head, epoch, ...(isBehind ? { firstSeq: sealedSeq + 1, lastSeq: sealedSeq } : {}) };
      if (isBehind || epoch > head.epoch) this.#heads.update(next);
      return { outcome: 'opened', lastSeq: next.lastSeq };
    }, 'os');
  }

  read(key: LogKey, afterSeq: number, limit: number): Promise<LogPage> {
    return this.#db.read(() => {
      const head = this.#heads.find(key);
      if (head === null || head.lastSeq === 0) return { events: [], firstSeq: 0, lastSeq: 0 };
      const first = Math.max(afterSeq + 1, head.firstSeq);
      const last = Math.min(head.lastSeq, first + limit - 1);
      const events = this.#rows.read(head.logId, key, first, last, maxPageChars);
      return { events, firstSeq: head.firstSeq, lastSeq: head.lastSeq };
    });
  }

  async subscribe(key: LogKey, listener: Listener): Promise<() => void> {
    const head = await this.#db.read(() => this.#heads.find(key));
    return this.#subscriptions.add(key, { logId: head?.logId ?? 0, seq: head?.lastSeq ?? 0 }, listener);
  }

  /** The session is empty at once; its events leave the file step by step, before this resolves or after a restart. */
  async erase(key: LogKey): Promise<void> {
    await this.#db.write(() => this.#heads.erase(key, (logId) => this.#rows.ends(logId)), 'disk');
    await this.removeErased();
  }

  /** Ends what an erasure cut short by a crash left behind. */
  removeErased(): Promise<void> {
    return removeErased(this.#db, this.#heads, this.#rows);
  }

  /**
   * Drops what was written before and stands in its session's snapshot, of all sessions, but each one's
   * last event. Answers how many events went.
   */
  dropOlderThan(cutoffMs: number): Promise<number> {
    return dropOlderEvents(this.#db, this.#heads, this.#rows, cutoffMs);
  }

  /** Ends all subscriptions. */
  close(): void {
    this.#subscriptions.close();
  }

  #append(
    key: LogKey,
    epoch: number,
    events: readonly StoredEvent[],
  ): { result: AppendResult; logId: number; fresh: readonly StoredEvent[] } {
    const found = this.#heads.find(key) ?? this.#heads.create(key, epoch);
    const { logId, lastSeq } = found;
    if (epoch < found.epoch) return { result: { outcome: 'stale_epoch', epoch: found.epoch }, logId, fresh: [] };
    // Refused or not: from now on earlier writers are fenced.
    const head = { ...found, epoch };

    const isNext = events[0]?.header.seq === lastSeq + 1;
    const fresh = isNext ? events : events.filter((event) => event.header.seq > lastSeq);
    const repeated = events.slice(0, events.length - fresh.length);
    const isGap = fresh[0] !== undefined && fresh[0].header.seq !== lastSeq + 1;
    if (isGap || !repeated.every((event) => this.#isWritten(logId, event))) {
      if (epoch > found.epoch) this.#heads.update(head);
      return { result: { outcome: 'out_of_order', lastSeq }, logId, fresh: [] };
    }
    for (const event of fresh) this.#rows.insert(logId, event);
    const newLastSeq = fresh.at(-1)?.header.seq ?? lastSeq;
    if (fresh.length > 0) this.#heads.update(this.#trimmed(head, newLastSeq, fresh));
    else if (epoch > found.epoch) this.#heads.update(head);
    return { result: { outcome: 'appended', lastSeq: newLastSeq }, logId, fresh };
  }

  #isWritten(logId: number, { header }: StoredEvent): boolean {
    const written = this.#rows.written(logId, header.seq);
    return written?.epoch === header.epoch && written.checksum === header.checksum;
  }

  /** The head after the append, without the events that are too many. */
  #trimmed(head: LogHead, lastSeq: number, fresh: readonly StoredEvent[]): LogHead {
    if (head.lastSeq === 0) head = { ...head, firstSeq: 1, firstAt: fresh[0]?.header.at ?? 0 };
    const excess = this.#excess(head, lastSeq);
    if (excess <= 0) return { ...head, lastSeq };
    const firstSeq = head.firstSeq + excess;
    this.#rows.delete(head.logId, head.firstSeq, firstSeq - 1);
    return { ...head, lastSeq, firstSeq, firstAt: this.#rows.at(head.logId, firstSeq) };
  }

  #excess(head: LogHead, lastSeq: number): number {
    const held = lastSeq - head.firstSeq + 1;
    const { maxEventsPerSession } = this.#options;
    if (held <= maxEventsPerSession) return 0;
    const sealed = (this.#heads.sealedSeq(head) ?? lastSeq) - head.firstSeq + 1;
    const tooMany = Math.max(Math.min(held - maxEventsPerSession, sealed), held - unsealedFactor * maxEventsPerSession);
    return Math.min(maxTrimmed, tooMany);
  }

  #readSince(key: LogKey, place: LogPlace): { end: LogPlace; events: readonly StoredEvent[] } {
    const head = this.#heads.find(key);
    if (head === null) return { end: { logId: place.logId, seq: 0 }, events: [] };
    const end = { logId: head.logId, seq: head.lastSeq };
    const first = Math.max(head.firstSeq, (place.logId === head.logId ? place.seq : 0) + 1);
    if (head.lastSeq === 0 || first > head.lastSeq) return { end, events: [] };
    const last = Math.min(head.lastSeq, first + pollPageLimit - 1);
    return { end, events: this.#rows.read(head.logId, key, first, last, maxPageChars) };
  }
}

/**
 * Events that no record speaks of, or that the record follows. The others may go with the power: a turn's
 * record is on disk before its `turn.queued` and before its end is told, and who recovers tells an end that
 * the log lost once more.
 */
function isTurningPoint(type: string): boolean {
  return type === 'turn.requires_action' || type.startsWith('session.') || type.startsWith('approval.');
}

function assertChecksums(events: readonly StoredEvent[]): void {
  for (const { header, body, raw } of events) {
    if (bodyChecksum(body, raw) === header.checksum) continue;
    const message = "an event's checksum must be that of its body and raw line";
    throw new ServiceError('internal', {}, { message });
  }
}
