// A span for each request, in the trace that its caller began. What a route leads to goes on under it.

import type { FastifyInstance } from 'fastify';
import { noTracing, type Span, type Tracing } from '../observability/tracing.ts';

export function useTracing(app: FastifyInstance, tracing: Tracing): void {
  app.decorateRequest('traceparent', null);
  if (tracing === noTracing) return;
  const spans = new WeakMap<object, Span>();
  // Behind the check of credentials: who is nobody here decides nothing about what is kept.
  app.addHook('preParsing', async (request, reply) => {
    const { config, url: route } = request.routeOptions;
    // Probes and scrapes would be most of all that is traced.
    if (config.isOpen === true || config.route === 'metrics') return;
    const { traceparent } = request.headers;
    const span = tracing.start(`${request.method} ${route ?? ''}`.trimEnd(), {
      kind: 'server',
      parent: typeof traceparent === 'string' ? traceparent : null,
      attributes: { 'http.request.method': request.method, 'http.route': route, 'codex_fleet.request.id': request.id },
    });
    spans.set(request, span);
    request.traceparent = span.traceparent;
    // A stream that is left before its end has no response that was sent, and a request that is read aborts nothing.
    reply.raw.once('close', () => {
      if (!reply.raw.writableFinished) span.end({ error: 'client_gone' });
    });
  });
  app.addHook('onResponse', async (request, { statusCode }) => {
    const span = spans.get(request);
    span?.set({ 'http.response.status_code': statusCode });
    // By OpenTelemetry's rule a server's span fails with what the server did wrong, not with what it was asked.
    span?.end({ error: statusCode >= 500 ? String(statusCode) : null });
  });
}
