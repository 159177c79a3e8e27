// The requests of one connection, one after the other: Node begins all that have come, and a client that
// reads no answers would make us hold every one. What comes and is no request (broken bytes, CONNECT)
// gets its typed answer in its turn.

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { ServiceError } from '../core/errors.ts';

type Exchange = { readonly request: IncomingMessage; readonly response: ServerResponse };
type Line = {
  active: Exchange | null;
  readonly waiting: Exchange[];
  /** Said behind the last answer; nothing more is read. */
  lastWord: ServiceError | null;
};

/** Hardly a client sends a second request before it has the answer to the first. */
const maxWaiting = 16;

export class RequestLines {
  readonly #handle: (request: IncomingMessage, response: ServerResponse) => void;
  readonly #refuse: (socket: Duplex, error: ServiceError) => void;
  readonly #lines = new WeakMap<Duplex, Line>();

  /** `refuse` answers on the socket and ends it. */
  constructor(server: Server, refuse: (socket: Duplex, error: ServiceError) => void) {
    this.#refuse = refuse;
    const handlers = server.listeners('request') as ((request: IncomingMessage, response: ServerResponse) => void)[];
    this.#handle = (request, response) => {
      for (const handler of handlers) handler.call(server, request, response);
    };
    server.removeAllListeners('request');
    // Whether the client may send its body is for the reader of bodies to say.
    for (const event of ['request', 'checkContinue', 'checkExpectation'] as const) {
      server.on(event, (request, response) => this.#enter({ request, response }));
    }
    server.on('connect', (_request, socket) => {
      socket.on('error', () => socket.destroy());
      this.broken(
        socket,
        new ServiceError('invalid_request', {}, { message: 'CONNECT is for proxies; this is none.' }),
      );
    });
  }

  /** Whether answers are still due on the connection. */
  isBusy(socket: Duplex): boolean {
    return (this.#lines.get(socket)?.active ?? null) !== null;
  }

  /** Bytes that are no request, or half of one that came too slowly. */
  broken(socket: Duplex, error: ServiceError): void {
    const line = this.#lines.get(socket);
    if (line === undefined || line.active === null) {
      this.#refuse(socket, error);
      return;
    }
    const latest = line.waiting.at(-1) ?? line.active;
    if (latest.request.complete || latest !== line.active) {
      if (!latest.request.complete) line.waiting.pop();
      line.lastWord = error;
      socket.removeAllListeners('data');
      socket.on('data', () => undefined);
    } else if (latest.response.headersSent) socket.destroy();
    else this.#refuse(socket, error);
  }

  #enter(exchange: Exchange): void {
    const { socket } = exchange.request;
    const line = this.#lines.get(socket) ?? { active: null, waiting: [], lastWord: null };
    this.#lines.set(socket, line);
    if (line.lastWord !== null) return;
    if (line.active === null) this.#begin(line, exchange);
    else if (line.waiting.length < maxWaiting) line.waiting.push(exchange);
    else {
      const message = `More than ${maxWaiting} requests wait on this connection.`;
      this.broken(socket, new ServiceError('invalid_request', {}, { message }));
    }
  }

  #begin(line: Line, exchange: Exchange): void {
    line.active = exchange;
    exchange.response.once('close', () => this.#next(line, exchange.request.socket));
    this.#handle(exchange.request, exchange.response);
  }

  #next(line: Line, socket: Duplex): void {
    line.active = null;
    // Whoever is gone wants nothing of what was not begun.
    if (socket.destroyed) line.waiting.length = 0;
    const next = line.waiting.shift();
    if (next !== undefined) this.#begin(line, next);
    else if (line.lastWord !== null && !socket.destroyed) this.#refuse(socket, line.lastWord);
  }
}
