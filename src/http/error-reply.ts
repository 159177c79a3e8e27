// The one writer of error bodies: problem details for fastify, for plain HTTP and for raw sockets. What a code means is
// in the register; which library error means which code is in library-errors.ts.

import type { FastifyReply } from 'fastify';
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { problemContentType, toProblem, type Problem } from '../api/problem.ts';
import type { Clock } from '../core/clock.ts';
import { isServiceError, ServiceError } from '../core/errors.ts';
import type { Logger } from '../observability/logger.ts';
import { securityHeaders } from './security-headers.ts';

/** Where the register says `after` and the thrower knew no better. */
const defaultRetryAfterSeconds = 2;

export type ErrorContext = { readonly requestId: string; readonly instance: string | null };

/** What nobody foresaw is `internal`: its message may hold anything, so it stays in the log. */
export function asServiceError(error: unknown): ServiceError {
  return isServiceError(error) ? error : new ServiceError('internal', {}, { cause: error });
}

export function problemOf(error: unknown, context: ErrorContext): Problem {
  return toProblem(asServiceError(error), context);
}

export type ErrorAnswer = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
};

export function errorAnswer(error: unknown, context: ErrorContext): ErrorAnswer {
  const problem = problemOf(error, context);
  const headers = { ...errorHeaders(problem), 'content-type': problemContentType };
  return { status: problem.status, headers, body: JSON.stringify(problem) };
}

export function sendError(reply: FastifyReply, error: unknown, context: ErrorContext): FastifyReply {
  const { status, headers, body } = errorAnswer(error, context);
  // As bytes: fastify would add a charset, which JSON types do not have.
  return reply.code(status).headers(headers).send(Buffer.from(body));
}

/** How long a client may go on sending after it was refused. */
const lingerMs = 1000;

/** For requests that never became one, and for refused upgrades. Ends the socket. */
export function writeRawError(socket: Duplex, error: unknown, context: ErrorContext, clock: Clock): void {
  if (socket.destroyed || !socket.writable) {
    socket.destroy();
    return;
  }
  const { status, headers: errorFields, body } = errorAnswer(error, context);
  const headers = {
    ...securityHeaders,
    ...errorFields,
    'x-request-id': context.requestId,
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
  };
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}\r\n${head.join('\r\n')}\r\n\r\n${body}`);
  linger(socket, clock);
}

/** Closing with bytes unread makes the kernel reset the connection, and our answer is lost on the way. */
function linger(socket: Duplex, clock: Clock): void {
  const cancel = clock.after(lingerMs, () => socket.destroy());
  socket.once('close', cancel);
  // Nobody's parser sees the rest.
  socket.removeAllListeners('data');
  socket.on('data', () => undefined);
  socket.resume();
}

/** Once per error, where it is answered. Callers' mistakes are no business of the operator's. */
export function logError(logger: Logger, error: unknown, context: ErrorContext): void {
  const known = asServiceError(error);
  const facts = { event: 'request_failed', code: known.code, request_id: context.requestId, path: context.instance };
  const status = problemOf(known, context).status;
  if (known.code === 'internal') logger.error({ ...facts, err: known.cause ?? known }, 'Request failed');
  else if (status >= 500) logger.warn({ ...facts, err: known.cause ?? known }, 'Request failed');
  else logger.debug(facts, 'Request refused');
}

function errorHeaders(problem: Problem): Record<string, string> {
  const headers: Record<string, string> = {};
  if (problem.retry === 'after') {
    const seconds = problem['retry_after_s'];
    headers['retry-after'] = String(
      typeof seconds === 'number' ? Math.max(1, Math.ceil(seconds)) : defaultRetryAfterSeconds,
    );
  }
  const { allow } = problem;
  if (problem.status === 405 && Array.isArray(allow)) headers['allow'] = allow.join(', ');
  if (problem.status === 401) headers['www-authenticate'] = 'Bearer realm="codex-fleet"';
  return headers;
}
