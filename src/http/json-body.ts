// Reads a request body as one JSON object in valid UTF-8, or refuses it in words.

import type { FastifyInstance } from 'fastify';
import { isServiceError, ServiceError } from '../core/errors.ts';

const decoder = new TextDecoder('utf-8', { fatal: true });

export function useJsonBodies(app: FastifyInstance): void {
  // fastify's own refuses `__proto__` and `constructor.prototype` wherever they stand.
  const parseSafely = app.getDefaultJsonParser('error', 'error');

  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    // A POST without a body is an answer of its own where the route takes one.
    if (body.length === 0) {
      done(null, undefined);
      return;
    }
    let text: string;
    try {
      text = decodeUtf8(body);
    } catch (error) {
      done(asError(error));
      return;
    }
    void parseSafely(request, text, (error, value: unknown) => {
      if (error !== null) done(new ServiceError('invalid_json', {}, { message: 'The body is not valid JSON.' }));
      else if (isJsonObject(value)) done(null, value);
      else done(new ServiceError('invalid_json', {}, { message: 'The body must be a JSON object.' }));
    });
  });

  app.addHook('preParsing', (request, _reply, payload, done) => {
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

export function isJsonObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function asError(error: unknown): Error {
  return isServiceError(error) ? error : new ServiceError('invalid_json', {}, { cause: error });
}
