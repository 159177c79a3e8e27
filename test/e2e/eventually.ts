// Waiting for what the product does in its own time: a condition, a deadline, and words for when it is missed.

const pollMs = 20;

/** Answers the first value that is neither null, undefined nor false; rejects with `what` at the deadline. */
export async function eventually<T>(
  what: string,
  withinMs: number,
  probe: () => T | null | undefined | false | Promise<T | null | undefined | false>,
): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const value = await probe();
    if (value !== null && value !== undefined && value !== false) return value;
    if (performance.now() >= deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** Rejects with `what` when the promise is not settled by the deadline. */
export async function within<T>(what: string, withinMs: number, awaited: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`not within ${withinMs} ms: ${what}`)), withinMs);
  try {
    return await Promise.race([awaited, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
