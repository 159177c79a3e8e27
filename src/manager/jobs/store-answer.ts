// Waits for stores and workers, and not for ever.

import type { Clock } from '../../core/clock.ts';
import { within } from '../../core/deadline.ts';
import { ServiceError } from '../../core/errors.ts';

const answerMs = 10_000;

/** Rejects with `store_unavailable` when it takes too long; it may have an effect all the same. */
export async function answered<T>(clock: Clock, asking: Promise<T>, limitMs = answerMs): Promise<T> {
  const answer = await within(
    clock,
    limitMs,
    asking.then((value) => ({ value })),
    'late',
  );
  if (answer === 'late') throw new ServiceError('store_unavailable', {}, { message: 'no answer in time' });
  return answer.value;
}
