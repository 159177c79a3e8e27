// What the processes of a simulated world share: the memory adapters, watched, and able to lose what a
// fast store may lose. Faults of single calls are the callers'.

import { MemoryEventLog } from '../../adapters/memory/memory-event-log.ts';
import { MemoryRecords } from '../../adapters/memory/memory-records.ts';
import { MemorySessionDirectory } from '../../adapters/memory/memory-session-directory.ts';
import { MemorySnapshotStore } from '../../adapters/memory/memory-snapshot-store.ts';
import { MemoryWorkerRegistry } from '../../adapters/memory/memory-worker-registry.ts';
import type { AppendResult, EventLog, LogKey, LogPage, OpenResult } from '../../contracts/event-log.ts';
import type { Records } from '../../contracts/records.ts';
import type { Lease, SessionDirectory } from '../../contracts/session-directory.ts';
import type { SnapshotStore } from '../../contracts/snapshots.ts';
import type { KnownWorkers, WorkerEntry, WorkerRegistry } from '../../contracts/worker-registry.ts';
import type { Clock } from '../../core/clock.ts';
import type { StoredEvent } from '../../core/event.ts';
import { ServiceError } from '../../core/errors.ts';
import type { SessionRecord } from '../../core/session.ts';
import type { TurnRecord } from '../../core/turn.ts';

export type RecordWatch = {
  readonly onSession: (before: SessionRecord | null, after: SessionRecord) => void;
  readonly onTurn: (before: TurnRecord | null, after: TurnRecord) => void;
};

/** The memory records; every write that took effect is told to the watch at its moment. */
export function watchedRecords(watch: RecordWatch): Records {
  const records = new MemoryRecords();
  const { sessions, turns } = records;
  const createSession = sessions.create.bind(sessions);
  const replaceSession = sessions.replace.bind(sessions);
  const createTurn = turns.create.bind(turns);
  const replaceTurn = turns.replace.bind(turns);
  const commit = records.commit.bind(records);
  sessions.create = async (record) => {
    const answer = await createSession(record);
    if (answer.outcome === 'created') watch.onSession(null, answer.record);
    return answer;
  };
  sessions.replace = async (next) => {
    const before = await sessions.get(next.tenant, next.id);
    const written = await replaceSession(next);
    if (written !== null) watch.onSession(before, written);
    return written;
  };
  turns.create = async (record) => {
    const answer = await createTurn(record);
    if (answer.outcome === 'created') watch.onTurn(null, answer.record);
    return answer;
  };
  turns.replace = async (next) => {
    const before = await turns.get(next.tenant, next.id);
    const written = await replaceTurn(next);
    if (written !== null) watch.onTurn(before, written);
    return written;
  };
  records.commit = async (session, turn) => {
    const sessionBefore = await sessions.get(session.tenant, session.id);
    const turnBefore = await turns.get(turn.tenant, turn.id);
    const written = await commit(session, turn);
    if (written === null) return null;
    watch.onTurn(turnBefore, written.turn);
    watch.onSession(sessionBefore, written.session);
    return written;
  };
  return records;
}

type Listener = (events: readonly StoredEvent[]) => void;
type Subscription = { readonly key: LogKey; readonly listener: Listener; end: () => void };

export type LogWatch = {
  readonly onAppended: (key: LogKey, events: readonly StoredEvent[]) => void;
};

/** The memory log; it may lose all it has, or the newest part of it, and then waits to be opened again. */
export class ForgetfulLog implements EventLog {
  readonly #watch: LogWatch;
  readonly #keys = new Map<string, LogKey>();
  readonly #subscriptions = new Set<Subscription>();
  readonly #lost = new Set<string>();
  #log = new MemoryEventLog();
  #lostAtMs = Number.NEGATIVE_INFINITY;

  constructor(watch: LogWatch) {
    this.#watch = watch;
  }

  async open(key: LogKey, epoch: number, sealedSeq: number): Promise<OpenResult> {
    this.#keys.set(key.sessionId, key);
    const opened = await this.#log.open(key, epoch, sealedSeq);
    if (opened.outcome === 'opened') {
      this.#lost.delete(key.sessionId);
    }
    return opened;
  }

  async append(key: LogKey, epoch: number, events: readonly StoredEvent[]): Promise<AppendResult> {
    if (this.#lost.has(key.sessionId) || !this.#keys.has(key.sessionId)) return { outcome: 'log_lost' };
    const { lastSeq } = await this.#log.read(key, Number.MAX_SAFE_INTEGER, 1);
    const result = await this.#log.append(key, epoch, events);
    const fresh = result.outcome === 'appended' ? events.filter(({ header }) => header.seq > lastSeq) : [];
    if (fresh.length > 0) this.#watch.onAppended(key, fresh);
    return result;
  }

  read(key: LogKey, afterSeq: number, limit: number): Promise<LogPage> {
    return this.#log.read(key, afterSeq, limit);
  }

  async subscribe(key: LogKey, listener: Listener): Promise<() => void> {
    const subscription: Subscription = { key, listener, end: () => {} };
    this.#subscriptions.add(subscription);
    subscription.end = await this.#log.subscribe(key, listener);
    return () => {
      this.#subscriptions.delete(subscription);
      subscription.end();
    };
  }

  async erase(key: LogKey): Promise<void> {
    await this.#log.erase(key);
  }

  async knownForMs(nowMs: number): Promise<number> {
    return nowMs - this.#lostAtMs;
  }

  /** `keptShare` of each session's events are still there: 0 after a flush, more after going back in time. */
  async lose(keptShare: number, nowMs: number): Promise<void> {
    this.#lostAtMs = nowMs;
    const before = this.#log;
    this.#log = new MemoryEventLog();
    for (const key of this.#keys.values()) {
      this.#lost.add(key.sessionId);
      const { events } = await before.read(key, 0, Number.MAX_SAFE_INTEGER);
      const kept = events.slice(0, Math.floor(events.length * keptShare));
      const first = kept[0]?.header;
      if (first === undefined) continue;
      await this.#log.open(key, first.epoch, first.seq - 1);
      for (const event of kept) await this.#log.append(key, event.header.epoch, [event]);
    }
    for (const subscription of this.#subscriptions) {
      subscription.end();
      subscription.end = await this.#log.subscribe(subscription.key, subscription.listener);
    }
  }
}

/** The memory directory; it may lose all it knows. */
export class ForgetfulDirectory implements SessionDirectory {
  readonly #clock: Clock;
  #directory: MemorySessionDirectory;
  #knowsSinceMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#directory = new MemorySessionDirectory(clock);
  }

  claim(lease: Lease, ttlMs: number): Promise<Lease | null> {
    return this.#directory.claim(lease, ttlMs);
  }

  async renew(lease: Lease, ttlMs: number): Promise<boolean> {
    if (await this.#directory.renew(lease, ttlMs)) return true;
    const isForgetful = (await this.knownForMs()) < ttlMs;
    if (!isForgetful || (await this.#directory.lookup(lease.tenant, lease.sessionId)) !== null) return false;
    return (await this.#directory.claim(lease, ttlMs)) === null;
  }

  release(lease: Lease): Promise<void> {
    return this.#directory.release(lease);
  }

  lookup(tenant: string, sessionId: string): Promise<Lease | null> {
    return this.#directory.lookup(tenant, sessionId);
  }

  async knownForMs(): Promise<number> {
    return this.#clock.monotonicMs() - this.#knowsSinceMs;
  }

  lose(): void {
    this.#directory = new MemorySessionDirectory(this.#clock);
    this.#knowsSinceMs = this.#clock.monotonicMs();
  }
}

/** The memory registry; it may lose all it knows. */
export class ForgetfulRegistry implements WorkerRegistry {
  readonly #clock: Clock;
  #registry: MemoryWorkerRegistry;
  #knowsSinceMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#registry = new MemoryWorkerRegistry(clock);
  }

  announce(entry: WorkerEntry): Promise<boolean> {
    return this.#registry.announce(entry);
  }

  withdraw(id: string, boot: string): Promise<void> {
    return this.#registry.withdraw(id, boot);
  }

  async list(): Promise<KnownWorkers> {
    const { workers } = await this.#registry.list();
    return { workers, knownForMs: this.#clock.monotonicMs() - this.#knowsSinceMs };
  }

  lose(): void {
    this.#registry = new MemoryWorkerRegistry(this.#clock);
    this.#knowsSinceMs = this.#clock.monotonicMs();
  }
}

/** The memory store; a put may be torn: refused, with a part of it left behind. */
export class TearingSnapshotStore extends MemorySnapshotStore {
  readonly #isTorn: () => boolean;

  constructor(isTorn: () => boolean) {
    super();
    this.#isTorn = isTorn;
  }

  override async put(...[key, name, content]: Parameters<SnapshotStore['put']>): Promise<void> {
    if (!this.#isTorn()) return await super.put(key, name, content);
    const pieces: Uint8Array[] = [];
    for await (const piece of content) pieces.push(piece);
    const bytes = Buffer.concat(pieces);
    await super.put(key, name, [bytes.subarray(0, bytes.length / 2)]);
    throw new ServiceError('store_unavailable');
  }
}
