// A session manager: watches the workers all the time, so that a standby knows what the leader knows, and
// does the fleet's work while it leads. What it does is conditional on the records: two leaders harm nothing.

import type { Leadership } from '../contracts/leadership.ts';
import { toTimestamp } from '../core/clock.ts';
import { type Metrics, workerStateLabels } from '../observability/metrics.ts';
import { FleetTerm, type FleetTermParts } from './fleet-term.ts';
import { Lead } from './lead.ts';
import { Recurring } from './recurring.ts';
import { type WatchedState, WorkerWatch, type WorkerWatchParts } from './worker-watch.ts';

export type SessionManagerParts = Omit<FleetTermParts, 'onPass' | 'onRecovered' | 'watch'> &
  Omit<WorkerWatchParts, 'onLost'> & {
    readonly leadership: Leadership;
    /** Unique among all managers and all runs of them. */
    readonly holder: string;
    readonly metrics: Pick<
      Metrics,
      'leader' | 'sessionsRecovered' | 'unheldOldestSeconds' | 'unheldSessions' | 'workers'
    >;
  };

export type ManagerHealth = {
  readonly role: 'leader' | 'standby';
  /** When all sessions were last looked through by this manager; null: never. */
  readonly lastPassAt: string | null;
  readonly sessionsRecovered: number;
  readonly workers: Readonly<Record<WatchedState, number>>;
  readonly lostWorkers: ReturnType<WorkerWatch['lostLately']>;
};

export class SessionManager {
  readonly #lead: Lead;
  readonly #watch: WorkerWatch;
  readonly #watchLoop: Recurring;
  #term: FleetTerm | null = null;
  #lastPassMs: number | null = null;
  #recovered = 0;

  constructor(parts: SessionManagerParts) {
    const { clock, metrics } = parts;
    const watch = new WorkerWatch({ ...parts, onLost: () => this.#term?.workerLost() });
    this.#watch = watch;
    this.#watchLoop = new Recurring(clock, async () => {
      const nextMs = await watch.look();
      const counts = watch.counts();
      for (const state of workerStateLabels) metrics.workers.set({ state }, counts[state]);
      return nextMs;
    });
    const onPass = (): void => {
      this.#lastPassMs = clock.now();
    };
    const onRecovered = (): void => {
      this.#recovered++;
      metrics.sessionsRecovered.inc();
    };
    this.#lead = new Lead({
      ...parts,
      beginTerm: () => {
        this.#term = new FleetTerm({ ...parts, watch, onPass, onRecovered });
        return this.#term;
      },
      onChange: (isLeading) => {
        if (!isLeading) this.#term = null;
        metrics.leader.set(isLeading ? 1 : 0);
        // The next leader looks for itself.
        metrics.unheldSessions.set(0);
        metrics.unheldOldestSeconds.set(0);
      },
    });
  }

  get isLeading(): boolean {
    return this.#lead.isLeading;
  }

  /** Since the registry of workers last answered. */
  get unansweredMs(): number {
    return this.#watch.unansweredMs;
  }

  start(): void {
    this.#watchLoop.start();
    this.#lead.start();
  }

  /** Another leads at once. Sessions that a worker has in hand are not waited for. */
  async stop(): Promise<void> {
    await Promise.all([this.#lead.stop(), this.#watchLoop.stop()]);
    await this.#watch.settled();
  }

  health(): ManagerHealth {
    return {
      role: this.isLeading ? 'leader' : 'standby',
      lastPassAt: this.#lastPassMs === null ? null : toTimestamp(this.#lastPassMs),
      sessionsRecovered: this.#recovered,
      workers: this.#watch.counts(),
      lostWorkers: this.#watch.lostLately(),
    };
  }
}
