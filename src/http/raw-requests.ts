// What comes in on a connection and is no ordinary request: broken bytes, CONNECT, an Expect. Each gets
// a typed answer, in its turn: behind the answers of the requests that came before it.

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { ServiceError } from '../core/errors.ts';

type Exchange = { readonly request: IncomingMessage; readonly response: ServerResponse };

export class RawRequestDoor {
  readonly #refuse: (socket: Duplex, error: ServiceError) => void;
  /** The latest of each connection. */
  readonly #exchanges = new WeakMap<Duplex, Exchange>();

  constructor(server: Server, refuse: (socket: Duplex, error: ServiceError) => void) {
    this.#refuse = refuse;
    server.prependListener('request', (request, response) => {
      this.#exchanges.set(request.socket, { request, response });
    });
    // Whether the client may send its body is for the reader of bodies to say.
    for (const event of ['checkContinue', 'checkExpectation'] as const) {
      server.on(event, (request, response) => server.emit('request', request, response));
    }
    server.on('connect', (_request, socket) => {
      socket.on('error', () => socket.destroy());
      this.#refuse(socket, new ServiceError('invalid_request', {}, { message: 'CONNECT is for proxies; this is none.' }));
    });
  }

  /** Bytes that are no request, or half of one that came too slowly. */
  broken(socket: Duplex, error: ServiceError): void {
    const exchange = this.#exchanges.get(socket);
    if (exchange === undefined || exchange.response.writableFinished) {
      this.#refuse(socket, error);
      return;
    }
    const { request, response } = exchange;
    if (request.complete) {
      // The request before is whole and its answer under way: it keeps its place.
      socket.removeAllListeners('data');
      socket.on('data', () => undefined);
      response.once('close', () => this.#refuse(socket, error));
    } else if (response.headersSent) socket.destroy();
    else this.#refuse(socket, error);
  }
}
