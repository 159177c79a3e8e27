// What is known of the fleet's workers at this moment, from the registry and from those given by address. The last
// view goes on being used while nothing newer is to be had: workers do not vanish with their registry.

import type { KnownWorker, WorkerRegistry } from '../../contracts/worker-registry.ts';
import type { Clock } from '../../core/clock.ts';
import { within } from '../../core/deadline.ts';
import { ServiceError } from '../../core/errors.ts';
import type { WorkerId } from '../../core/ids.ts';
import type { PlacementCandidate } from '../../core/placement.ts';
import type { Logger } from '../../observability/logger.ts';
import type { LinkCache } from './link-cache.ts';
import type { StaticWorkers } from './static-workers.ts';
import type { RemoteWorker } from './worker-http-link.ts';
import { WorkerHealth } from './worker-health.ts';

export type WorkerViewParts = {
  readonly registry: Pick<WorkerRegistry, 'list'>;
  readonly statics: Pick<StaticWorkers, 'poll' | 'known'>;
  readonly links: LinkCache;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly heartbeatMs: number;
  readonly leaseMs: number;
};

export type FleetCandidate = PlacementCandidate & { readonly worker: KnownWorker };

/** One that was silent for more heartbeats than this is chosen only when nobody else is there. */
const suspectBeats = 3;
const registryDeadlineMs = 2000;

export class WorkerView {
  readonly health: WorkerHealth;
  readonly #parts: WorkerViewParts;
  /** When each was last heard of, by our clock. */
  #registered: readonly { readonly worker: KnownWorker; readonly heardAtMs: number }[] = [];
  #workers: readonly KnownWorker[] = [];
  /** Turns sent since the workers last said how much room they have. */
  readonly #sent = new Map<WorkerId, number>();
  #refreshing: Promise<void> | null = null;
  #hasView = false;
  #isStale = false;
  #cancelTimer: () => void = () => undefined;
  #isStopped = false;

  constructor(parts: WorkerViewParts) {
    this.#parts = parts;
    this.health = new WorkerHealth(parts.clock);
  }

  /** Refreshes with every heartbeat, until it is stopped. */
  start(): void {
    void this.refresh().then(() => this.#schedule());
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelTimer();
  }

  /** At once, or together with one that is under way. Never rejects: the view before stays. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  /** By id. */
  async all(): Promise<readonly KnownWorker[]> {
    if (!this.#hasView) await this.refresh();
    return this.#workers;
  }

  /** Looks anew for one that is not known. */
  async find(id: WorkerId): Promise<KnownWorker | null> {
    const known = await this.all();
    const found = known.find((worker) => worker.id === id);
    if (found !== undefined) return found;
    await this.refresh();
    return this.#workers.find((worker) => worker.id === id) ?? null;
  }

  linkTo(worker: KnownWorker): RemoteWorker {
    return this.#parts.links.to(worker);
  }

  sent(id: WorkerId): void {
    this.#sent.set(id, (this.#sent.get(id) ?? 0) + 1);
  }

  /** By the view that stands. Those silent for a lease are left out: whoever they are, they take nothing any more. */
  candidates(): readonly FleetCandidate[] {
    const { heartbeatMs, leaseMs } = this.#parts;
    return this.#workers
      .filter(({ silentMs }) => silentMs <= Math.max(leaseMs, suspectBeats * heartbeatMs))
      .map((worker) => {
        const isSuspect = worker.silentMs > suspectBeats * heartbeatMs || this.health.isEjected(worker);
        const { busySessions, id, reservedFor = null, slots, state } = worker;
        const waitingTurns = worker.waitingTurns + (this.#sent.get(id) ?? 0);
        const availability = state === 'draining' ? state : isSuspect ? 'ejected' : 'ready';
        return { id, availability, slots, busySessions, waitingTurns, reservedFor, worker };
      });
  }

  #schedule(): void {
    if (this.#isStopped) return;
    this.#cancelTimer = this.#parts.clock.after(this.#parts.heartbeatMs, () => {
      void this.refresh().then(() => this.#schedule());
    });
  }

  async #refresh(): Promise<void> {
    const { clock, heartbeatMs, links, statics } = this.#parts;
    // An address that does not answer must not hold up the rest: what it says later counts later.
    await Promise.all([this.#readRegistry(), within(clock, heartbeatMs, statics.poll(), undefined)]);
    const byId = new Map<WorkerId, KnownWorker>();
    for (const worker of [...this.#registered.map((one) => one.worker), ...statics.known()]) {
      const other = byId.get(worker.id);
      if (other === undefined || worker.silentMs < other.silentMs) byId.set(worker.id, worker);
    }
    this.#workers = [...byId.values()].toSorted((one, other) => (one.id < other.id ? -1 : 1));
    this.#sent.clear();
    this.#hasView = true;
    if (this.#isStopped) return;
    links.keepOnly([...this.#workers, ...statics.known()]);
    this.health.keepOnly(this.#workers);
  }

  async #readRegistry(): Promise<void> {
    const { clock, leaseMs, logger, registry } = this.#parts;
    try {
      const known = await within(clock, registryDeadlineMs, registry.list(), null);
      if (known === null) throw new ServiceError('store_unavailable');
      const nowMs = clock.monotonicMs();
      const named = known.workers.map((worker) => ({ worker, heardAtMs: nowMs - worker.silentMs }));
      this.#registered = known.knownForMs < leaseMs ? [...named, ...this.#notNamed(named, nowMs)] : named;
      this.#isStale = false;
    } catch (error) {
      if (!this.#isStale) {
        logger.warn({ event: 'worker_registry_silent', err: error }, 'the workers are used as they were last known');
      }
      this.#isStale = true;
    }
  }

  /** A registry that lost its data has not heard of all of them yet. */
  #notNamed(
    named: readonly { readonly worker: KnownWorker }[],
    nowMs: number,
  ): { readonly worker: KnownWorker; readonly heardAtMs: number }[] {
    const ids = new Set(named.map(({ worker }) => worker.id));
    return this.#registered
      .filter(({ heardAtMs, worker }) => !ids.has(worker.id) && nowMs - heardAtMs <= this.#parts.leaseMs)
      .map(({ heardAtMs, worker }) => ({ worker: { ...worker, silentMs: nowMs - heardAtMs }, heardAtMs }));
  }
}
