// What goes on in a fleet without being asked: lost sessions are recovered, and what has had its time is
// cleared away. Decides when; what is done, and how, is in the parts.

import { Recurring } from './recurring.ts';
import { SessionRecovery, type SessionRecoveryParts } from './session-recovery.ts';
import { Upkeep, type UpkeepParts } from './upkeep.ts';

export type HousekeeperParts = SessionRecoveryParts & UpkeepParts;

export class Housekeeper {
  readonly #recovery: SessionRecovery;
  readonly #loops: readonly Recurring[];

  constructor(parts: HousekeeperParts) {
    const recovery = new SessionRecovery(parts);
    const upkeep = new Upkeep(parts);
    this.#recovery = recovery;
    this.#loops = [
      new Recurring(parts.clock, () => recovery.pass()),
      new Recurring(parts.clock, (isStopping) => upkeep.pass(isStopping)),
    ];
  }

  /** Once the worker takes turns. The first passes begin at once. */
  start(): void {
    for (const loop of this.#loops) loop.start();
  }

  /** Nothing is begun any more, and what was is waited for, but for sessions that the worker has in hand. */
  async stop(): Promise<void> {
    this.#recovery.stop();
    await Promise.all(this.#loops.map((loop) => loop.stop()));
  }
}
