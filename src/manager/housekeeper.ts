// What goes on in a fleet of one process without being asked: lost sessions are recovered, and what has
// had its time is cleared away. Decides when; what is done, and how, is in the parts.

import type { SessionDirectory } from '../contracts/session-directory.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import type { Duty } from './duty.ts';
import { RecoveryDesk, type RecoveryDeskParts } from './recovery-desk.ts';
import { Recurring } from './recurring.ts';
import { type RecoveryPace, SessionRecovery } from './session-recovery.ts';
import { Upkeep, type UpkeepParts } from './upkeep.ts';

export type HousekeeperParts = RecoveryDeskParts &
  UpkeepParts & {
    readonly directory: Pick<SessionDirectory, 'lookup'>;
    /** What else is to be done for as long as the fleet runs. */
    readonly duties?: readonly Duty[];
  };

/** The one worker of the process looks after its own: what is found here was left by an earlier run. */
const pace: RecoveryPace = {
  secondPassMs: 60_000,
  everyMs: 60_000,
  settledAfterMs: 30_000,
  looksAtTurns: true,
};

export class Housekeeper {
  readonly #desk: RecoveryDesk;
  readonly #recovery: SessionRecovery;
  readonly #duties: readonly Duty[];

  constructor(parts: HousekeeperParts) {
    const { clock, directory, logger, records } = parts;
    const desk = new RecoveryDesk(parts);
    const isOrphaned = async ({ tenant, sessionId }: SessionKey): Promise<boolean> =>
      (await directory.lookup(tenant, sessionId)) === null;
    const recovery = new SessionRecovery({ desk, isOrphaned, records, clock, logger, pace });
    const upkeep = new Upkeep(parts);
    this.#desk = desk;
    this.#recovery = recovery;
    this.#duties = [
      new Recurring(clock, () => recovery.pass()),
      new Recurring(clock, (isStopping) => upkeep.pass(isStopping)),
      ...(parts.duties ?? []),
    ];
  }

  /** Once the worker takes turns. The first passes begin at once. */
  start(): void {
    for (const duty of this.#duties) duty.start();
  }

  /** Nothing is begun any more, and what was is waited for, but for sessions that the worker has in hand. */
  async stop(): Promise<void> {
    this.#recovery.stop();
    this.#desk.stop();
    await Promise.all(this.#duties.map((duty) => duty.stop()));
  }
}
