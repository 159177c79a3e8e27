// The end of a server: stop accepting, let requests finish, end streams at the deadline, then cut.
// Connections that were upgraded are counted too: Node forgets them, we do not.

import type { Server } from 'node:http';
import { Server as NetServer, type Socket } from 'node:net';
import type { Clock } from '../core/clock.ts';

/** A kept-alive connection may fall idle at any time of the drain; Node closes only those that are. */
const idleSweepMs = 100;
/** Who has only just come is given so long to say what it wants. */
const firstWordMs = 300;
/** Between telling the streams to end and cutting what has not. */
const tidyEndMs = 500;

export class ServerLife {
  readonly #server: Server;
  readonly #clock: Clock;
  readonly #keepIdleMs: number;
  readonly #sockets = new Set<Socket>();
  readonly #draining = new AbortController();
  readonly #closing = new AbortController();
  readonly #cut = new AbortController();
  #ended: Promise<void> | null = null;
  /** What still comes in is cut at once. */
  #isOver = false;

  /** `keepIdleMs`: how long connections without a request may go on to ask in a drain, once each. */
  constructor(server: Server, clock: Clock, keepIdleMs: number) {
    this.#server = server;
    this.#clock = clock;
    this.#keepIdleMs = keepIdleMs;
    server.on('connection', (socket) => {
      if (this.#isOver) {
        socket.destroy();
        return;
      }
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
    this.#draining.abort();
    // Who waits to be let in, and who has asked what we have not read yet, would be cut off without an answer.
    const closed = nextLook().then(() => this.#stopAccepting());
    await this.#waitFor(closed, deadlineMs);
    this.#closing.abort();
    await this.#waitFor(closed, tidyEndMs);
    this.#isOver = true;
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #stopAccepting(): Promise<void> {
    return new Promise((resolve) => {
      const fromMs = this.#clock.monotonicMs();
      let cancelSweep: () => void = () => undefined;
      let isOver = false;
      const sweep = async (): Promise<void> => {
        await nextLook();
        const sinceMs = this.#clock.monotonicMs() - fromMs;
        if (sinceMs >= this.#keepIdleMs) this.#server.closeIdleConnections();
        // Node counts a connection that never asked anything as busy; browsers open such ones in advance.
        if (sinceMs >= Math.max(firstWordMs, this.#keepIdleMs)) {
          for (const socket of this.#sockets) if (socket.bytesRead === 0) socket.destroy();
        }
        if (!isOver) cancelSweep = this.#clock.after(idleSweepMs, () => void sweep());
      };
      // Of http's own close we want the half that is net's: the other closes what is idle, which has its own time
      // here. The only error is "not running", which is what we want.
      NetServer.prototype.close.call(this.#server, () => {
        isOver = true;
        cancelSweep();
        resolve();
      });
      void sweep();
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

/** Resolves when all sockets have been looked at once more. */
async function nextLook(): Promise<void> {
  for (let looks = 0; looks < 2; looks += 1) await new Promise<void>((resolve) => setImmediate(resolve));
}
