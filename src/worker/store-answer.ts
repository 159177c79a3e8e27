// A store that does not answer must not hold up a session for ever.

import type { Clock } from '../core/clock.ts';
import { within } from '../core/deadline.ts';
import { ServiceError } from '../core/errors.ts';

/** What a store may take to answer before it counts as one that does not. */
const storeAnswerMs = 10_000;

/** The store's answer; `store_unavailable` when none comes, so that it is unknown what the store did. */
export async function answered<T>(clock: Clock, work: Promise<T>): Promise<T> {
  const answer = await within(
    clock,
    storeAnswerMs,
    work.then((value) => ({ value })),
    null,
  );
  if (answer === null)
    throw new ServiceError('store_unavailable', {}, { message: `a store did not answer within ${storeAnswerMs} ms` });
  return answer.value;
}
