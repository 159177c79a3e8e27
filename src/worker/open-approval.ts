// One question that is open: waits until its record is settled, by word of it, by looking, or by its time
// being over. The first write stands, whoever made it; what is answered is what the record says.

import type { WorkerRecords } from '../contracts/worker-records.ts';
import { type ApprovalRecord, expiredApproval } from '../core/approval.ts';
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../observability/logger.ts';
import { changeApproval } from './record-changes.ts';
import { answered } from './store-answer.ts';

type Options = {
  readonly records: Pick<WorkerRecords, 'approvals'>;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** Word of a decision can be lost. */
const lookEveryMs = 5_000;
const retryMs = 1_000;
/** A store that is still away so long after the end of the wait: the question counts as declined. */
const storePatienceMs = 120_000;

export class OpenApproval {
  readonly record: ApprovalRecord;
  /** Made, and not settled: the turn waits for it. */
  isPending = false;
  /** Its end is in the log. */
  isTold = false;
  readonly #options: Options;
  #isAbandoned = false;
  #isNotified = false;
  #wake: () => void = () => {};

  constructor(record: ApprovalRecord, options: Options) {
    this.record = record;
    this.#options = options;
  }

  /** Nobody waits for the answer any more; the record is left as it is. */
  get isAbandoned(): boolean {
    return this.#isAbandoned;
  }

  abandon(): void {
    this.#isAbandoned = true;
    this.#wake();
  }

  /** The record may have been settled. */
  notify(): void {
    this.#isNotified = true;
    this.#wake();
  }

  /** The settled record; null when it was abandoned or erased, or the store could not say for too long. */
  async settled(): Promise<ApprovalRecord | null> {
    const { clock, logger } = this.#options;
    const { expiresAt, id } = this.record;
    let isFailing = false;
    for (;;) {
      await this.#pause();
      if (this.#isAbandoned) return null;
      try {
        const standing = await this.#look();
        if (standing?.status !== 'pending') return standing;
        isFailing = false;
      } catch (error) {
        if (!isFailing)
          logger.warn({ event: 'approval_unknown', approval_id: id, err: error }, 'an approval could not be looked at');
        isFailing = true;
        if (clock.now() >= expiresAt + storePatienceMs) return null;
      }
    }
  }

  async #look(): Promise<ApprovalRecord | null> {
    const { clock, records } = this.#options;
    const { expiresAt, id, tenant } = this.record;
    if (clock.now() >= expiresAt) await expire(this.#options, this.record, 'timeout');
    return await answered(clock, records.approvals.get(tenant, id));
  }

  /** Until there is word, or it is time to look. */
  async #pause(): Promise<void> {
    const { clock } = this.#options;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    if (this.#isNotified || this.#isAbandoned) resolve();
    const leftMs = this.record.expiresAt - clock.now();
    const cancel = clock.after(leftMs > 0 ? Math.min(leftMs, lookEveryMs) : retryMs, resolve);
    await promise;
    cancel();
    this.#isNotified = false;
  }
}

/** null when somebody settled it first, or it is gone. */
export function expire(
  options: Pick<Options, 'clock' | 'records'>,
  approval: ApprovalRecord,
  why: 'timeout' | 'turn_ended' | 'worker_lost',
): Promise<ApprovalRecord | null> {
  return changeApproval(options, approval, (standing) => expiredApproval(standing, why, options.clock.now()));
}
