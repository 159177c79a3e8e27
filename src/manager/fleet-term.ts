// What a fleet of many workers needs without being asked, done by whoever leads: sessions of lost workers
// are handed to others, turns that wait to workers, and what has had its time is cleared away.

import type { SessionDirectory } from '../contracts/session-directory.ts';
import { within } from '../core/deadline.ts';
import { ServiceError } from '../core/errors.ts';
import type { Duty } from './duty.ts';
import { Failover } from './failover.ts';
import type { Term } from './lead.ts';
import { OrphanSweep, type OrphanSweepParts } from './orphan-sweep.ts';
import { RecoveryDesk, type RecoveryDeskParts } from './recovery-desk.ts';
import { Recurring } from './recurring.ts';
import { SessionOwners } from './session-owners.ts';
import { type RecoveryPace, SessionRecovery } from './session-recovery.ts';
import { TurnDispatch, type TurnDispatchParts } from './turn-dispatch.ts';
import { Upkeep, type UpkeepParts } from './upkeep.ts';
import type { WorkerWatch } from './worker-watch.ts';

export type FleetTermParts = RecoveryDeskParts &
  UpkeepParts &
  OrphanSweepParts &
  Pick<TurnDispatchParts, 'metrics'> & {
    readonly directory: Pick<SessionDirectory, 'knownForMs' | 'lookup' | 'release'>;
    readonly watch: Pick<WorkerWatch, 'trustedForMs' | 'verdict'>;
    readonly leaseMs: number;
    /** What else a leader does; made anew for each term. */
    readonly duties?: () => readonly Duty[];
    readonly onPass: () => void;
  };

/** What failover and dispatch have not seen: they are told, this looks for itself. */
const pace: RecoveryPace = { secondPassMs: 5_000, everyMs: 15_000, settledAfterMs: 0, looksAtTurns: false };
/** A worker that stops in the midst of a recovery loses the session again, and somebody has to take it then. */
const answerMs = 10_000;

export class FleetTerm implements Term {
  readonly #desk: RecoveryDesk;
  readonly #failover: Failover;
  readonly #failoverLoop: Recurring;
  readonly #recovery: SessionRecovery;
  readonly #duties: readonly Duty[];

  constructor(parts: FleetTermParts) {
    const { clock, onPass } = parts;
    const desk = new RecoveryDesk({ ...parts, worker: withDeadline(parts) });
    const owners = new SessionOwners(parts);
    const failover = new Failover({ ...parts, desk, owners });
    const dispatch = new TurnDispatch({ ...parts, desk, owners });
    const isOrphaned = owners.isOrphaned.bind(owners);
    const recovery = new SessionRecovery({ ...parts, desk, isOrphaned, pace });
    const upkeep = new Upkeep(parts);
    const sweep = new OrphanSweep(parts);
    this.#desk = desk;
    this.#failover = failover;
    this.#recovery = recovery;
    this.#failoverLoop = new Recurring(clock, (isStopping) => failover.pass(isStopping));
    this.#duties = [
      this.#failoverLoop,
      new Recurring(clock, (isStopping) => dispatch.pass(isStopping)),
      new Recurring(clock, async () => {
        const nextMs = await recovery.pass();
        onPass();
        return nextMs;
      }),
      new Recurring(clock, (isStopping) => upkeep.pass(isStopping)),
      new Recurring(clock, (isStopping) => sweep.pass(isStopping)),
      ...(parts.duties?.() ?? []),
    ];
  }

  /** Those who were lost before this term are found as well: the first pass begins at once. */
  start(): void {
    this.#failover.called();
    for (const duty of this.#duties) duty.start();
  }

  workerLost(): void {
    this.#failover.called();
    this.#failoverLoop.poke();
  }

  /** As Housekeeper.stop: the worker goes on with what it has in hand. */
  async stop(): Promise<void> {
    this.#recovery.stop();
    this.#desk.stop();
    await Promise.all(this.#duties.map((duty) => duty.stop()));
  }
}

function withDeadline({ clock, worker }: RecoveryDeskParts): RecoveryDeskParts['worker'] {
  return {
    recoverSession: async (key) => {
      const recovering = worker.recoverSession(key).then(() => 'recovered' as const);
      if ((await within(clock, answerMs, recovering, 'late')) === 'late') throw new ServiceError('worker_lost');
    },
  };
}
