// One HTTP server on a unix socket or a port, with a stop that always ends. Knows no routes.

import { chmod, unlink } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import type { Clock } from '../core/clock.ts';

export type ListenAddress = { readonly path: string } | { readonly host: string; readonly port: number };

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
    if ('path' in address) {
      await removeDeadSocket(address.path);
      await this.#bind(address);
      await chmod(address.path, 0o600);
      return address;
    }
    await this.#bind(address);
    return { host: address.host, port: (this.#server.address() as AddressInfo).port };
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

  #bind(address: ListenAddress): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(address, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
  }
}

/** A killed process leaves its socket file behind. One that still answers is left alone: listening will fail. */
async function removeDeadSocket(path: string): Promise<void> {
  const problem = await new Promise<string | null>((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(null);
    });
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? null));
  });
  if (problem === 'ECONNREFUSED') await unlink(path);
}
