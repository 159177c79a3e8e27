// The child's side of harness/child.ts: answers the parent's questions, ends when the parent is gone.

export type Handlers = Readonly<Record<string, (argument: never) => unknown>>;

type Question = { readonly id: number; readonly what: string; readonly argument: never };

/** `stop` is called once the parent lets go of us, or is no more. */
export function serveParent(handlers: Handlers, stop: () => Promise<unknown>): void {
  const all: Handlers = { cpu, memory, ...handlers };
  process.on('message', (message) => {
    const { id, what, argument } = message as Question;
    void (async () => {
      try {
        const handler = all[what];
        if (handler === undefined) throw new Error(`nothing is known of ${what}`);
        process.send?.({ id, result: await handler(argument) });
      } catch (error) {
        process.send?.({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
      }
    })();
  });
  process.once('disconnect', () => void stop().finally(() => process.exit(0)));
}

function cpu(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** Twice, with a pause: what the first pass lets go of is often freed by the second only. */
async function memory(): Promise<{ rss: number; heap: number }> {
  for (let pass = 0; pass < 3; pass += 1) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const { rss, heapUsed, external } = process.memoryUsage();
  return { rss, heap: heapUsed + external };
}
