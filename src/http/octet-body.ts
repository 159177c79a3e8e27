// Request bodies that are octets of any type, for the few routes that take them: handed on as they come,
// never collected. The limits of size and time are kept here; what is made of them is the route's.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import { expectsContinue } from './request-form.ts';

export type OctetLimits = {
  readonly bytes: number;
  /** From one piece to the next. */
  readonly stallMs: number;
  /** For all of it. */
  readonly totalMs: number;
};

/** For an instance of its own: what is registered on it takes octets and no JSON. */
export function useOctetBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));
}

/** Connections on which octets are read under the limits of this file: the time for other requests is too short for them. */
const reading = new WeakSet<Duplex>();

export function isReadingOctets(socket: Duplex): boolean {
  return reading.has(socket);
}

/**
 * The body, to be read once. Throws `payload_too_large` before anything is read where the client says how
 * much it is; the stream fails with it where the client does not keep to that, with `request_timeout`, or
 * with an error of the connection.
 */
export function octetsOf(
  request: FastifyRequest,
  reply: FastifyReply,
  clock: Clock,
  limits: OctetLimits,
): AsyncIterable<Uint8Array> {
  const declaredBytes = Number(request.headers['content-length'] ?? 0);
  if (declaredBytes > limits.bytes) throw new ServiceError('payload_too_large', { limit_bytes: limits.bytes });
  return readOctets(request.raw, reply, clock, limits);
}

async function* readOctets(
  payload: IncomingMessage,
  reply: FastifyReply,
  clock: Clock,
  limits: OctetLimits,
): AsyncGenerator<Uint8Array> {
  // Not before somebody wants it.
  if (expectsContinue(payload)) reply.raw.writeContinue();
  const { socket } = payload;
  reading.add(socket);
  const deadlineMs = clock.monotonicMs() + limits.totalMs;
  // Destroying the request at the end would take the answer's way with it.
  const pieces: AsyncIterator<Buffer> = payload.iterator({ destroyOnReturn: false });
  let bytes = 0;
  try {
    for (;;) {
      const next = await inTime(pieces.next(), clock, Math.min(limits.stallMs, deadlineMs - clock.monotonicMs()));
      if (next === null) {
        // Nobody waits for the rest; the connection ends behind the answer.
        reply.raw.once('finish', () => payload.destroy());
        throw new ServiceError('request_timeout');
      }
      if (next.done === true) return;
      bytes += next.value.length;
      if (bytes > limits.bytes) throw new ServiceError('payload_too_large', { limit_bytes: limits.bytes });
      yield next.value;
    }
  } finally {
    reading.delete(socket);
    // What nobody reads is thrown away, so that the client gets to read our answer.
    payload.resume();
  }
}

/** null when it is late; what comes then is nobody's. */
async function inTime<T>(coming: Promise<T>, clock: Clock, waitMs: number): Promise<T | null> {
  const { promise: late, resolve } = Promise.withResolvers<null>();
  const cancel = clock.after(Math.max(0, waitMs), () => resolve(null));
  coming.catch(() => undefined);
  try {
    return await Promise.race([coming, late]);
  } finally {
    cancel();
  }
}
