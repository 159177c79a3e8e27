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

/** Up to this many times the limit a frame is refused in words; beyond, the socket is closed with 1009. */
const hardFrameFactor = 4;

export function openWsDoor(gear: Gear, server: HttpServer, authenticator: Authenticator, maxConnections: number): void {
  const sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: gear.limits.wsFrameBytes * hardFrameFactor,
    // Never the one with the credential: what is answered is logged on the way.
    handleProtocols: (offered) => (offered.has(wsProtocol) ? wsProtocol : false),
  });

  server.onUpgrade((request: IncomingMessage, socket: Duplex, head: Buffer) => {
    try {
      if (pathOf(request.url ?? '/') !== '/ws') throw new ServiceError('not_found');
      if (request.method !== 'GET') throw new ServiceError('method_not_allowed', { allow: ['GET'] });
      const principal = authenticator.admitUpgrade(request);
      if (server.draining.aborted) throw new ServiceError('draining');
      if (server.connections() > maxConnections)
        throw new ServiceError('too_many_connections', { limit: maxConnections });
      sockets.handleUpgrade(request, socket, head, (client) => {
        new WsConnection(gear, server, client, principal, request).start();
      });
    } catch (error) {
      const context = upgradeContextOf(request);
      logError(gear.logger, error, context);
      writeRawError(socket, error, context);
    }
  });
}
