// Answers that are octets: written as the client takes them, a piece at a time. A client that takes nothing
// for too long is cut; what fails midway ends the connection, so that half is never taken for the whole.

import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ServerResponse } from 'node:http';
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../observability/logger.ts';
import { logError } from './error-reply.ts';
import { contextOf } from './server.ts';

export type OctetReplyParts = {
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long the client may take nothing at all. */
  readonly stallMs: number;
  /** It took nothing for that long, and is cut. */
  readonly onStall: () => void;
};

/** What fails before the first piece is there is answered as an error. Returns when all is written, however it ended. */
export async function sendOctets(
  parts: OctetReplyParts,
  request: FastifyRequest,
  reply: FastifyReply,
  status: number,
  headers: Readonly<Record<string, string | number>>,
  content: AsyncIterable<Uint8Array>,
): Promise<FastifyReply> {
  const reader = content[Symbol.asyncIterator]();
  const response = reply.raw;
  try {
    let next = request.method === 'HEAD' ? null : await reader.next();
    reply.hijack();
    for (const [name, value] of Object.entries(reply.getHeaders())) {
      if (value !== undefined) response.setHeader(name, value);
    }
    response.writeHead(status, headers);
    while (next !== null && next.done !== true && !response.destroyed) {
      if (!response.write(next.value)) await drained(parts, response);
      next = await reader.next();
    }
    response.end();
  } catch (error) {
    if (!response.headersSent) throw error;
    logError(parts.logger, error, contextOf(request));
    response.destroy();
  } finally {
    await reader.return?.();
  }
  return reply;
}

async function drained({ clock, onStall, stallMs }: OctetReplyParts, response: ServerResponse): Promise<void> {
  if (response.destroyed) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const cancelStall = clock.after(stallMs, () => {
    onStall();
    response.destroy();
  });
  response.once('drain', resolve);
  response.once('close', resolve);
  await promise;
  cancelStall();
  response.off('drain', resolve);
  response.off('close', resolve);
}
