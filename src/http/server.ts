// An HTTP server as all our servers are: limits, request ids, safe bodies, typed errors, and an end
// that always comes. Knows nothing of credentials, routes and what they do.

import { fastify, type FastifyInstance, type FastifyRequest } from 'fastify';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import type { Logger } from '../observability/logger.ts';
import { statusClassOf, type Metrics } from '../observability/metrics.ts';
import { noTracing, type Tracing } from '../observability/tracing.ts';
import { logAccess } from './access-log.ts';
import { ConnectionLimit } from './connection-limit.ts';
import { logError, problemOf, sendError, writeRawError, type ErrorContext } from './error-reply.ts';
import { useJsonBodies } from './json-body.ts';
import { KnownPaths } from './known-paths.ts';
import { translateFrameworkError, translateParserError } from './library-errors.ts';
import { listenOn, type ListenAddress, type Listening } from './listener.ts';
import { isReadingOctets } from './octet-body.ts';
import { pathOf, requestIdOf, shownPathOf } from './request-context.ts';
// Brings the `isOpen` of a route's config to whoever has a server.
import './request-context.ts';
import { assertExpectation, assertUnambiguous, expectsContinue, takeOriginForm } from './request-form.ts';
import { RequestLines } from './request-lines.ts';
import { securityHeaders } from './security-headers.ts';
import { ServerLife } from './server-life.ts';
import { useTracing } from './request-spans.ts';

export type HttpLimits = {
  readonly bodyBytes: number;
  readonly headerBytes: number;
  readonly maxConnections: number;
  readonly headersTimeoutMs: number;
  /** Headers and body together; an answer may take as long as it likes. */
  readonly requestTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  /** For the client to take an answer that is whole; a stream has limits of its own. */
  readonly answerTimeoutMs: number;
  /** In a drain, for connections without a request to ask once more; the answer tells them to go. */
  readonly keepIdleMs: number;
};

export const defaultHttpLimits: HttpLimits = {
  bodyBytes: 1_250_000,
  headerBytes: 16_384,
  maxConnections: 10_000,
  headersTimeoutMs: 20_000,
  requestTimeoutMs: 120_000,
  keepAliveTimeoutMs: 72_000,
  answerTimeoutMs: 120_000,
  keepIdleMs: 0,
};

/** What is shorter goes to the kernel at once. */
const longAnswerBytes = 64 * 1024;

export type HttpServerOptions = {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'requests' | 'requestDurationSeconds'>;
  readonly listen: ListenAddress;
  readonly limits?: Partial<HttpLimits>;
  /** The project whose traces the log lines name. */
  readonly gcpProject?: string | null;
  readonly tracing?: Tracing;
};

export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => Promise<void>;

export interface HttpServer {
  /** Routes and hooks go here, before listen(). */
  readonly app: FastifyInstance;
  /** Aborted when the drain begins: take nothing new, end what has no end of its own. */
  readonly draining: AbortSignal;
  /** Aborted at the drain's deadline: end everything, tidily, now. */
  readonly closing: AbortSignal;
  /** Takes WebSocket upgrades; without one they are refused, and what it throws is the answer. */
  onUpgrade(handler: UpgradeHandler): void;
  /** Open connections now. */
  connections(): number;
  /** Throws for a connection beyond the limit. */
  assertConnectionWithin(socket: Duplex): void;
  listen(): Promise<Listening>;
  /** Refuses new work and says so to whoever asks, until drain() closes the door. */
  beginDraining(): void;
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
    rewriteUrl: (request) => takeOriginForm(request),
    http: {
      // We say it ourselves, in words.
      requireHostHeader: false,
      insecureHTTPParser: false,
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headersTimeoutMs,
      connectionsCheckingInterval: Math.min(5000, limits.headersTimeoutMs),
      // Java's client offers h2c with each request: that is an ordinary request to us.
      shouldUpgradeCallback: (request: IncomingMessage) => request.headers.upgrade?.toLowerCase() === 'websocket',
    },
    clientErrorHandler: (error, socket) => {
      if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && isReadingOctets(socket)) return;
      if (error.code === 'ECONNRESET' || socket.destroyed) socket.destroy();
      else lines.broken(socket, translateParserError(error));
    },
    frameworkErrors: (error, request, reply) => {
      void reply.headers({ ...securityHeaders, 'x-request-id': request.id });
      void sendError(reply, translateFrameworkError(error, null), contextOf(request));
    },
  });
  const server = app.server;
  const life = new ServerLife(server, clock, limits.keepIdleMs);
  const refuseSocket = (socket: Duplex, error: ServiceError): void => {
    const context = { requestId: requestIdOf({ headers: {} }), instance: null };
    logError(logger, error, context);
    metrics.requests.inc({ route: 'other', status_class: statusClassOf(problemOf(error, context).status) });
    writeRawError(socket, error, context, clock);
  };
  const lines = new RequestLines(server, refuseSocket);
  const connectionLimit = new ConnectionLimit(
    server,
    clock,
    limits.maxConnections,
    () => life.connectionCount,
    (socket) => lines.broken(socket, connectionLimit.refusal()),
  );
  const knownPaths = new KnownPaths(app);
  /** Behind these nothing can be trusted to be a request. */
  const lastOnConnection = new WeakSet<FastifyRequest>();

  useTracing(app, options.tracing ?? noTracing);
  app.addHook('onRequest', async (request, reply) => {
    reply.headers({ ...securityHeaders, 'x-request-id': request.id });
    try {
      assertUnambiguous(request.raw);
      if (request.routeOptions.config.isOpen !== true) connectionLimit.assertWithin(request.raw.socket);
    } catch (error) {
      lastOnConnection.add(request);
      throw error;
    }
    assertExpectation(request.raw);
  });
  app.addHook('onSend', async (_request, reply, payload) => {
    if (life.draining.aborted) reply.header('connection', 'close');
    if (lengthOf(payload) <= longAnswerBytes) return;
    // A client that never reads would keep the answer here for as long as it likes.
    const cancelCut = clock.after(limits.answerTimeoutMs, () => reply.raw.destroy());
    reply.raw.once('close', cancelCut);
  });
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.config.route ?? 'other';
    metrics.requests.inc({ route, status_class: statusClassOf(reply.statusCode) });
    metrics.requestDurationSeconds.observe({ route }, reply.elapsedTime / 1000);
    logAccess(logger, request, reply, route, options.gcpProject ?? null);
  });

  // Before the body: what nobody asked for is not read.
  app.addHook('preParsing', async (request) => {
    if (request.is404) throw knownPaths.refusal(pathOf(request.raw.url ?? '/'));
  });
  useJsonBodies(app, limits.bodyBytes);
  app.setNotFoundHandler((request) => {
    throw knownPaths.refusal(pathOf(request.raw.url ?? '/'));
  });
  app.setErrorHandler((thrown, request, reply) => {
    const error = translateFrameworkError(thrown, request.routeOptions.bodyLimit ?? limits.bodyBytes);
    const context = contextOf(request);
    logError(logger, error, context);
    if (lastOnConnection.has(request) || !keepsConnection(request)) reply.header('connection', 'close');
    else reply.removeHeader('connection');
    return sendError(reply, error, context);
  });

  let takeUpgrade: UpgradeHandler | null = null;
  server.on('upgrade', (request, socket, head) => {
    // Errors of a socket that nobody listens to would end the process.
    socket.on('error', () => socket.destroy());
    if (lines.isBusy(socket)) {
      lines.broken(
        socket,
        new ServiceError('invalid_request', {}, { message: 'An Upgrade must be the first request.' }),
      );
      return;
    }
    const take = async (): Promise<void> => {
      assertUnambiguous(request);
      takeOriginForm(request);
      if (takeUpgrade === null) throw new ServiceError('not_found');
      await takeUpgrade(request, socket, head);
    };
    take().catch((error: unknown) => {
      const context = upgradeContextOf(request);
      logError(logger, error, context);
      writeRawError(socket, error, context, clock);
    });
  });

  return {
    app,
    draining: life.draining,
    closing: life.closing,
    onUpgrade: (handler) => {
      takeUpgrade = handler;
    },
    connections: () => life.connectionCount,
    assertConnectionWithin: (socket) => connectionLimit.assertWithin(socket),
    listen: async () => {
      await app.ready();
      return listenOn(server, options.listen);
    },
    beginDraining: () => life.beginDraining(),
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

/** Whether the connection goes on behind a refusal while the request's body is still on its way. */
function keepsConnection(request: FastifyRequest): boolean {
  if (request.raw.complete) return true;
  const declaredBytes = Number(request.headers['content-length'] ?? 0);
  // Who waits for a word and gets an answer instead may send the body or leave it out.
  return declaredBytes <= maxDiscardedBytes && !expectsContinue(request.raw);
}

function lengthOf(payload: unknown): number {
  return typeof payload === 'string' || payload instanceof Uint8Array ? payload.length : 0;
}

export function contextOf(request: FastifyRequest): ErrorContext {
  return { requestId: request.id, instance: shownPathOf(request.raw.url ?? '/') };
}

export function upgradeContextOf(request: IncomingMessage): ErrorContext {
  return { requestId: requestIdOf(request), instance: shownPathOf(request.url ?? '/') };
}
