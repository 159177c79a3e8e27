// A cluster's worker where no cage can be made: one session at a time, one tenant in its life, nothing of an
// earlier life at its start and nothing of an ended agent beside the next. Puts these together.

import { tmpdir } from 'node:os';
import { endOthers, hasCompany, isAlone, readSurroundings } from '../codex/own-container.ts';
import type { Config } from '../config/resolve.ts';
import type { Clock } from '../core/clock.ts';
import type { TenantId } from '../core/ids.ts';
import type { Logger } from '../observability/logger.ts';
import { clearEarlierLife, clearShared, readWaiting, writeWaiting } from '../worker/earlier-life.ts';
import { OneTenant } from '../worker/one-tenant.ts';

export type UncagedWorkerParts = {
  readonly workerDir: string;
  readonly heartbeatMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Default: as this process finds itself. */
  readonly isAlone?: boolean;
  /** Default: where a container's user may write beside its volumes. */
  readonly sharedPlaces?: readonly string[];
  readonly endOthers?: (clock: Clock) => Promise<void>;
};

/** A view of the fleet is as old as a heartbeat, and the heartbeat that tells of it may be late. */
const heartbeatsToBeKnown = 3;
/** Made by this life before it knows that there is no cage. */
const ownNames = ['lock.db', 'lock.db-journal', 'reserve'];

export class UncagedWorker {
  readonly #parts: UncagedWorkerParts;
  readonly #isAlone: boolean;
  readonly #shared: readonly string[];
  #waiting: readonly TenantId[] = [];
  #oneTenant: OneTenant | null = null;

  constructor(parts: UncagedWorkerParts) {
    this.#parts = parts;
    this.#isAlone = parts.isAlone ?? isAloneNow(parts.logger);
    this.#shared = this.#isAlone ? (parts.sharedPlaces ?? [tmpdir(), '/tmp', '/var/tmp', '/dev/shm']) : [];
  }

  /** Before an agent of this life starts. Rejects when something of the last one stays. */
  async begin(): Promise<void> {
    const { clock, logger, workerDir } = this.#parts;
    if (this.#isAlone) await this.#endOthers(clock);
    this.#waiting = await readWaiting(workerDir);
    await clearEarlierLife({ workerDir, kept: ownNames, shared: this.#shared }, logger);
  }

  /** From here on the worker has one slot, and serves whoever comes first. */
  oneTenant(on: { readonly onTaken: () => void; readonly onWanted: () => void }): OneTenant {
    const { clock, heartbeatMs, logger } = this.#parts;
    logger.warn(
      { event: 'worker_without_cage', alone_in_container: this.#isAlone },
      'no cage can be made: this worker hosts one session at a time, and is replaced before it serves another tenant',
    );
    this.#oneTenant = new OneTenant({
      ...{ clock, ...on },
      waiting: this.#waiting,
      knownAfterMs: heartbeatsToBeKnown * heartbeatMs,
    });
    return this.#oneTenant;
  }

  /** Whose other children can only be what an agent left; null where they may be anybody's. */
  get orphansBelow(): number | null {
    return this.#isAlone ? 1 : null;
  }

  /** When an agent has ended; `endsWhole`: and with it all that it started. Rejects when something outlives it. */
  async cleanUp(endsWhole: boolean): Promise<void> {
    const { clock, logger, workerDir } = this.#parts;
    if (!this.#isAlone) return;
    if (!endsWhole) await this.#endOthers(clock);
    await clearShared(this.#shared, workerDir, logger);
  }

  /** When no agent runs any more. Never rejects: what is not handed on costs a place in the order. */
  async end(): Promise<void> {
    const { clock, logger, workerDir } = this.#parts;
    if (this.#oneTenant === null) return;
    try {
      if (this.#isAlone) await this.#endOthers(clock);
      await writeWaiting(workerDir, this.#oneTenant.waiting);
    } catch (error) {
      logger.warn({ event: 'waiting_not_handed_on', err: error }, 'the next life will not know who waits for it');
    }
  }

  #endOthers(clock: Clock): Promise<void> {
    return (this.#parts.endOthers ?? endOthers)(clock);
  }
}

export function withOneSlot(config: Config): Config {
  return { ...config, worker: { ...config.worker, slots: 1, warmSlots: Math.min(1, config.worker.warmSlots) } };
}

/** A shell or a probe that runs here at this moment makes it a no for this life: better than to end a neighbour. */
function isAloneNow(logger: Logger): boolean {
  if (!isAlone(readSurroundings())) return false;
  if (!hasCompany()) return true;
  logger.warn(
    { event: 'company_in_container' },
    'other processes run in this container: what agents leave behind is not ended, and shared places are not cleared',
  );
  return false;
}
