// The session manager's HTTP face: probes, health and metrics. It takes no commands.

import type { MessageSource } from '../contracts/message-source.ts';
import type { Records } from '../contracts/records.ts';
import type { Clock } from '../core/clock.ts';
import { within } from '../core/deadline.ts';
import { ServiceError } from '../core/errors.ts';
import { bearerTokenOf, type TokenSet } from '../http/bearer.ts';
// Brings the `isOpen` of a route's config.
import '../http/request-context.ts';
import type { ListenAddress } from '../http/listener.ts';
import { registerProbes } from '../http/probes.ts';
import type { ScrapeCredential } from '../http/scrape-credential.ts';
import { createHttpServer, type HttpLimits, type HttpServer } from '../http/server.ts';
import type { Logger } from '../observability/logger.ts';
import type { Metrics } from '../observability/metrics.ts';
import type { SessionManager } from './session-manager.ts';

export type ManagerServerOptions = {
  readonly manager: Pick<SessionManager, 'health' | 'unansweredMs'>;
  readonly records: { readonly sessions: Pick<Records['sessions'], 'listHeld'> };
  /** null: it reads none. */
  readonly messages: Pick<MessageSource, 'state'> | null;
  readonly tokens: TokenSet;
  /** Reads /metrics and nothing else. */
  readonly scrape?: ScrapeCredential;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly listen: ListenAddress;
  readonly limits: Partial<HttpLimits>;
};

const answerMs = 2_000;
/** The registry is asked twice in each heartbeat. */
const longestUnansweredMs = 5_000;

export function createManagerServer(options: ManagerServerOptions): HttpServer {
  const { clock, logger, manager, messages, metrics, records, tokens } = options;
  const server = createHttpServer({ clock, logger, metrics, listen: options.listen, limits: options.limits });
  const { app } = server;

  const authenticate = (header: string | undefined): void => {
    const token = bearerTokenOf(header);
    if (token === null || tokens.find(token) === null) throw new ServiceError('unauthenticated');
  };
  app.addHook('onRequest', async ({ headers, is404, routeOptions }) => {
    if (routeOptions.config.route === 'metrics' && options.scrape?.admits(headers.authorization) === true) return;
    if (routeOptions.config.isOpen !== true && !is404) authenticate(headers.authorization);
  });

  /** What workers without stores ask needs the records alone: also while Redis is away, they must be answered. */
  const assertServingStores = async (): Promise<void> => {
    if (server.draining.aborted) throw new ServiceError('draining');
    const answer = await within(clock, answerMs, records.sessions.listHeld(null, 1), null);
    if (answer === null) throw new ServiceError('store_unavailable', { store: 'records' });
  };
  /** A standby is as ready as the leader: it may be the leader in the next second. */
  const assertReady = async (): Promise<void> => {
    await assertServingStores();
    if (manager.unansweredMs > longestUnansweredMs) throw new ServiceError('store_unavailable', { store: 'registry' });
  };
  registerProbes(app, { metrics, assertReady, serving: { path: '/readyz/stores', assert: assertServingStores } });

  app.route({
    method: ['GET', 'HEAD'],
    url: '/health',
    config: { isOpen: true, route: 'health' },
    handler: async (request) => {
      const isReady = await assertReady().then(
        () => true,
        () => false,
      );
      const status = server.draining.aborted ? 'draining' : isReady ? 'ok' : 'degraded';
      // Probes carry no credential: they hear whether, not what.
      if (request.headers.authorization === undefined) return { status };
      authenticate(request.headers.authorization);
      const { lastPassAt, lostWorkers, role, sessionsRecovered, workers } = manager.health();
      return {
        status,
        role,
        last_pass_at: lastPassAt,
        sessions_recovered: sessionsRecovered,
        workers,
        // Not part of the status: a manager that cannot read does all its other work.
        messages: messages?.state() ?? null,
        lost_workers: lostWorkers.map(({ boot, evidence, id }) => ({ worker: id, boot, evidence })),
      };
    },
  });
  return server;
}
