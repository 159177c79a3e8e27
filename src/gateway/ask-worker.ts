// A call to a worker that ends: with its answer, or with an error once it has taken too long.

import { within } from '../core/deadline.ts';
import { type ErrorCode, ServiceError } from '../core/errors.ts';
import type { Gear } from './gateway-parts.ts';

export type Lateness = { readonly code: ErrorCode; readonly message: string };

/** What was asked goes on, also when nobody waits for it any more. */
export async function askWorker<T>(
  { clock, limits }: Pick<Gear, 'clock' | 'limits'>,
  answer: Promise<T>,
  late: Lateness,
): Promise<T> {
  const first = await within(
    clock,
    limits.workerDeadlineMs,
    answer.then((value) => ({ value })),
    null,
  );
  if (first === null) throw new ServiceError(late.code, {}, { message: late.message });
  return first.value;
}
