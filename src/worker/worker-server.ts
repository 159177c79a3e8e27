// The worker's own HTTP face, as the seed drew it: POST /execute and GET /health, and the probes.

import { executeRequestSchema, toExecuteResponse } from '../api/execute.ts';
import { validate } from '../api/validation.ts';
import type { EventLog } from '../contracts/event-log.ts';
import type { WorkerRecords } from '../contracts/worker-records.ts';
import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import { bearerTokenOf, type Principal, type TokenSet } from '../http/bearer.ts';
// Brings the `isOpen` of a route's config.
import '../http/request-context.ts';
import type { ListenAddress } from '../http/listener.ts';
import { registerProbes } from '../http/probes.ts';
import type { ScrapeCredential } from '../http/scrape-credential.ts';
import { createHttpServer, type HttpLimits, type HttpServer } from '../http/server.ts';
import type { Logger } from '../observability/logger.ts';
import type { Metrics } from '../observability/metrics.ts';
import { execute } from './execute.ts';
import type { Worker } from './worker.ts';

export type WorkerServerOptions = {
  readonly worker: Worker;
  readonly records: WorkerRecords;
  readonly log: EventLog;
  readonly tokens: TokenSet;
  /** Reads /metrics and nothing else. */
  readonly scrape?: ScrapeCredential;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly listen: ListenAddress;
  readonly limits: Partial<HttpLimits>;
  readonly promptBodyBytes: number;
  readonly timeoutMs: number;
  readonly queueTimeoutMs: number;
};

export function createWorkerServer(options: WorkerServerOptions): HttpServer {
  const { clock, logger, metrics, records, tokens, worker } = options;
  const server = createHttpServer({ clock, logger, metrics, listen: options.listen, limits: options.limits });
  const { app } = server;

  const authenticate = (header: string | undefined): Principal => {
    const token = bearerTokenOf(header);
    const principal = token === null ? null : tokens.find(token);
    if (principal === null) throw new ServiceError('unauthenticated');
    return principal;
  };

  // Before the body is read: a caller without a credential does not get to send 16 MiB.
  app.addHook('onRequest', async ({ headers, is404, routeOptions }) => {
    if (routeOptions.config.route === 'metrics' && options.scrape?.admits(headers.authorization) === true) return;
    if (routeOptions.config.isOpen !== true && !is404) authenticate(headers.authorization);
  });

  registerProbes(app, {
    metrics,
    assertReady: async () => {
      const { state } = await worker.status();
      if (state !== 'ready') throw new ServiceError(state === 'draining' ? 'draining' : 'no_worker_ready');
    },
  });

  app.route({
    method: ['GET', 'HEAD'],
    url: '/health',
    config: { isOpen: true, route: 'health' },
    handler: async (request) => {
      const { id, state, slots, busySessions, isolation, codexVersion } = await worker.status();
      const status = state === 'ready' ? 'ok' : state;
      // Probes carry no credential: they hear whether, not what.
      if (request.headers.authorization === undefined) return { status };
      authenticate(request.headers.authorization);
      return {
        status,
        worker: id,
        slots,
        busy_sessions: busySessions,
        cage: isolation.cage,
        inner_sandbox: isolation.innerSandbox,
        codex_version: codexVersion,
      };
    },
  });

  app.route({
    method: 'POST',
    url: '/execute',
    bodyLimit: options.promptBodyBytes,
    config: { route: 'worker' },
    handler: async (request) => {
      const { tenant, name } = authenticate(request.headers.authorization);
      const body = validate(executeRequestSchema, request.body, 'body');
      logger.info({ event: 'execute', request_id: request.id, prompt_length: body.prompt.length }, 'execute');
      const ended = await execute(
        { worker, records, log: options.log, clock, queueTimeoutMs: options.queueTimeoutMs },
        { tenant, createdBy: name, prompt: body.prompt, timeoutMs: body.timeout_ms ?? options.timeoutMs },
      );
      return toExecuteResponse(ended);
    },
  });
  return server;
}
