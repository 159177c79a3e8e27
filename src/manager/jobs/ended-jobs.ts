// Jobs that have ended are kept for a while, for their result to be read, and then cleared away.

import type { Records } from '../../contracts/records.ts';
import type { Clock } from '../../core/clock.ts';
import { erasingJob, hasJobEnded, isAttended, type JobRecord } from '../../core/job.ts';
import type { Logger } from '../../observability/logger.ts';
import { fleetEntries } from '../fleet-pages.ts';
import { answered } from './store-answer.ts';

export type EndedJobsParts = {
  readonly records: { readonly jobs: Pick<Records['jobs'], 'erase' | 'get' | 'listEnded' | 'replace'> };
  readonly retainMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
};

const everyMs = 60_000;
/** In one pass: the rest has to wait for the next. */
const mostErased = 1_000;

export class EndedJobs {
  readonly #parts: EndedJobsParts;
  #isFailureTold = false;

  constructor(parts: EndedJobsParts) {
    this.#parts = parts;
  }

  /** Answers when the next pass is due. Never rejects. */
  async pass(isStopping: () => boolean): Promise<number> {
    const { logger } = this.#parts;
    try {
      const erased = await this.#eraseOld(isStopping);
      if (erased > 0) logger.debug({ event: 'jobs_erased', jobs: erased }, 'jobs whose time is over were cleared away');
      this.#isFailureTold = false;
    } catch (error) {
      if (!this.#isFailureTold)
        logger.warn({ event: 'jobs_not_erased', err: error }, 'jobs whose time is over could not be cleared away');
      this.#isFailureTold = true;
    }
    return everyMs;
  }

  async #eraseOld(isStopping: () => boolean): Promise<number> {
    const { clock, records, retainMs } = this.#parts;
    const beforeMs = clock.now() - retainMs;
    const ended = fleetEntries((after, limit) => answered(clock, records.jobs.listEnded(beforeMs, after, limit)));
    let erased = 0;
    for await (const { tenant, id } of ended) {
      if (isStopping() || erased >= mostErased) break;
      const job = await answered(clock, records.jobs.get(tenant, id));
      if (job === null || !isOld(job, beforeMs) || !(await this.#mark(job))) continue;
      await answered(clock, records.jobs.erase(tenant, id));
      erased++;
    }
    return erased;
  }

  /** A client may ask for another try until its record says that it goes: erasing has no condition of its own. */
  async #mark(job: JobRecord): Promise<boolean> {
    if (job.erasing === true) return true;
    const { clock, records } = this.#parts;
    const erasing = erasingJob(job);
    return erasing !== null && (await answered(clock, records.jobs.replace(erasing))) !== null;
  }
}

function isOld(job: JobRecord, beforeMs: number): boolean {
  return hasJobEnded(job) && !isAttended(job) && (job.endedAt ?? Infinity) < beforeMs;
}
