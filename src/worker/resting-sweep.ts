// Removes resting files that nobody will go on with: of sessions that are gone, and of those that another worker
// has committed since. Decides nothing about files that a takeover may still want.

import type { WorkerRecords } from '../contracts/worker-records.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../observability/logger.ts';
import { epochOfSnapshot } from '../snapshot/manifest.ts';
import type { SessionFiles } from './session-files.ts';
import { answered } from './store-answer.ts';

export type RestingSweepParts = {
  readonly files: Pick<SessionFiles, 'resting' | 'mark' | 'erase'>;
  readonly records: Pick<WorkerRecords, 'sessions'>;
  /** Runs the work while this worker neither has the session nor takes it; false when it does. */
  readonly whileUnhosted: (key: SessionKey, work: () => Promise<void>) => Promise<boolean>;
  readonly clock: Clock;
  readonly logger: Logger;
};

const everyMs = 10 * 60_000;

export class RestingSweep {
  readonly #parts: RestingSweepParts;
  #cancelNext: () => void = () => {};
  #sweeping: Promise<void> = Promise.resolve();
  #isStopped = false;

  constructor(parts: RestingSweepParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#cancelNext = this.#parts.clock.after(everyMs, () => {
      this.#sweeping = this.sweep().then(() => {
        if (!this.#isStopped) this.start();
      });
    });
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelNext();
    await this.#sweeping;
  }

  /** One pass; what fails is left to the next. Never rejects. */
  async sweep(): Promise<void> {
    const { files, logger, whileUnhosted } = this.#parts;
    let removed = 0;
    try {
      for await (const key of files.resting()) {
        if (this.#isStopped) break;
        if (!(await this.#isUseless(key))) continue;
        // Asked again: it may have been taken, and let go, since.
        const wasFree = await whileUnhosted(key, async () => {
          if (await this.#isUseless(key)) await files.erase(key);
        });
        if (wasFree) removed++;
      }
    } catch (error) {
      logger.warn({ event: 'resting_files_not_swept', err: error }, 'resting files could not be looked through');
    }
    if (removed > 0) logger.info({ event: 'resting_files_swept', sessions: removed }, 'resting files were removed');
  }

  async #isUseless(key: SessionKey): Promise<boolean> {
    const { clock, files, records } = this.#parts;
    const session = await answered(clock, records.sessions.get(key.tenant, key.sessionId));
    if (session === null) return true;
    const mark = await files.mark(key);
    if (mark === null || session.snapshot === null) return false;
    const isOlder = mark.epoch < epochOfSnapshot(session.snapshot);
    return mark.object !== session.snapshot.object && (isOlder || !mark.isDirty);
  }
}
