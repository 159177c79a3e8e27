// The routes that machines ask: alive, ready, metrics.

import type { FastifyInstance } from 'fastify';
import type { RenderedMetrics } from '../observability/metrics.ts';

export type ProbeOptions = {
  /** Rejects with the ServiceError that says why no work should be sent here. */
  readonly assertReady: () => Promise<void>;
  /** The same of this process alone, where being ready depends on others as well: for who chooses among its like. */
  readonly serving?: { readonly path: `/readyz/${string}`; readonly assert: () => Promise<void> };
  readonly metrics: { render(): Promise<RenderedMetrics> };
};

export function registerProbes(app: FastifyInstance, options: ProbeOptions): void {
  app.route({
    method: ['GET', 'HEAD'],
    url: '/livez',
    config: { isOpen: true, route: 'health' },
    handler: () => ({ status: 'ok' }),
  });
  const { assertReady, serving } = options;
  for (const { assert, path } of [
    { path: '/readyz', assert: assertReady },
    ...(serving === undefined ? [] : [serving]),
  ]) {
    app.route({
      method: ['GET', 'HEAD'],
      url: path,
      config: { isOpen: true, route: 'health' },
      handler: async () => {
        await assert();
        return { status: 'ok' };
      },
    });
  }
  app.route({
    method: 'GET',
    url: '/metrics',
    config: { route: 'metrics' },
    handler: async (_request, reply) => {
      const { contentType, body } = await options.metrics.render();
      return reply.header('content-type', contentType).send(body);
    },
  });
}
