// The processes of a simulated world and how they reach each other: workers, gateways and managers made
// of the production code, each on its own clock, each able to die and to come back.

import type { Leadership } from '../../contracts/leadership.ts';
import type { EventLog } from '../../contracts/event-log.ts';
import { noOutbox } from '../../contracts/outbox.ts';
import type { Records } from '../../contracts/records.ts';
import type { SessionKey, WorkerLink } from '../../contracts/worker-link.ts';
import type { KnownWorker, WorkerRegistry } from '../../contracts/worker-registry.ts';
import { ServiceError } from '../../core/errors.ts';
import { formatCursor } from '../../core/event.ts';
import { placeSession } from '../../core/placement.ts';
import type { TurnRecord } from '../../core/turn.ts';
import { dispatchTurn } from '../../gateway/dispatch.ts';
import { LogFollower } from '../../gateway/log-follower.ts';
import { placeOfCursor } from '../../gateway/log-places.ts';
import { SessionManager } from '../../manager/session-manager.ts';
import type { Logger } from '../../observability/logger.ts';
import { createMetrics } from '../../observability/metrics.ts';
import { noTracing } from '../../observability/tracing.ts';
import { LeaseKeeper } from '../../worker/lease-keeper.ts';
import { isOwner } from '../../worker/ownership.ts';
import { Worker } from '../../worker/worker.ts';
import type { Checker, Client } from './checker.ts';
import { simulatedAgent } from './simulated-agent.ts';
import { type SimulatedDisk, simulatedClaims, simulatedFiles, simulatedPool } from './simulated-disk.ts';
import { type CallFaults, SimulatedProcess, type World } from './simulated-process.ts';
import { reachLog, withSealed } from './reach-log.ts';
import { simulatedSnapshots } from './simulated-snapshots.ts';
import type { ForgetfulDirectory, ForgetfulLog, ForgetfulRegistry, TearingSnapshotStore } from './simulated-stores.ts';

export type Stores = {
  readonly records: Records;
  readonly log: ForgetfulLog;
  readonly directory: ForgetfulDirectory;
  readonly snapshots: TearingSnapshotStore;
  readonly registry: ForgetfulRegistry;
  readonly leadership: Leadership;
};

export type Faults = { readonly stores: CallFaults; readonly links: CallFaults; agentCrash: number };

export type FleetParts = {
  readonly world: World;
  readonly stores: Stores;
  readonly checker: Checker;
  readonly faults: Faults;
};

export const leaseMs = 10_000;
const slotsPerWorker = 2;
const hibernateAfterMs = 3_000;
const workerDeadlineMs = 5_000;
const heartbeatMs = 1_000;
const quietMs = 2_000;
const reopenAfterMs = 300;

// It counts; nothing that is decided depends on it.
const metrics = createMetrics();

export class SimulatedWorker {
  readonly id: string;
  readonly disk: SimulatedDisk;
  readonly process: SimulatedProcess;
  readonly worker: Worker;
  readonly #registry: WorkerRegistry;

  constructor(parts: FleetParts, id: string, boot: string, skewMs: number, disk: SimulatedDisk) {
    const { checker, faults, stores, world } = parts;
    this.id = id;
    this.disk = disk;
    this.process = newProcess(world, boot, skewMs);
    const { process } = this;
    this.#registry = process.reach(stores.registry, 'registry', faults.stores);
    const { clock } = process;
    const records = process.reach(stores.records, 'records', faults.stores);
    const log = reachLog(world, process, stores.log, faults.stores);
    const directory = process.reach(stores.directory, 'directory', faults.stores);
    const store = process.reach(stores.snapshots, 'snapshots', faults.stores);
    const logger = traceLogger(world, process);
    const pool = simulatedPool({
      limit: slotsPerWorker,
      process,
      startAgent: (slot) =>
        simulatedAgent({
          ...{ world, process, disk, slot },
          crashes: () => world.random.next() < faults.agentCrash,
          onPrompt: (prompt) => checker.onPrompt(boot, prompt),
        }),
      releaseLongestIdle: () => this.worker.releaseLongestIdle(),
    });
    let grants = 0;
    this.worker = new Worker({
      id,
      boot,
      parts: {
        ...{ clock, log, logger, metrics, pool, records },
        tracing: noTracing,
        outbox: noOutbox,
        files: simulatedFiles(disk, process),
        claims: simulatedClaims(disk, process),
        snapshots: simulatedSnapshots({ disk, log, process, store }),
        codexVersion: '0.169.0',
        outlivesUs: true,
        mayLogBeLost: true,
        grants: {
          issue: async () => ({ id: `${boot}-grant-${++grants}`, credential: 'credential' }),
          beginTurn: async () => await process.busy(),
          endTurn: async () => await process.busy(),
          revoke: async () => {},
        },
        isolation: { cage: 'none', cageProblem: null, innerSandbox: 'none', innerSandboxProblem: null },
        defaultModel: 'demo',
        limits: { hibernateAfterMs, commandQueueTimeoutMs: 60_000, silenceMs: 60_000, rolloutBytes: 1_000_000 },
      },
      directory,
      leases: new LeaseKeeper({
        ...{ directory, clock, logger, leaseMs },
        renewEveryMs: 3_000,
        selfFenceMs: 7_000,
        isStillOurs: (lease) => isOwner({ clock, records }, { ...lease, boot }),
      }),
      slotLimit: slotsPerWorker,
      queueLimit: 100,
      maxPendingEvents: 10_000,
    });
  }

  start(): void {
    void this.worker.start();
    this.#announce();
  }

  /** Its heartbeat. */
  #announce(): void {
    const { clock, name } = this.process;
    void this.worker
      .status()
      .then(({ state, ...status }) =>
        this.#registry.announce({
          ...status,
          ...{ boot: name, url: name, fleetVersion: '0.0.0' },
          state: state === 'draining' || state === 'stopped' ? 'draining' : 'ready',
        }),
      )
      .catch(() => undefined);
    clock.after(heartbeatMs, () => this.#announce());
  }
}

/** Where requests for a session go: placed by who holds its lease and by what the registry knows. */
function routed({ faults, stores, world }: FleetParts, from: SimulatedProcess, workers: Workers): WorkerLink {
  const directory = from.reach(stores.directory, 'directory', faults.stores);
  const registry = from.reach(stores.registry, 'registry', faults.stores);
  const ask = (method: keyof WorkerLink) => {
    return async (key: SessionKey, ...rest: unknown[]): Promise<unknown> => {
      const lease = await directory.lookup(key.tenant, key.sessionId);
      const known = await registry.list();
      const candidates = known.workers.map((entry) => ({ ...entry, availability: availabilityOf(entry) }));
      const question = { workers: candidates, holder: lease?.worker ?? null, random: () => world.random.next() };
      const { worker: chosen } = placeSession(question);
      const target = chosen === null ? undefined : workers.get(chosen.id);
      if (target === undefined) throw new ServiceError('no_worker_ready');
      const { process, worker } = target;
      const work = async (): Promise<unknown> => {
        const call: unknown = Reflect.get(worker, method, worker);
        return (await Reflect.apply(call as () => Promise<unknown>, worker, [key, ...rest])) as unknown;
      };
      return await from.call(`${process.name}.${method}`, faults.links, () => process.asked(work));
    };
  };
  return { startTurn: ask('startTurn'), recoverSession: ask('recoverSession') } as unknown as WorkerLink;
}

function availabilityOf({ silentMs, state }: KnownWorker): 'ready' | 'ejected' | 'draining' {
  return silentMs > 3 * heartbeatMs ? 'ejected' : state;
}

export type Workers = ReadonlyMap<string, SimulatedWorker>;

export class SimulatedManager {
  readonly process: SimulatedProcess;
  readonly #manager: SessionManager;

  constructor(parts: FleetParts, name: string, skewMs: number, workers: Workers) {
    const { faults, stores, world } = parts;
    this.process = newProcess(world, name, skewMs);
    const { clock } = this.process;
    this.#manager = new SessionManager({
      ...{ clock, heartbeatMs, leaseMs, metrics },
      logger: traceLogger(world, this.process),
      worker: routed(parts, this.process, workers),
      directory: this.process.reach(stores.directory, 'directory', faults.stores),
      snapshots: stores.snapshots,
      records: this.process.reach(stores.records, 'records', faults.stores),
      registry: this.process.reach(stores.registry, 'registry', faults.stores),
      leadership: this.process.reach(stores.leadership, 'leadership', faults.stores),
      holder: name,
      probe: async (url) => {
        await this.process.busy();
        const at = [...workers.values()].find(({ process }) => process.name === url)?.process;
        if (at === undefined || at.isDead) return 'refused';
        return at.isPaused ? 'silent' : 'answers';
      },
      eraseSession: async () => {},
      dropEventsBefore: async () => 0,
      settings: { retainEventsMs: 86_400_000, retainSessionsMs: 0 },
    });
  }

  start(): void {
    this.#manager.start();
  }
}

export class SimulatedGateway {
  readonly process: SimulatedProcess;
  readonly #parts: FleetParts;
  readonly #records: Records;
  readonly #log: EventLog;
  readonly #worker: WorkerLink;

  constructor(parts: FleetParts, name: string, skewMs: number, workers: Workers) {
    const { faults, stores, world } = parts;
    this.#parts = parts;
    this.process = newProcess(world, name, skewMs);
    this.#records = this.process.reach(stores.records, 'records', faults.stores);
    this.#log = withSealed(stores, reachLog(world, this.process, stores.log, faults.stores));
    this.#worker = routed(parts, this.process, workers);
  }

  /** As the admission of a request does: recorded, handed over, then acknowledged. */
  async submit(turn: TurnRecord): Promise<void> {
    const { checker, world } = this.#parts;
    try {
      const { outcome } = await this.#records.turns.create({ ...turn, createdAt: this.process.clock.now() });
      const dispatching = {
        ...{ worker: this.#worker, records: this.#records, clock: this.process.clock },
        logger: traceLogger(world, this.process),
        limits: { workerDeadlineMs } as never,
      };
      await dispatchTurn(dispatching, turn, outcome === 'created');
      checker.accepted(turn.id);
    } catch (error) {
      world.trace.add(this.process.name, `turn ${turn.id.slice(-4)} was refused: ${String(error)}`);
    }
  }

  /** Streams to a client for as long as this gateway lives, from the cursor that the client has. */
  async serve(client: Client): Promise<void> {
    const { checker, stores, world } = this.#parts;
    const { clock } = this.process;
    const key = { tenant: 'acme', sessionId: client.sessionId };
    const reading = { log: this.#log, clock, logKnownForMs: () => stores.log.knownForMs(world.timeline.nowMs) };
    while (!this.process.isDead) {
      const gone = new AbortController();
      try {
        const last = client.seen.at(-1);
        const start = { seq: 0, epoch: null };
        const after = last === undefined ? start : await placeOfCursor(reading, key, formatCursor(last.header));
        const follower = await LogFollower.open({
          ...{
            log: this.#log,
            clock,
            key,
            afterSeq: after.seq,
            afterEpoch: after.epoch,
            signal: gone.signal,
            maxWaitingBytes: 100_000,
          },
          isErased: async () => (await this.#records.sessions.get(key.tenant, key.sessionId)) === null,
        });
        for (let batch = await follower.next(quietMs); batch !== null; batch = await follower.next(quietMs))
          for (const event of batch) checker.delivered(client, event);
      } catch {
        gone.abort();
      }
      await this.process.wait(reopenAfterMs);
    }
  }
}

function newProcess(world: World, name: string, skewMs: number): SimulatedProcess {
  return new SimulatedProcess(world, name, { skewMs, drift: 0.999 + world.random.next() * 0.002 });
}

function traceLogger({ trace }: World, process: SimulatedProcess): Logger {
  const tell = (facts: { readonly event?: string; readonly err?: unknown }): void => {
    if (process.isDead) return;
    trace.add(process.name, `${String(facts.event)}${facts.err === undefined ? '' : ` ${codeOf(facts.err)}`}`);
  };
  return { trace: tell, debug: tell, info: tell, warn: tell, error: tell } as unknown as Logger;
}

function codeOf(error: unknown): string {
  const { code, message } = error as { readonly code?: string; readonly message?: string };
  return code ?? String(message);
}
