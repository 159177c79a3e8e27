// A whole worker on memory stores, a clock that stands still and agents that play scripts: for tests of
// what a worker promises, with no process and no waiting.

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { MemoryEventLog } from '../../adapters/memory/memory-event-log.ts';
import { MemoryRecords } from '../../adapters/memory/memory-records.ts';
import { MemorySessionDirectory } from '../../adapters/memory/memory-session-directory.ts';
import type { AgentProcess } from '../../codex/agent-process.ts';
import type { GrantId, GrantRequest, ModelGrants } from '../../contracts/model-grants.ts';
import type { EventLog } from '../../contracts/event-log.ts';
import { noOutbox, type Outbox } from '../../contracts/outbox.ts';
import type { Records } from '../../contracts/records.ts';
import type { SessionDirectory } from '../../contracts/session-directory.ts';
import type { SnapshotStore } from '../../contracts/snapshots.ts';
import type { TurnKey } from '../../contracts/worker-link.ts';
import { type ErrorCode, ServiceError } from '../../core/errors.ts';
import { mintId } from '../../core/ids.ts';
import type { SessionRecord } from '../../core/session.ts';
import type { TurnRecord } from '../../core/turn.ts';
import { createLogger } from '../../observability/logger.ts';
import { createMetrics } from '../../observability/metrics.ts';
import { noTracing } from '../../observability/tracing.ts';
import { LeaseKeeper } from '../../worker/lease-keeper.ts';
import { MemorySnapshotStore } from '../../adapters/memory/memory-snapshot-store.ts';
import { Snapshots } from '../../snapshot/snapshots.ts';
import { SessionFiles } from '../../worker/session-files.ts';
import { SlotClaims } from '../../worker/slot-claims.ts';
import type { Slot } from '../../worker/slot.ts';
import { SlotPool } from '../../worker/slot-pool.ts';
import { OneTenant } from '../../worker/one-tenant.ts';
import { isOwner } from '../../worker/ownership.ts';
import { Worker } from '../../worker/worker.ts';
import { FakeClock } from '../fake-clock.ts';
import { sessionRecord, turnRecord } from '../stored-records.ts';
import { Mortality } from '../mortal.ts';
import { PlayedAgent } from './played-agent.ts';
import type { Script } from './script.ts';

export type StageOptions = {
  readonly slots?: number;
  readonly warm?: number;
  readonly queueLimit?: number;
  readonly recycleTurns?: number;
  readonly rssBytes?: number;
  readonly openFiles?: number;
  readonly silenceMs?: number;
  readonly hibernateAfterMs?: number;
  readonly rolloutBytes?: number;
  readonly outlivesUs?: boolean;
  readonly mayLogBeLost?: boolean;
  /** As where no cage can be made; called when another tenant has no other worker. */
  readonly onWanted?: () => void;
  /** The how-manieth call to the records or the log is refused as `store_unavailable`, before it does anything. */
  readonly failingCall?: number;
  /** A worker that died: this one finds what it left. */
  readonly after?: WorkerStage;
  readonly pid?: number;
  /** Of the n-th agent started; the last one serves all further. */
  readonly scripts?: readonly Script[];
  /** Real processes instead of played agents. */
  readonly startAgent?: (slot: Slot) => Promise<AgentProcess>;
  /** Default: nobody is told of anything. */
  readonly outbox?: Outbox;
};

/** Grants that remember who may be served, and forget when told to. */
export class PlayedGrants implements ModelGrants {
  readonly standing = new Map<GrantId, string | null>();
  readonly begun: string[] = [];
  readonly issued: GrantRequest[] = [];

  async issue(request: GrantRequest): Promise<{ id: GrantId; credential: string }> {
    const id = mintId();
    this.issued.push(request);
    this.standing.set(id, null);
    return { id, credential: `credential-${id}` };
  }

  async beginTurn(id: GrantId, turnId: string): Promise<void> {
    if (!this.standing.has(id)) throw new ServiceError('grant_not_found');
    this.standing.set(id, turnId);
    this.begun.push(turnId);
  }

  async endTurn(id: GrantId): Promise<void> {
    if (!this.standing.has(id)) throw new ServiceError('grant_not_found');
    this.standing.set(id, null);
  }

  async revoke(id: GrantId): Promise<void> {
    this.standing.delete(id);
  }
}

const refused = { error: { code: -32601, message: 'nobody listens' } };

export class WorkerStage {
  readonly clock = new FakeClock();
  readonly records: MemoryRecords;
  readonly log: MemoryEventLog;
  readonly directory: MemorySessionDirectory;
  readonly snapshotStore: MemorySnapshotStore;
  readonly grants = new PlayedGrants();
  readonly metrics = createMetrics();
  readonly agents: PlayedAgent[] = [];
  readonly root: string;
  readonly boot = mintId();
  readonly worker: Worker;
  readonly snapshots: Snapshots;
  readonly pool: SlotPool;
  readonly #options: StageOptions;
  readonly #mortality = new Mortality();
  /** What storing a snapshot comes to from now on. */
  snapshotFailure: ErrorCode | null = null;

  private constructor(root: string, options: StageOptions) {
    const { clock, grants, metrics } = this;
    this.records = options.after?.records ?? new MemoryRecords();
    this.log = options.after?.log ?? new MemoryEventLog();
    this.directory = options.after?.directory ?? new MemorySessionDirectory(clock);
    this.snapshotStore = options.after?.snapshotStore ?? new MemorySnapshotStore();
    const records = this.#counted(this.#mortality.of<Records>(this.records));
    const log = this.#counted(this.#mortality.of<EventLog>(this.log));
    const directory = this.#mortality.of<SessionDirectory>(this.directory);
    const logger = createLogger({ level: 'silent', role: 'test' });
    this.root = root;
    this.#options = options;
    this.pool = new SlotPool({
      limit: options.slots ?? 2,
      warm: options.warm ?? 1,
      slotsDir: path.join(root, 'slots'),
      startAgent: (slot) => this.#startAgent(slot),
      releaseLongestIdle: () => this.worker.releaseLongestIdle(),
      recycle: {
        turns: options.recycleTurns ?? 500,
        ageMs: 7_200_000,
        rssBytes: options.rssBytes ?? 1e12,
        openFiles: options.openFiles ?? 1e6,
      },
      clock,
      logger,
      metrics,
    });
    this.snapshots = new Snapshots({
      store: this.#failing(this.#mortality.of<SnapshotStore>(this.snapshotStore)),
      log,
      codexVersion: '0.169.0',
      fleetVersion: '0.0.0',
      clock,
      logger,
      limits: {},
    });
    this.worker = new Worker({
      id: 'worker-1',
      boot: this.boot,
      parts: {
        pool: this.pool,
        files: new SessionFiles(path.join(root, 'sessions'), 'this-machine'),
        claims: new SlotClaims(path.join(root, 'slots'), 'this-machine'),
        snapshots: this.snapshots,
        codexVersion: '0.169.0',
        outlivesUs: options.outlivesUs ?? false,
        mayLogBeLost: options.mayLogBeLost ?? false,
        grants,
        records,
        log,
        outbox: options.outbox ?? noOutbox,
        clock,
        logger,
        metrics,
        tracing: noTracing,
        isolation: { cage: 'none', cageProblem: null, innerSandbox: 'none', innerSandboxProblem: null },
        defaultModel: 'demo',
        limits: {
          hibernateAfterMs: options.hibernateAfterMs ?? 300_000,
          commandQueueTimeoutMs: 60_000,
          silenceMs: options.silenceMs ?? 60_000,
          rolloutBytes: options.rolloutBytes ?? 64_000_000,
        },
      },
      directory,
      leases: new LeaseKeeper({
        directory,
        clock,
        logger,
        leaseMs: 10_000,
        renewEveryMs: 3_000,
        selfFenceMs: 7_000,
        isStillOurs: (lease) => isOwner({ clock, records }, { ...lease, boot: this.boot }),
      }),
      slotLimit: options.slots ?? 2,
      queueLimit: options.queueLimit ?? 1_000,
      oneTenant:
        options.onWanted === undefined
          ? null
          : new OneTenant({ clock, waiting: [], knownAfterMs: 3_000, onTaken: () => {}, onWanted: options.onWanted }),
      maxPendingEvents: 10_000,
    });
  }

  static async open(options: StageOptions = {}): Promise<WorkerStage> {
    const root = options.after?.root ?? (await mkdtemp(path.join(tmpdir(), 'worker-stage-')));
    const stage = new WorkerStage(root, options);
    await stage.worker.start();
    return stage;
  }

  async close(): Promise<void> {
    await this.stop();
    await this.snapshots.stop();
    await rm(this.root, { recursive: true, force: true });
    assert.deepEqual(
      this.agents.filter((agent) => !agent.isGone),
      [],
    );
    assert.equal(this.grants.standing.size, 0);
    assert.equal(this.clock.pendingTimers, 0);
  }

  /** In order, without a drain. Files and threads get the time that they need before the clock moves on. */
  async stop(): Promise<void> {
    let isStopped = false;
    const stopping = this.worker.stop(0).finally(() => {
      isStopped = true;
    });
    while (!isStopped) {
      for (let n = 0; n < 20 && !isStopped; n++) await new Promise((resolve) => setTimeout(resolve, 5));
      if (!isStopped) await this.pass(1_000);
    }
    await stopping;
  }

  /** As `kill -9`: nothing that it asked is answered any more, and what it ran is gone. */
  async die(): Promise<void> {
    this.#mortality.die();
    await this.snapshots.stop();
    for (const agent of this.agents) agent.vanish();
  }

  async newSession(changes: Partial<SessionRecord> = {}): Promise<SessionRecord> {
    const { record } = await this.records.sessions.create(sessionRecord({ id: mintId(), ...changes }));
    return record;
  }

  /** Hands in a turn of the session, which is created. */
  async start(session: SessionRecord, changes: Partial<TurnRecord> = {}): Promise<TurnKey> {
    const made = turnRecord({
      tenant: session.tenant,
      sessionId: session.id,
      id: mintId(),
      createdAt: this.clock.now(),
      ...changes,
    });
    await this.records.turns.create(made);
    const key = { tenant: made.tenant, sessionId: made.sessionId, turnId: made.id };
    await this.worker.startTurn(key);
    return key;
  }

  /** Plays on, without time, until the turn has ended and its terminal event is in the log. */
  async ended(key: TurnKey): Promise<TurnRecord> {
    return this.until(async () => {
      const turn = await this.turn(key);
      const events = await this.events(key);
      const isTold = events.some(({ type, turn_id }) => turn_id === key.turnId && type === `turn.${turn.status}`);
      return turn.endedAt !== null && isTold ? turn : null;
    });
  }

  async running(key: TurnKey): Promise<TurnRecord> {
    return this.until(async () => {
      const turn = await this.turn(key);
      return turn.status === 'running' ? turn : null;
    });
  }

  async turn(key: TurnKey): Promise<TurnRecord> {
    const turn = await this.records.turns.get(key.tenant, key.turnId);
    assert.ok(turn);
    return turn;
  }

  async session(key: { readonly tenant: string; readonly sessionId: string }): Promise<SessionRecord> {
    const session = await this.records.sessions.get(key.tenant, key.sessionId);
    assert.ok(session);
    return session;
  }

  async events(key: { readonly tenant: string; readonly sessionId: string }): Promise<Record<string, unknown>[]> {
    const page = await this.log.read({ tenant: key.tenant, sessionId: key.sessionId }, 0, 100_000);
    return page.events.map(({ body }) => JSON.parse(body) as Record<string, unknown>);
  }

  /** Types of the session's events about itself and about how its turns go, in order. */
  async story(key: { readonly tenant: string; readonly sessionId: string }): Promise<string[]> {
    const events = await this.events(key);
    return events.map(({ type }) => String(type)).filter((type) => /^(turn|session)\./.test(type));
  }

  /** Lets what is under way go on until `check` answers something; the clock stands. */
  async until<T>(check: () => Promise<T | null | false> | T | null | false): Promise<T> {
    const limit = performance.now() + 20_000;
    for (let tries = 0; ; tries++) {
      const found = await check();
      if (found !== null && found !== false) return found;
      if (performance.now() > limit) assert.fail('it did not come to pass');
      // Files and processes need the processor, too.
      await new Promise((resolve) => (tries < 50 ? setImmediate(resolve) : setTimeout(resolve, 2)));
    }
  }

  /** Time passes, in steps, and files have the time to move. */
  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 1_000) {
      await this.clock.advanceAsync(Math.min(1_000, ms - passed));
      for (let n = 0; n < 20; n++) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Of the worker's own, so far. */
  storeCalls = 0;

  static async listing(directory: string): Promise<string[]> {
    return (await readdir(directory)).toSorted();
  }

  #counted<T extends object>(store: T): T {
    return new Proxy(store, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name);
        if (typeof value === 'object' && value !== null) return this.#counted(value);
        if (typeof value !== 'function') return value;
        return async (...args: unknown[]): Promise<unknown> => {
          this.storeCalls++;
          if (this.storeCalls === this.#options.failingCall) throw new ServiceError('store_unavailable');
          return await (Reflect.apply(value, target, args) as Promise<unknown>);
        };
      },
    });
  }

  #failing(store: SnapshotStore): SnapshotStore {
    const put: SnapshotStore['put'] = async (...args) => {
      if (this.snapshotFailure !== null) throw new ServiceError(this.snapshotFailure);
      await store.put(...args);
    };
    return {
      put,
      read: (...args) => store.read(...args),
      list: (...args) => store.list(...args),
      remove: (...args) => store.remove(...args),
      erase: (...args) => store.erase(...args),
      sessions: () => store.sessions(),
    };
  }

  async slotDirs(): Promise<string[]> {
    return await readdir(path.join(this.root, 'slots'));
  }

  async #startAgent(slot: Slot): Promise<AgentProcess> {
    const { scripts = [{}], pid, startAgent } = this.#options;
    if (startAgent !== undefined) return await startAgent(slot);
    const script = scripts[Math.min(this.agents.length, scripts.length - 1)] ?? {};
    const paths = { ws: path.join(slot.dir, 'ws'), home: path.join(slot.dir, 'home') };
    await mkdir(paths.ws, { recursive: true });
    await mkdir(paths.home, { recursive: true });
    await writeFile(path.join(paths.home, 'config.toml'), '');
    if (script.exitAtStart !== undefined) throw new ServiceError('agent_start_failed');
    const agent = new PlayedAgent({
      script,
      clock: this.clock,
      paths,
      pid: pid ?? null,
      onNotification: (notification, line) => slot.listener?.onNotification(notification, line),
      onServerRequest: async (request) =>
        (await slot.listener?.onServerRequest(request, new AbortController().signal)) ?? refused,
    });
    this.agents.push(agent);
    return agent;
  }
}
