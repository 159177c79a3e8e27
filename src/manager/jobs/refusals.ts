// What it means that an attempt could not be started: whether to try again, when, and who else is to wait. Counts
// refusals in a row; a new leader begins to count anew.

import { type ErrorCode, errorRegister, isServiceError, ServiceError } from '../../core/errors.ts';
import type { TurnError } from '../../core/turn.ts';

export type Refusal = {
  readonly error: TurnError;
  readonly code: ErrorCode;
  /** null: it would be refused again, whenever. */
  readonly delayMs: number | null;
  /** Who would be refused as well: all jobs, those of the tenant, or nobody else. */
  readonly scope: 'fleet' | 'tenant' | 'job';
};

const ofTheFleet: readonly ErrorCode[] = [
  'draining',
  'no_worker_ready',
  'store_unavailable',
  'worker_lost',
  'worker_unreachable',
];
/** Each tenant has its own part of the queue, and its own rate. */
const ofTheTenant: readonly ErrorCode[] = ['queue_full', 'rate_limited'];

const firstDelayMs = 1_000;
const longestDelayMs = 60_000;
/** What is not foreseen may be over in a moment, and may be a defect that every try meets. */
const mostInternal = 5;
/** Refusals beyond this are not remembered: those jobs are tried as if for the first time. */
const mostRemembered = 10_000;

export class Refusals {
  readonly #inRow = new Map<string, number>();

  /** `name`: of the job, unique in the fleet. */
  judge(name: string, error: unknown): Refusal {
    const { code, details, message } = isServiceError(error)
      ? error
      : new ServiceError('internal', {}, { cause: error });
    const count = (this.#inRow.get(name) ?? 0) + 1;
    const isFinal = code === 'internal' ? count >= mostInternal : errorRegister[code].retry === 'never';
    if (isFinal) this.#inRow.delete(name);
    else if (count > 1 || this.#inRow.size < mostRemembered) this.#inRow.set(name, count);
    const askedS = details['retry_after_s'];
    const askedMs = typeof askedS === 'number' && Number.isFinite(askedS) ? askedS * 1_000 : 0;
    const grownMs = Math.min(longestDelayMs, firstDelayMs * 2 ** Math.min(30, count - 1));
    return {
      error: { code, message },
      code,
      delayMs: isFinal ? null : Math.max(grownMs, Math.min(askedMs, longestDelayMs)),
      scope: ofTheFleet.includes(code) ? 'fleet' : ofTheTenant.includes(code) ? 'tenant' : 'job',
    };
  }

  /** It was started, or is nobody's business any more. */
  forget(name: string): void {
    this.#inRow.delete(name);
  }
}
