// The octets of an answer, as they come. Whoever lets go of them, read or not, lets go of the connection;
// a worker that sends nothing for too long is lost.

import type { Readable } from 'node:stream';
import type { Clock } from '../../core/clock.ts';

export type OctetContentParts = {
  readonly body: Readable;
  readonly clock: Clock;
  /** From one piece to the next, while somebody waits for it. */
  readonly stallMs: number;
  readonly toError: (cause: unknown) => Error;
};

export class OctetContent implements AsyncIterable<Uint8Array> {
  readonly #parts: OctetContentParts;

  constructor(parts: OctetContentParts) {
    this.#parts = parts;
    // Nobody may be reading when it breaks; who reads is told by the read.
    parts.body.on('error', () => undefined);
  }

  // By hand: a generator that was never begun would not notice that it is let go of.
  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    const { body, clock, stallMs, toError } = this.#parts;
    const pieces = body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    return {
      next: async () => {
        const cancelStall = clock.after(stallMs, () => body.destroy(new Error('the worker sends nothing any more')));
        try {
          return await pieces.next();
        } catch (error) {
          throw toError(error);
        } finally {
          cancelStall();
        }
      },
      return: async () => {
        body.destroy();
        return { done: true, value: undefined };
      },
    };
  }
}
