// The links to workers that are in use, one for each run: made when first needed, let go of when the
// run is known no more.

import type { Logger } from '../../observability/logger.ts';
import type { RemoteWorker } from './worker-http-link.ts';

export type WorkerAddress = { readonly id: string; readonly boot: string; readonly url: string };

export class LinkCache {
  readonly #make: (address: WorkerAddress) => RemoteWorker;
  readonly #logger: Logger;
  readonly #links = new Map<string, RemoteWorker>();
  #isClosed = false;

  constructor(make: (address: WorkerAddress) => RemoteWorker, logger: Logger) {
    this.#make = make;
    this.#logger = logger;
  }

  to(address: WorkerAddress): RemoteWorker {
    const name = nameOf(address);
    const known = this.#links.get(name);
    if (known !== undefined) return known;
    const made = this.#make(address);
    // For who is still under way to a call: it finds nothing open, and opens nothing.
    if (this.#isClosed) void made.close().catch((error: unknown) => this.#failed(error));
    this.#links.set(name, made);
    return made;
  }

  /** Others are let go of; what they were asked may still be answered. */
  keepOnly(addresses: readonly WorkerAddress[]): void {
    const kept = new Set(addresses.map(nameOf));
    for (const [name, link] of this.#links) {
      if (kept.has(name)) continue;
      this.#links.delete(name);
      link.retire().catch((error: unknown) => this.#failed(error));
    }
  }

  /** Ends what is under way. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const links = [...this.#links.values()];
    this.#links.clear();
    await Promise.all(links.map((link) => link.close().catch((error: unknown) => this.#failed(error))));
  }

  #failed(error: unknown): void {
    this.#logger.warn({ event: 'worker_link_not_closed', err: error }, 'a link to a worker could not be closed');
  }
}

function nameOf({ boot, url }: WorkerAddress): string {
  return `${boot} ${url}`;
}
