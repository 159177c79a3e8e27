// Events as server-sent events on one HTTP answer. A reader that takes nothing for too long is cut;
// it can resume behind the last id it saw.

import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ServerResponse } from 'node:http';
import { toErrorEvent } from '../api/problem.ts';
import type { Clock } from '../core/clock.ts';
import { formatCursor, type StoredEvent } from '../core/event.ts';
import { logError, problemOf } from '../http/error-reply.ts';
import { contextOf, type HttpServer } from '../http/server.ts';
import { EventStream, type EventSink, type StreamScope } from './event-stream.ts';
import type { Gear } from './gateway-parts.ts';

/** Small events go out together, up to about this much in one write. */
const chunkBytes = 64 * 1024;

export type SseScope = StreamScope & {
  /** Streams with an end of their own may go on through a drain; the others end when it begins. */
  readonly endsByItself: boolean;
  /** A turn was made for this request: the answer is 200 whatever becomes of the stream, which says so itself. */
  readonly isAccepted?: boolean;
  /** The client went before the end: of itself, not cut by us. */
  readonly onGone?: () => void;
};

/** Answers the request with the stream and resolves when it has ended, however it did. */
export async function sendEvents(
  gear: Gear,
  server: HttpServer,
  request: FastifyRequest,
  reply: FastifyReply,
  scope: SseScope,
): Promise<FastifyReply> {
  const gone = goneSignal(reply);
  const signal = AbortSignal.any([gone, scope.endsByItself ? server.closing : server.draining]);
  const opening = EventStream.open(gear, scope, signal);
  if (scope.isAccepted !== true) await opening;

  reply.hijack();
  const response = reply.raw;
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (value !== undefined) response.setHeader(name, value);
  }
  if (server.draining.aborted) response.setHeader('connection', 'close');
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    // nginx would otherwise hold events back until it has a bufferful.
    'x-accel-buffering': 'no',
  });
  response.flushHeaders();

  gear.metrics.streams.inc({ kind: 'sse' }, 1);
  const sink = new SseSink(response, gear.clock, gear.limits.stallMs, () => gear.metrics.streamsCut.inc());
  try {
    const stream = await opening;
    await stream.pump(sink);
    response.end();
  } catch (error) {
    logError(gear.logger, error, contextOf(request));
    const event = toErrorEvent(problemOf(error, contextOf(request)), null);
    response.end(`event: error\ndata: ${JSON.stringify(event)}\n\n`);
  } finally {
    gear.metrics.streams.inc({ kind: 'sse' }, -1);
    if (gone.aborted && !sink.wasCut && !server.closing.aborted) scope.onGone?.();
  }
  return reply;
}

/** One for all: an abort without a reason makes an exception with a stack, 0.1 ms of every request. */
const clientGone = new Error('the client has gone');

/** Aborted when the client has gone; at once for one that went while we were busy with its request. */
export function goneSignal(reply: FastifyReply): AbortSignal {
  if (reply.raw.closed) return AbortSignal.abort(clientGone);
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort(clientGone));
  return gone.signal;
}

class SseSink implements EventSink {
  wasCut = false;
  readonly #response: ServerResponse;
  readonly #clock: Clock;
  readonly #stallMs: number;
  readonly #onCut: () => void;

  constructor(response: ServerResponse, clock: Clock, stallMs: number, onCut: () => void) {
    this.#response = response;
    this.#clock = clock;
    this.#stallMs = stallMs;
    this.#onCut = onCut;
  }

  async write(events: readonly StoredEvent[]): Promise<void> {
    let chunk = '';
    for (const { header, body } of events) {
      chunk += `id: ${formatCursor(header)}\nevent: ${header.type}\ndata: ${body}\n\n`;
      if (chunk.length < chunkBytes) continue;
      await this.#send(chunk);
      chunk = '';
    }
    if (chunk !== '') await this.#send(chunk);
  }

  beat(): Promise<void> {
    return this.#send(': still here\n\n');
  }

  /** Resolves when the socket takes more, or is no more; so at most one chunk waits in it. */
  async #send(chunk: string): Promise<void> {
    const response = this.#response;
    if (response.destroyed || response.write(chunk)) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancelStall = this.#clock.after(this.#stallMs, () => {
      this.wasCut = true;
      this.#onCut();
      response.destroy();
    });
    response.once('drain', resolve);
    response.once('close', resolve);
    await promise;
    cancelStall();
    response.off('drain', resolve);
    response.off('close', resolve);
  }
}
