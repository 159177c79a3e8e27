// The end of a server: stop accepting, let requests finish, end streams at the deadline, then cut.
// Connections that were upgraded are counted too: Node forgets them, we do not.

import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../core/clock.ts';

/** A kept-alive connection may fall idle at any time of the drain; Node closes only those that are. */
const idleSweepMs = 100;
/** Between telling the streams to end and cutting what has not. */
const tidyEndMs = 500;

export class ServerLife {
  readonly #server: Server;
  readonly #clock: Clock;
  readonly #sockets = new Set<Socket>();
  readonly #draining = new AbortController();
  readonly #closing = new AbortController();
  readonly #cut = new AbortController();
  #ended: Promise<void> | null = null;

  constructor(server: Server, clock: Clock) {
    this.#server = server;
    this.#clock = clock;
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
  }

  get draining(): AbortSignal {
    return this.#draining.signal;
  }

  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  get connectionCount(): number {
    return this.#sockets.size;
  }

  /** Tells those who listen to the signal; connections are taken as before. */
  beginDraining(): void {
    this.#draining.abort();
  }

  drain(deadlineMs: number): Promise<void> {
    this.#ended ??= this.#end(deadlineMs);
    return this.#ended;
  }

  async stop(): Promise<void> {
    const ended = this.drain(0);
    this.#cut.abort();
    await ended;
  }

  async #end(deadlineMs: number): Promise<void> {
    const closed = this.#stopAccepting();
    this.#draining.abort();
    await this.#waitFor(closed, deadlineMs);
    this.#closing.abort();
    await this.#waitFor(closed, tidyEndMs);
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #stopAccepting(): Promise<void> {
    return new Promise((resolve) => {
      let cancelSweep: () => void = () => undefined;
      const sweep = (): void => {
        this.#server.closeIdleConnections();
        // Node counts a connection that never asked anything as busy; browsers open such ones in advance.
        for (const socket of this.#sockets) if (socket.bytesRead === 0) socket.destroy();
        cancelSweep = this.#clock.after(idleSweepMs, sweep);
      };
      // The only error is "not running", which is what we want.
      this.#server.close(() => {
        cancelSweep();
        resolve();
      });
      sweep();
    });
  }

  /** Until `closed`, the deadline or stop(), whichever is first. */
  async #waitFor(closed: Promise<void>, deadlineMs: number): Promise<void> {
    const { promise: over, resolve: end } = Promise.withResolvers<void>();
    const cancelDeadline = this.#clock.after(deadlineMs, end);
    this.#cut.signal.addEventListener('abort', () => end(), { once: true });
    if (this.#cut.signal.aborted) end();
    await Promise.race([closed, over]);
    cancelDeadline();
  }
}
