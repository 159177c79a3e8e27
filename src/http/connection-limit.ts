// How many connections at once. Those beyond are told so and closed; the ones before them go on as if
// nobody else had come. Probes are answered on any.

import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';

/** Beyond this many more the kernel's answer must do. */
const headroom = 128;
/** For one beyond the limit to ask something, so that it can be answered. */
const patienceMs = 1000;

export class ConnectionLimit {
  readonly #max: number;
  readonly #countNow: () => number;
  readonly #surplus = new WeakSet<object>();

  constructor(server: Server, clock: Clock, max: number, countNow: () => number, refuse: (socket: Socket) => void) {
    this.#max = max;
    this.#countNow = countNow;
    server.maxConnections = max + headroom;
    server.on('connection', (socket) => {
      if (countNow() <= max) return;
      this.#surplus.add(socket);
      const cancel = clock.after(patienceMs, () => {
        if (this.#isBeyond(socket)) refuse(socket);
      });
      socket.once('close', cancel);
    });
  }

  /** One that was let in stays in. */
  assertWithin(socket: object): void {
    if (this.#isBeyond(socket)) throw this.refusal();
    this.#surplus.delete(socket);
  }

  refusal(): ServiceError {
    return new ServiceError('too_many_connections', { limit: this.#max });
  }

  #isBeyond(socket: object): boolean {
    return this.#surplus.has(socket) && this.#countNow() > this.#max;
  }
}
