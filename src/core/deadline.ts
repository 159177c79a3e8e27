// A wait that ends.

import type { Clock } from './clock.ts';

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
