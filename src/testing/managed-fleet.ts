// A fleet for session managers to look after: stores in memory, and workers that beat, renew and take sessions
// as workers do, without a Codex. They can be killed, paused and flushed.

import { MemoryLeadership } from '../adapters/memory/memory-leadership.ts';
import { MemoryRecords } from '../adapters/memory/memory-records.ts';
import { MemorySessionDirectory } from '../adapters/memory/memory-session-directory.ts';
import { MemorySnapshotStore } from '../adapters/memory/memory-snapshot-store.ts';
import type { Lease } from '../contracts/session-directory.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import type { KnownWorkers, WorkerEntry } from '../contracts/worker-registry.ts';
import { ServiceError } from '../core/errors.ts';
import type { SessionRecord } from '../core/session.ts';
import { createLogger } from '../observability/logger.ts';
import { createMetrics } from '../observability/metrics.ts';
import { workerEntry } from './contract-suites/worker-registry-suite.ts';
import { FakeClock } from './fake-clock.ts';
import { sessionRecord, turnRecord } from './stored-records.ts';
import { Recurring } from '../manager/recurring.ts';
import { SessionManager } from '../manager/session-manager.ts';

export const heartbeatMs = 1_000;
export const leaseMs = 10_000;
const dayMs = 86_400_000;

export const idOf = (number: number): string => `019f0000-0000-7000-8000-${String(number).padStart(12, '0')}`;
const numberOf = ({ sessionId }: SessionKey): number => Number(sessionId.slice(-12));

type Simulated = WorkerEntry & { isDead: boolean; isPaused: boolean };

/** Stores that all share, workers, and managers. */
export class ManagedFleet {
  readonly metrics = createMetrics();
  readonly clock = new FakeClock(sessionRecord().createdAt + dayMs);
  readonly records = new MemoryRecords();
  leases = new MemorySessionDirectory(this.clock);
  readonly leadership = new MemoryLeadership(this.clock);
  readonly workers: Simulated[] = [];
  readonly taken: { readonly session: number; readonly worker: string; readonly atMs: number }[] = [];
  readonly asked: { readonly session: number; readonly atMs: number }[] = [];
  readonly refused: string[] = [];
  readonly lines: string[] = [];
  readonly #heard = new Map<string, { entry: WorkerEntry; atMs: number }>();
  readonly #held = new Map<string, Lease>();
  readonly #loop: Recurring;
  #flushedAtMs = -Infinity;
  lookups = 0;
  atOnce = 0;
  mostAtOnce = 0;
  /** How long a worker takes to recover a session. */
  takesMs = 20;

  constructor(names: readonly string[]) {
    for (const name of names) this.workers.push({ ...this.entry(name), isDead: false, isPaused: false });
    this.#loop = new Recurring(this.clock, () => this.#live());
  }

  entry(name: string): WorkerEntry {
    return workerEntry(name, { boot: `${name}-a`, url: `http://${name}`, startedAt: 1 });
  }

  async begin(standingMs = 60_000): Promise<void> {
    this.#loop.start();
    await this.clock.advanceAsync(standingMs);
  }

  end(): Promise<void> {
    return this.#loop.stop();
  }

  async #live(): Promise<number> {
    for (const worker of this.workers) {
      if (worker.isDead || worker.isPaused) continue;
      this.#heard.set(worker.id, { entry: worker, atMs: this.clock.monotonicMs() });
      for (const lease of this.#held.values()) if (lease.worker === worker.id) await this.leases.claim(lease, leaseMs);
    }
    return heartbeatMs;
  }

  kill(name: string): void {
    for (const worker of this.workers) if (worker.id === name) worker.isDead = true;
    for (const [session, lease] of this.#held) if (lease.worker === name) this.#held.delete(session);
  }

  flush(): void {
    this.#heard.clear();
    this.leases = new MemorySessionDirectory(this.clock);
    this.#flushedAtMs = this.clock.monotonicMs();
  }

  /** A session that a worker has, as it would be after a turn was handed over. */
  async hosted(number: number, worker: string, changes: Partial<SessionRecord> = {}): Promise<void> {
    const held = { worker, boot: `${worker}-a`, epoch: 1, ...changes };
    await this.records.sessions.create(sessionRecord({ id: idOf(number), ...held }));
    const lease = { tenant: 'acme', sessionId: idOf(number), worker, epoch: held.epoch };
    this.#held.set(idOf(number), lease);
    await this.leases.claim(lease, leaseMs);
  }

  async queued(number: number, session: number): Promise<void> {
    await this.records.turns.create(turnRecord({ id: idOf(number), sessionId: idOf(session) }));
  }

  /** As the routed link does: the holder first, else any that lives; there, as takeSession does. */
  async recoverSession(key: SessionKey): Promise<void> {
    this.atOnce++;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.atOnce);
    try {
      await this.#recover(key);
    } catch (error) {
      this.refused.push(error instanceof ServiceError ? error.code : String(error));
      throw error;
    } finally {
      this.atOnce--;
    }
  }

  async #recover({ sessionId, tenant }: SessionKey): Promise<void> {
    const standing = await this.leases.lookup(tenant, sessionId);
    const session = await this.records.sessions.get(tenant, sessionId);
    if (session === null) throw new ServiceError('session_not_found');
    const alive = this.workers.filter(({ isDead, isPaused }) => !isDead && !isPaused);
    const atMs = this.clock.monotonicMs();
    const number = numberOf({ tenant, sessionId });
    if (standing !== null) {
      if (this.workers.find(({ id }) => id === standing.worker)?.isPaused === true) await new Promise<never>(() => {});
      if (!alive.some(({ id }) => id === standing.worker)) throw new ServiceError('worker_unreachable');
      this.asked.push({ session: number, atMs });
      return;
    }
    const worker = alive[number % Math.max(1, alive.length)];
    if (worker === undefined) throw new ServiceError('no_worker_ready');
    const lease = { tenant, sessionId, worker: worker.id, epoch: session.epoch + (session.boot === null ? 0 : 1) };
    if ((await this.leases.claim(lease, leaseMs)) !== null) throw new ServiceError('stale_epoch');
    const next = { ...session, worker: worker.id, boot: worker.boot, epoch: lease.epoch };
    if ((await this.records.sessions.replace(next)) === null) throw new ServiceError('store_conflict');
    this.#held.set(sessionId, lease);
    await new Promise<void>((resolve) => this.clock.after(this.takesMs, resolve));
    if (worker.isPaused) await new Promise<never>(() => {});
    this.taken.push({ session: number, worker: worker.id, atMs });
  }

  manager(
    holder: string,
    changes: { leadership?: MemoryLeadership; recover?: ManagedFleet['recoverSession'] } = {},
  ): SessionManager {
    const destination = { write: (line: string) => void this.lines.push(String(JSON.parse(line).event)) };
    return new SessionManager({
      clock: this.clock,
      records: this.records,
      snapshots: new MemorySnapshotStore(),
      directory: {
        knownForMs: async () => this.clock.monotonicMs() - this.#flushedAtMs,
        release: (lease) => this.leases.release(lease),
        lookup: (tenant, sessionId) => {
          this.lookups++;
          return this.leases.lookup(tenant, sessionId);
        },
      },
      registry: { list: () => this.#list() },
      leadership: changes.leadership ?? this.leadership,
      holder,
      probe: async (url) => {
        const found = this.workers.find((worker) => worker.url === url);
        if (found === undefined || found.isDead) return 'refused';
        return found.isPaused ? 'silent' : 'answers';
      },
      worker: { recoverSession: changes.recover ?? ((key) => this.recoverSession(key)) },
      eraseSession: ({ sessionId, tenant }) => this.records.sessions.erase(tenant, sessionId),
      dropEventsBefore: async () => 0,
      logger: createLogger({ level: 'info', role: 'test', destination }),
      metrics: this.metrics,
      settings: { retainEventsMs: dayMs, retainSessionsMs: 0 },
      heartbeatMs,
      leaseMs,
    });
  }

  async #list(): Promise<KnownWorkers> {
    const nowMs = this.clock.monotonicMs();
    const workers = [...this.#heard.values()].map(({ entry, atMs }) => ({ ...entry, silentMs: nowMs - atMs }));
    return { workers, knownForMs: nowMs - this.#flushedAtMs };
  }

  async stop(...managers: readonly SessionManager[]): Promise<void> {
    const stopped = Promise.all(managers.map((manager) => manager.stop()));
    await this.clock.advanceAsync(2_000);
    await stopped;
    await this.end();
  }

  async owners(): Promise<readonly (string | null)[]> {
    const { data } = await this.records.sessions.list('acme', { after: null, limit: 100, order: 'asc' });
    return data.map(({ worker }) => worker);
  }
}
