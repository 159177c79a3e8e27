// Whether anybody listens at a worker's address. A refused connection proves that nobody does; silence
// proves nothing: the way there may be cut.

import { request } from 'undici';
import type { Clock } from '../../core/clock.ts';

export async function probeWorker(
  url: string,
  clock: Clock,
  deadlineMs: number,
): Promise<'answers' | 'refused' | 'silent'> {
  const abort = new AbortController();
  const cancelDeadline = clock.after(deadlineMs, () => abort.abort());
  try {
    // A connection of its own: one that was kept open says nothing of whether the next is taken.
    const { body } = await request(new URL('/livez', url), { signal: abort.signal, reset: true });
    await body.dump();
    return 'answers';
  } catch (error) {
    return isRefused(error) ? 'refused' : 'silent';
  } finally {
    cancelDeadline();
  }
}

/** By every address of that name. */
function isRefused(error: unknown): boolean {
  if (error instanceof AggregateError && error.errors.length > 0) return error.errors.every(isRefused);
  return error instanceof Error && (error as NodeJS.ErrnoException).code === 'ECONNREFUSED';
}
