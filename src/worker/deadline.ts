// Waits that end.

import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';

/** What a store may take to answer before it counts as one that does not. */
const storeAnswerMs = 10_000;

/** What `work` comes to, or `late` when that takes longer. The work itself is not stopped. */
export async function within<T, const L>(clock: Clock, limitMs: number, work: Promise<T>, late: L): Promise<T | L> {
  const { promise: over, resolve } = Promise.withResolvers<L>();
  const cancel = clock.after(limitMs, () => resolve(late));
  try {
    return await Promise.race([work, over]);
  } finally {
    cancel();
  }
}

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
