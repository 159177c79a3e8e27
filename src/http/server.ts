// An HTTP server as all our servers are: limits, request ids, safe bodies, typed errors, and an end
// that always comes. Knows nothing of credentials, routes and what they do.

import { fastify, type FastifyInstance, type FastifyRequest } from 'fastify';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import type { Logger } from '../observability/logger.ts';
import { statusClassOf, type Metrics } from '../observability/metrics.ts';
import { logAccess } from './access-log.ts';
import { logError, sendError, writeRawError, type ErrorContext } from './error-reply.ts';
import { useJsonBodies } from './json-body.ts';
import { KnownPaths } from './known-paths.ts';
import { translateFrameworkError, translateParserError } from './library-errors.ts';
import { listenOn, type ListenAddress, type Listening } from './listener.ts';
import { pathOf, requestIdOf } from './request-context.ts';
import { securityHeaders } from './security-headers.ts';
import { ServerLife } from './server-life.ts';

export type HttpLimits = {
  readonly bodyBytes: number;
  readonly headerBytes: number;
  readonly maxConnections: number;
  readonly headersTimeoutMs: number;
  /** Headers and body together; an answer may take as long as it likes. */
  readonly requestTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
};

export const defaultHttpLimits: HttpLimits = {
  bodyBytes: 1_250_000,
  headerBytes: 16_384,
  maxConnections: 10_000,
  headersTimeoutMs: 20_000,
  requestTimeoutMs: 120_000,
  keepAliveTimeoutMs: 72_000,
};

export type HttpServerOptions = {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'requests' | 'requestDurationSeconds'>;
  readonly listen: ListenAddress;
  readonly limits?: Partial<HttpLimits>;
  /** The project whose traces the log lines name. */
  readonly gcpProject?: string | null;
};

export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

export interface HttpServer {
  /** Routes and hooks go here, before listen(). */
  readonly app: FastifyInstance;
  /** Aborted when the drain begins: take nothing new, end what has no end of its own. */
  readonly draining: AbortSignal;
  /** Aborted at the drain's deadline: end everything, tidily, now. */
  readonly closing: AbortSignal;
  /** Takes WebSocket upgrades; without one they are refused. */
  onUpgrade(handler: UpgradeHandler): void;
  /** Open connections now. */
  connections(): number;
  listen(): Promise<Listening>;
  /** Stops accepting, lets what runs finish, ends the rest at the deadline. Repeated calls join the first. */
  drain(deadlineMs: number): Promise<void>;
  /** Ends everything now; also in the middle of a drain. */
  stop(): Promise<void>;
}

export function createHttpServer(options: HttpServerOptions): HttpServer {
  const { clock, logger, metrics } = options;
  const limits = { ...defaultHttpLimits, ...options.limits };
  const app = fastify({
    logger: false,
    bodyLimit: limits.bodyBytes,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    // A HEAD of a stream would hang; the routes that are asked with HEAD say so themselves.
    exposeHeadRoutes: false,
    return503OnClosing: false,
    requestIdHeader: false,
    genReqId: (request) => requestIdOf(request),
    routerOptions: { maxParamLength: 512 },
    http: {
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headersTimeoutMs,
      connectionsCheckingInterval: Math.min(5000, limits.headersTimeoutMs),
      // Java's client offers h2c with each request: that is an ordinary request to us.
      shouldUpgradeCallback: (request: IncomingMessage) => request.headers.upgrade?.toLowerCase() === 'websocket',
    },
    clientErrorHandler: (error, socket) => {
      if (error.code === 'ECONNRESET' || socket.destroyed) return;
      writeRawError(socket, translateParserError(error), { requestId: requestIdOf({ headers: {} }), instance: null });
    },
    frameworkErrors: (error, request, reply) => {
      void reply.headers({ ...securityHeaders, 'x-request-id': request.id });
      void sendError(reply, translateFrameworkError(error, null), contextOf(request));
    },
  });
  const server = app.server;
  server.maxConnections = limits.maxConnections + 128;
  const life = new ServerLife(server, clock);
  const knownPaths = new KnownPaths(app);

  app.addHook('onRequest', async (request, reply) => {
    reply.headers({ ...securityHeaders, 'x-request-id': request.id });
    if (life.connectionCount > limits.maxConnections && request.routeOptions.config.isOpen !== true) {
      reply.header('connection', 'close');
      throw new ServiceError('too_many_connections', { limit: limits.maxConnections });
    }
  });
  app.addHook('onSend', async (_request, reply) => {
    if (life.draining.aborted) reply.header('connection', 'close');
  });
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.config.route ?? 'other';
    metrics.requests.inc({ route, status_class: statusClassOf(reply.statusCode) });
    metrics.requestDurationSeconds.observe({ route }, reply.elapsedTime / 1000);
    logAccess(logger, request, reply, route, options.gcpProject ?? null);
  });

  useJsonBodies(app);
  app.setNotFoundHandler((request, reply) => {
    const allowed = knownPaths.methodsOf(pathOf(request.raw.url ?? '/'));
    if (allowed.length === 0) throw new ServiceError('not_found');
    reply.header('allow', allowed.join(', '));
    throw new ServiceError('method_not_allowed', { allow: allowed });
  });
  app.setErrorHandler((thrown, request, reply) => {
    const error = translateFrameworkError(thrown, request.routeOptions.bodyLimit ?? limits.bodyBytes);
    const context = contextOf(request);
    logError(logger, error, context);
    keepConnectionForUnreadBody(request, (name) => reply.removeHeader(name));
    return sendError(reply, error, context);
  });

  let takeUpgrade: UpgradeHandler | null = null;
  server.on('upgrade', (request, socket, head) => {
    // Errors of a socket that nobody listens to would end the process.
    socket.on('error', () => socket.destroy());
    if (takeUpgrade !== null) takeUpgrade(request, socket, head);
    else writeRawError(socket, new ServiceError('not_found'), upgradeContextOf(request));
  });

  return {
    app,
    draining: life.draining,
    closing: life.closing,
    onUpgrade: (handler) => {
      takeUpgrade = handler;
    },
    connections: () => life.connectionCount,
    listen: async () => {
      await app.ready();
      return listenOn(server, options.listen);
    },
    drain: async (deadlineMs) => {
      await life.drain(deadlineMs);
      await app.close();
    },
    stop: async () => {
      await life.stop();
      await app.close();
    },
  };
}

/** A body up to this is read and thrown away, so that the client reads our answer and not a reset. */
const maxDiscardedBytes = 32 * 1024 * 1024;

function keepConnectionForUnreadBody(request: FastifyRequest, removeHeader: (name: string) => unknown): void {
  const length = Number(request.headers['content-length'] ?? Number.NaN);
  if (!request.raw.complete && length <= maxDiscardedBytes) removeHeader('connection');
}

export function contextOf(request: FastifyRequest): ErrorContext {
  return { requestId: request.id, instance: pathOf(request.raw.url ?? '/') };
}

export function upgradeContextOf(request: IncomingMessage): ErrorContext {
  return { requestId: requestIdOf(request), instance: pathOf(request.url ?? '/') };
}
