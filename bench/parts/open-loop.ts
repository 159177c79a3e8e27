// Requests at times that were fixed beforehand, whether or not earlier ones were answered; latency is
// from the planned moment, so a server that stalls cannot hide it.

import { Pool } from 'undici';
import type { Lab } from '../harness/benchmark.ts';

export type OpenLoopRequest = {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
};

export class OpenLoop {
  readonly #pool: Pool;

  constructor(lab: Lab, url: string, connections: number) {
    this.#pool = new Pool(url, { connections, pipelining: 1 });
    lab.defer(() => this.#pool.destroy());
  }

  /** Milliseconds of each request, in no particular order. Rejects when one is not answered with `status`. */
  async run(ratePerS: number, count: number, status: number, next: (at: number) => OpenLoopRequest): Promise<number[]> {
    const latencies: number[] = [];
    const pending: Promise<void>[] = [];
    let dueMs = performance.now() + 2;
    for (let at = 0; at < count; at += 1) {
      await until(dueMs);
      const plannedMs = dueMs;
      pending.push(
        this.#request(next(at), status).then(() => {
          latencies.push(performance.now() - plannedMs);
        }),
      );
      // Poisson arrivals: evenly spaced ones would never meet.
      dueMs += (-Math.log(1 - Math.random()) * 1000) / ratePerS;
    }
    await Promise.all(pending);
    return latencies;
  }

  async #request({ body, headers, path }: OpenLoopRequest, status: number): Promise<void> {
    const answer = await this.#pool.request({ method: 'POST', path, headers, body });
    const text = await answer.body.text();
    if (answer.statusCode !== status) throw new Error(`${path}: ${answer.statusCode} ${text}`);
  }
}

/** Timers are good to a millisecond: the rest is waited for turn by turn of the event loop. */
async function until(dueMs: number): Promise<void> {
  const aheadMs = dueMs - performance.now();
  if (aheadMs > 2) await new Promise((resolve) => setTimeout(resolve, aheadMs - 1.5));
  while (performance.now() < dueMs) await new Promise((resolve) => setImmediate(resolve));
}
