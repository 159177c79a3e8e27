// Who is asking. A credential comes in the Authorization header, or, for a WebSocket of a browser, in
// a subprotocol: a ticket or the token. Never in a query: those are written to logs on the way.

import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { ServiceError } from '../core/errors.ts';
import { bearerTokenOf, type Principal, type TokenSet } from '../http/bearer.ts';
import type { ScrapeCredential } from '../http/scrape-credential.ts';
// Brings the `isOpen` of a route's config.
import '../http/request-context.ts';
import { corsHeaders, preflightHeaders, type OriginGuard } from './origin-guard.ts';
import type { Tickets } from './tickets.ts';

declare module 'fastify' {
  interface FastifyRequest {
    principal: Principal | null;
  }
}

/** What the server answers of the subprotocols that a browser offers. */
export const wsProtocol = 'codex-fleet';

const queryCredentialNames = new Set([
  'token',
  'access_token',
  'bearer',
  'authorization',
  'api_key',
  'apikey',
  'key',
  'ticket',
]);

export class Authenticator {
  readonly #tokens: TokenSet;
  readonly #tickets: Tickets;
  readonly #guard: OriginGuard;
  readonly #scrape: ScrapeCredential;

  constructor(tokens: TokenSet, tickets: Tickets, guard: OriginGuard, scrape: ScrapeCredential) {
    this.#tokens = tokens;
    this.#tickets = tickets;
    this.#guard = guard;
    this.#scrape = scrape;
  }

  /** Before anything else of a request is read, its body included. */
  protect(app: FastifyInstance): void {
    app.decorateRequest('principal', null);
    app.addHook('onRequest', async (request, reply) => {
      const { headers, routeOptions, raw } = request;
      this.#guard.assertHost(headers);
      refuseQueryCredential(raw.url ?? '/');
      if (headers.origin !== undefined && this.#guard.isForeignAllowed(headers.origin)) {
        reply.headers(corsHeaders(headers.origin));
        if (raw.method === 'OPTIONS' && headers['access-control-request-method'] !== undefined) {
          return reply.code(204).headers(preflightHeaders).send();
        }
      }
      request.principal = this.#byHeader(headers);
      if (routeOptions.config.isOpen === true) return undefined;
      this.#guard.assertOrigin(headers);
      if (routeOptions.config.route === 'metrics' && this.#scrape.admits(headers.authorization)) return undefined;
      if (request.principal === null) throw unauthenticated(headers);
      return undefined;
    });
  }

  /** For an Upgrade, which passes no hook. */
  async admitUpgrade(request: IncomingMessage): Promise<Principal> {
    const { headers } = request;
    this.#guard.assertHost(headers);
    refuseQueryCredential(request.url ?? '/');
    this.#guard.assertOrigin(headers);
    const principal = this.#byHeader(headers) ?? (await this.#bySubprotocol(headers['sec-websocket-protocol']));
    if (principal === null) throw unauthenticated(headers);
    return principal;
  }

  #byHeader(headers: IncomingHttpHeaders): Principal | null {
    const token = bearerTokenOf(headers.authorization);
    return token === null ? null : this.#tokens.find(token);
  }

  async #bySubprotocol(header: string | undefined): Promise<Principal | null> {
    const offered = (header ?? '').split(',').map((protocol) => protocol.trim());
    const credential = offered.find((protocol) => protocol.startsWith('bearer.') || protocol.startsWith('ticket.'));
    if (credential === undefined) return null;
    if (!offered.includes(wsProtocol)) {
      throw new ServiceError(
        'unauthenticated',
        {},
        {
          message: `Offer the subprotocol "${wsProtocol}" beside the one with the credential: it is the one that is answered.`,
        },
      );
    }
    const secret = credential.slice('bearer.'.length);
    return credential.startsWith('ticket.') ? this.#tickets.redeem(secret) : this.#tokens.find(secret);
  }
}

export function principalOf(request: FastifyRequest): Principal {
  if (request.principal === null) throw new ServiceError('unauthenticated');
  return request.principal;
}

function unauthenticated(headers: IncomingHttpHeaders): ServiceError {
  return headers.authorization === undefined && headers['sec-websocket-protocol'] === undefined
    ? new ServiceError('unauthenticated')
    : new ServiceError('unauthenticated', {}, { message: 'The credential is unknown, used up or too old.' });
}

function refuseQueryCredential(url: string): void {
  const start = url.indexOf('?');
  if (start === -1) return;
  for (const name of new URLSearchParams(url.slice(start)).keys()) {
    if (!queryCredentialNames.has(name.toLowerCase())) continue;
    throw new ServiceError(
      'unauthenticated',
      { parameter: name },
      {
        message:
          'A credential in a query ends up in logs and histories. Send it as `Authorization: Bearer <token>`; for a WebSocket of a browser use a ticket.',
      },
    );
  }
}
