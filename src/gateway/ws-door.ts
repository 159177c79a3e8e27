// Takes WebSocket upgrades: who may come in, by which path, and in which form.

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { ServiceError } from '../core/errors.ts';
import { logError, writeRawError } from '../http/error-reply.ts';
import { pathOf } from '../http/request-context.ts';
import { upgradeContextOf, type HttpServer } from '../http/server.ts';
import { wsProtocol, type Authenticator } from './auth.ts';
import type { Gear } from './gateway-parts.ts';
import { WsConnection } from './ws-connection.ts';

/** Each costs a hundred times its bytes while its message is not whole. */
const maxFragments = 1024;
const maxBufferedChunks = 16 * 1024;

export function openWsDoor(gear: Gear, server: HttpServer, authenticator: Authenticator): void {
  const sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: gear.limits.wsFrameBytes,
    maxFragments,
    maxBufferedChunks,
    // Pongs would pile up for a client that pings and never reads: the connection sees to them.
    autoPong: false,
    // Never the one with the credential: what is answered is logged on the way.
    handleProtocols: (offered) => (offered.has(wsProtocol) ? wsProtocol : false),
  });

  server.onUpgrade(async (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (pathOf(request.url ?? '/') !== '/ws') throw new ServiceError('not_found');
    if (request.method !== 'GET') throw new ServiceError('method_not_allowed', { allow: ['GET'] });
    const principal = await authenticator.admitUpgrade(request);
    if (server.draining.aborted) throw new ServiceError('draining');
    server.assertConnectionWithin(request.socket);
    sockets.handleUpgrade(request, socket, head, (client) => {
      new WsConnection(gear, server, client, principal, request).start();
    });
  });

  sockets.on('wsClientError', (cause, socket, request) => {
    const context = upgradeContextOf(request);
    const error = new ServiceError(
      'invalid_request',
      {},
      { cause, message: 'This is no WebSocket handshake of version 13 (RFC 6455).' },
    );
    logError(gear.logger, error, context);
    writeRawError(socket, error, context, gear.clock);
  });
}
