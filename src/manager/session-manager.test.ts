import assert from 'node:assert/strict';
import { test } from 'node:test';
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
import { workerEntry } from '../testing/contract-suites/worker-registry-suite.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { sessionRecord, turnRecord } from '../testing/stored-records.ts';
import { Recurring } from './recurring.ts';
import { SessionManager } from './session-manager.ts';

const heartbeatMs = 1_000;
const leaseMs = 10_000;
const dayMs = 86_400_000;

const idOf = (number: number): string => `019f0000-0000-7000-8000-${String(number).padStart(12, '0')}`;
const numberOf = ({ sessionId }: SessionKey): number => Number(sessionId.slice(-12));

type Simulated = WorkerEntry & { isDead: boolean; isPaused: boolean };

/** Stores that all share, workers that beat, renew and take sessions as workers do, and managers. */
class Fleet {
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

  async begin(): Promise<void> {
    this.#loop.start();
    await this.clock.advanceAsync(60_000);
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
    this.taken.push({ session: number, worker: worker.id, atMs });
  }

  manager(holder: string, changes: { leadership?: MemoryLeadership; recover?: Fleet['recoverSession'] } = {}) {
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
      metrics: createMetrics(),
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

test('a thousand sessions of a killed worker are handed to others, those at work within three seconds, so many at once', async () => {
  const fleet = new Fleet(['worker-1', 'worker-2', 'worker-3']);
  for (let number = 1; number <= 1_000; number++) {
    await fleet.hosted(number, 'worker-1', { status: number % 10 === 0 ? 'running' : 'idle' });
  }
  await fleet.hosted(2_000, 'worker-2', { status: 'running' });
  const manager = fleet.manager('one');
  manager.start();
  await fleet.begin();
  assert.deepEqual([manager.isLeading, fleet.taken.length], [true, 0]);
  fleet.kill('worker-1');
  const killedAtMs = fleet.clock.monotonicMs();
  await fleet.clock.advanceAsync(10_000);
  assert.equal(fleet.taken.length, 1_000);
  assert.equal(new Set(fleet.taken.map(({ session }) => session)).size, 1_000);
  const lastAtWorkMs = Math.max(...fleet.taken.filter(({ session }) => session % 10 === 0).map(({ atMs }) => atMs));
  const firstAtRestMs = Math.min(...fleet.taken.filter(({ session }) => session % 10 !== 0).map(({ atMs }) => atMs));
  assert.ok(lastAtWorkMs - killedAtMs <= 3_000, `${lastAtWorkMs - killedAtMs} ms`);
  assert.ok(firstAtRestMs >= lastAtWorkMs - fleet.takesMs);
  assert.ok(fleet.mostAtOnce > 8 && fleet.mostAtOnce <= 32, String(fleet.mostAtOnce));
  assert.equal(
    fleet.taken.some(({ worker }) => worker === 'worker-1'),
    false,
  );
  const { lostWorkers, role, sessionsRecovered, workers } = manager.health();
  assert.deepEqual(
    [role, sessionsRecovered, workers, lostWorkers],
    [
      'leader',
      1_000,
      { ready: 2, draining: 0, suspect: 0, lost: 1 },
      [{ id: 'worker-1', boot: 'worker-1-a', evidence: 'refused' }],
    ],
  );
  await fleet.stop(manager);
});

test('the sessions of a worker that only fell silent are handed to others when their leases have ended, and not before', async () => {
  const fleet = new Fleet(['worker-1', 'worker-2']);
  await fleet.hosted(1, 'worker-1', { status: 'running' });
  const manager = fleet.manager('one');
  manager.start();
  await fleet.begin();
  const worker = fleet.workers[0] ?? assert.fail();
  worker.isPaused = true;
  const pausedAtMs = fleet.clock.monotonicMs();
  await fleet.clock.advanceAsync(20_000);
  assert.deepEqual(
    fleet.taken.map(({ worker: by }) => by),
    ['worker-2'],
  );
  const tookMs = (fleet.taken[0]?.atMs ?? 0) - pausedAtMs;
  assert.ok(tookMs >= leaseMs - heartbeatMs && tookMs <= leaseMs + 2_000, `${tookMs} ms`);
  await fleet.stop(manager);
});

test('a worker that came back under its name as another boot loses the sessions of its first boot at once, to itself or to others', async () => {
  const fleet = new Fleet(['worker-1', 'worker-2']);
  await fleet.hosted(1, 'worker-1', { status: 'running' });
  const manager = fleet.manager('one');
  manager.start();
  await fleet.begin();
  fleet.kill('worker-1');
  Object.assign(fleet.workers[0] ?? assert.fail(), { isDead: false, boot: 'worker-1-b', startedAt: 2 });
  await fleet.clock.advanceAsync(2_000);
  assert.equal(fleet.taken.length, 1);
  const { boot, epoch } = (await fleet.records.sessions.get('acme', idOf(1))) ?? assert.fail();
  assert.deepEqual([boot === 'worker-1-a', epoch], [false, 2]);
  await fleet.stop(manager);
});

test('a flush of all that is fast and forgetful takes no session from anybody', async () => {
  const fleet = new Fleet(['worker-1', 'worker-2']);
  for (let number = 1; number <= 20; number++) {
    await fleet.hosted(number, `worker-${1 + (number % 2)}`, { status: 'running' });
    await fleet.records.turns.create(
      turnRecord({ id: idOf(100 + number), sessionId: idOf(number), status: 'running' }),
    );
  }
  const manager = fleet.manager('one');
  manager.start();
  await fleet.begin();
  const before = await fleet.owners();
  for (let round = 0; round < 5; round++) {
    fleet.flush();
    await fleet.clock.advanceAsync(900 + 1_700 * round);
  }
  await fleet.clock.advanceAsync(60_000);
  assert.deepEqual([fleet.taken, await fleet.owners()], [[], before]);
  await fleet.stop(manager);
});

test('a worker that was killed with the registry flushed is found by its refusal, one that is silent after a whole lease', async () => {
  const fleet = new Fleet(['worker-1', 'worker-2', 'worker-3']);
  await fleet.hosted(1, 'worker-1', { status: 'running' });
  await fleet.hosted(2, 'worker-2', { status: 'running' });
  const manager = fleet.manager('one');
  manager.start();
  await fleet.begin();
  fleet.kill('worker-1');
  Object.assign(fleet.workers[1] ?? assert.fail(), { isPaused: true });
  fleet.flush();
  const flushedAtMs = fleet.clock.monotonicMs();
  await fleet.clock.advanceAsync(30_000);
  const tookMs = new Map(fleet.taken.map(({ atMs, session }) => [session, atMs - flushedAtMs]));
  assert.ok((tookMs.get(1) ?? Infinity) <= 3_000, `${tookMs.get(1)} ms`);
  const silentMs = tookMs.get(2) ?? Infinity;
  assert.ok(silentMs >= leaseMs && silentMs <= leaseMs + 4_000, `${silentMs} ms`);
  await fleet.stop(manager);
});

test('a leader that ends in the midst of a recovery loses nothing: the standby finishes it', async () => {
  const fleet = new Fleet(['worker-1', 'worker-2']);
  for (let number = 1; number <= 200; number++) await fleet.hosted(number, 'worker-1', { status: 'running' });
  let calls = 0;
  const first = fleet.manager('first', {
    recover: async (key) => {
      // The answers never come, and what was asked after the first dozen never arrives.
      if (++calls <= 12) await fleet.recoverSession(key);
      await new Promise<never>(() => {});
    },
  });
  const second = fleet.manager('second');
  first.start();
  await fleet.begin();
  second.start();
  await fleet.clock.advanceAsync(15_000);
  fleet.kill('worker-1');
  await fleet.clock.advanceAsync(2_500);
  assert.equal(fleet.taken.length, 12);
  const stopping = first.stop();
  await fleet.clock.advanceAsync(5_000);
  await stopping;
  assert.deepEqual([second.isLeading, fleet.taken.length], [true, 200]);
  assert.equal(new Set(fleet.taken.map(({ session }) => session)).size, 200);
  await fleet.stop(second);
});

test('two managers that both believe they lead harm nothing: each session changes hands once', async () => {
  const fleet = new Fleet(['worker-1', 'worker-2', 'worker-3']);
  for (let number = 1; number <= 100; number++) {
    await fleet.hosted(number, 'worker-1', { status: 'running' });
    await fleet.queued(1_000 + number, number);
  }
  await fleet.records.sessions.create(sessionRecord({ id: idOf(500), status: 'queued' }));
  await fleet.queued(1_500, 500);
  const managers = ['first', 'second'].map((holder) =>
    fleet.manager(holder, { leadership: new MemoryLeadership(fleet.clock) }),
  );
  for (const manager of managers) manager.start();
  await fleet.begin();
  assert.deepEqual(
    managers.map(({ isLeading }) => isLeading),
    [true, true],
  );
  fleet.kill('worker-1');
  await fleet.clock.advanceAsync(20_000);
  const { data } = await fleet.records.sessions.list('acme', { after: null, limit: 100, order: 'asc' });
  assert.equal(
    data.every(({ epoch }) => epoch === 2),
    true,
  );
  assert.equal(new Set(fleet.taken.map(({ session }) => session)).size, 101);
  assert.equal(fleet.taken.length, 101);
  assert.deepEqual(
    [...new Set(fleet.refused)].filter((code) => code !== 'stale_epoch'),
    [],
  );
  assert.equal(fleet.lines.includes('session_not_recovered'), false);
  await fleet.stop(...managers);
});

test('a turn that waits at a session that nobody has is given to a worker within two seconds and a half, one on its way is left alone', async () => {
  const fleet = new Fleet(['worker-1']);
  const manager = fleet.manager('one');
  manager.start();
  await fleet.begin();
  await fleet.records.sessions.create(sessionRecord({ id: idOf(1), status: 'queued' }));
  await fleet.queued(11, 1);
  await fleet.queued(12, 1);
  await fleet.records.sessions.create(sessionRecord({ id: idOf(2), status: 'queued' }));
  await fleet.queued(21, 2);
  await fleet.clock.advanceAsync(1_400);
  assert.deepEqual(fleet.taken, []);
  // Handed over by its gateway, and ended.
  await fleet.leases.claim({ tenant: 'acme', sessionId: idOf(2), worker: 'worker-1', epoch: 1 }, 60_000);
  await fleet.clock.advanceAsync(1_100);
  assert.deepEqual(
    fleet.taken.map(({ session }) => session),
    [1],
  );
  await fleet.stop(manager);
});

test('a turn that waits at a session that is held is asked for, ever more rarely; one that runs is not', async () => {
  const fleet = new Fleet(['worker-1']);
  await fleet.hosted(1, 'worker-1', { status: 'running' });
  await fleet.records.turns.create(turnRecord({ id: idOf(11), sessionId: idOf(1), status: 'running' }));
  await fleet.hosted(2, 'worker-1', { status: 'running' });
  const manager = fleet.manager('one');
  manager.start();
  await fleet.begin();
  await fleet.queued(21, 2);
  await fleet.queued(22, 2);
  const fromMs = fleet.clock.monotonicMs();
  await fleet.clock.advanceAsync(120_000);
  const seconds = fleet.asked.map(({ atMs, session }) => [session, Math.round((atMs - fromMs) / 5_000) * 5]);
  assert.deepEqual(
    seconds,
    [5, 10, 20, 40, 80].map((at) => [2, at]),
  );
  await fleet.stop(manager);
});

test('with thousands of open turns a pass stays bounded, and the last of them is found all the same', async () => {
  const fleet = new Fleet(['worker-1']);
  for (let number = 1; number <= 5_000; number++) {
    await fleet.hosted(number, 'worker-1', { status: 'queued' });
    await fleet.queued(10_000 + number, number);
  }
  const manager = fleet.manager('one');
  manager.start();
  await fleet.begin();
  await fleet.records.sessions.create(sessionRecord({ id: idOf(6_000), status: 'queued' }));
  await fleet.queued(19_000, 6_000);
  fleet.lookups = 0;
  fleet.asked.length = 0;
  await fleet.clock.advanceAsync(15_000);
  assert.deepEqual(
    fleet.taken.map(({ session }) => session),
    [6_000],
  );
  assert.ok(fleet.lookups <= 2_500 * 15, String(fleet.lookups));
  assert.ok(fleet.asked.length <= 32 * 30, String(fleet.asked.length));
  await fleet.stop(manager);
});

test('while no worker is ready lost sessions wait, that is said once, and all are recovered when one is', async () => {
  const fleet = new Fleet(['worker-1', 'worker-2']);
  for (let number = 1; number <= 300; number++) await fleet.hosted(number, 'worker-1', { status: 'running' });
  const manager = fleet.manager('one');
  manager.start();
  await fleet.begin();
  fleet.kill('worker-1');
  fleet.kill('worker-2');
  await fleet.clock.advanceAsync(30_000);
  assert.equal(fleet.lines.filter((line) => line === 'recovery_waits_for_worker').length, 1);
  assert.equal(fleet.lines.includes('session_not_recovered'), false);
  assert.ok(fleet.refused.length < 1_500, String(fleet.refused.length));
  Object.assign(fleet.workers[1] ?? assert.fail(), { isDead: false, boot: 'worker-2-b', startedAt: 2 });
  await fleet.clock.advanceAsync(15_000);
  assert.equal(fleet.taken.length, 300);
  await fleet.stop(manager);
  assert.equal(fleet.clock.pendingTimers, 0);
});
