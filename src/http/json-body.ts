// Reads a request body as one JSON object in valid UTF-8, or refuses it in words.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Readable } from 'node:stream';
import { ServiceError } from '../core/errors.ts';
import { parseJsonObject } from './json-text.ts';
import { expectsContinue } from './request-form.ts';

const decoder = new TextDecoder('utf-8', { fatal: true });
const firstBufferBytes = 4096;

export function useJsonBodies(app: FastifyInstance, defaultLimitBytes: number): void {
  /** Of clients that wait for a word before they send the body. */
  const waiting = new WeakMap<FastifyRequest, FastifyReply>();

  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', async (request: FastifyRequest, payload: Readable) => {
    const limitBytes = request.routeOptions.bodyLimit ?? defaultLimitBytes;
    const declaredBytes = Number(request.headers['content-length'] ?? 0);
    if (declaredBytes > limitBytes) throw new ServiceError('payload_too_large', { limit_bytes: limitBytes });
    // Not before the request was found worth its body.
    waiting.get(request)?.raw.writeContinue();
    const bytes = await collect(payload, limitBytes);
    // A POST without a body is an answer of its own where the route takes one.
    return bytes.length === 0 ? undefined : parseJsonObject(decodeUtf8(bytes), 'body');
  });

  app.addHook('preParsing', (request, reply, payload, done) => {
    if (expectsContinue(request.raw)) waiting.set(request, reply);
    const encoding = request.headers['content-encoding'];
    if (encoding === undefined || encoding === 'identity') done(null, payload);
    else
      done(
        new ServiceError('unsupported_media_type', {}, { message: 'The body must come without a content encoding.' }),
      );
  });
}

/** A byte order mark is taken off; bytes that are not UTF-8 are refused, never replaced. */
export function decodeUtf8(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new ServiceError('invalid_json', {}, { message: 'The body is not valid UTF-8.' });
  }
}

/**
 * Into one buffer that grows with what has come: a list of pieces would cost a hundred times its bytes
 * when they come one by one, and what a client says it will send is not held for it.
 */
function collect(payload: Readable, limitBytes: number): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  let buffer = Buffer.allocUnsafe(firstBufferBytes);
  let length = 0;
  const onData = (piece: Buffer): void => {
    const needed = length + piece.length;
    if (needed > limitBytes) {
      leave();
      reject(new ServiceError('payload_too_large', { limit_bytes: limitBytes }));
      return;
    }
    if (needed > buffer.length) {
      const larger = Buffer.allocUnsafe(Math.min(Math.max(needed, 2 * buffer.length), limitBytes));
      buffer.copy(larger, 0, 0, length);
      buffer = larger;
    }
    piece.copy(buffer, length);
    length = needed;
  };
  const onEnd = (): void => {
    leave();
    resolve(buffer.subarray(0, length));
  };
  const onBroken = (error?: Error): void => {
    leave();
    reject(error ?? Object.assign(new Error('the connection ended in mid-body'), { code: 'ECONNRESET' }));
  };
  const leave = (): void => {
    payload.off('data', onData).off('end', onEnd).off('error', onBroken).off('close', onBroken);
  };
  payload.on('data', onData).on('end', onEnd).on('error', onBroken).on('close', onBroken);
  return promise;
}
