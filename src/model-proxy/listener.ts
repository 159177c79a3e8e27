// One HTTP server with limits on everything that can wait, and a stop that always ends. Knows no routes.

import { createServer } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import type { Clock } from '../core/clock.ts';
import { listenOn } from '../http/listener.ts';
import type { ListenAddress } from '../http/listener.ts';

export type ListenerOptions = {
  readonly address: ListenAddress;
  readonly clock: Clock;
  readonly handler: RequestListener;
  /** The most time a request may take to arrive, body included. */
  readonly requestTimeoutMs: number;
};

/** Longer than Codex keeps an idle connection: the side that sends requests should be the one to close. */
const keepAliveMs = 120_000;
const headersTimeoutMs = 15_000;
const maxConnections = 10_000;

export class Listener {
  readonly #options: ListenerOptions;
  readonly #server: Server;
  #stopping: Promise<void> | null = null;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#server = createServer(
      {
        keepAliveTimeout: keepAliveMs,
        headersTimeout: Math.min(headersTimeoutMs, options.requestTimeoutMs),
        requestTimeout: options.requestTimeoutMs,
      },
      options.handler,
    );
    this.#server.maxConnections = maxConnections;
  }

  /** Answers where it listens: port 0 becomes the port that was free. */
  async listen(): Promise<ListenAddress> {
    const { address } = this.#options;
    const { port } = await listenOn(this.#server, address);
    return 'path' in address ? address : { host: address.host, port };
  }

  /** Takes no more connections; those that are busy get `graceMs` to end, then are cut. */
  stop(graceMs: number): Promise<void> {
    this.#stopping ??= new Promise((resolve) => {
      const cancel = this.#options.clock.after(graceMs, () => this.#server.closeAllConnections());
      this.#server.close(() => {
        cancel();
        resolve();
      });
      this.#server.closeIdleConnections();
    });
    return this.#stopping;
  }
}
