// One line for each request when it has been answered, in the words of Cloud Logging, so that its
// console shows requests as requests. No query, no body: what people write is nobody's business.

import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from '../observability/logger.ts';
import type { RouteLabel } from '../observability/metrics.ts';
import { shownPathOf } from './request-context.ts';
import { traceFields } from './trace-context.ts';

/** Asked again and again by machines: not news. */
const quietRoutes: ReadonlySet<RouteLabel> = new Set(['health', 'metrics', 'page', 'stores']);
const longestUserAgent = 256;

export function logAccess(
  logger: Logger,
  request: FastifyRequest,
  reply: FastifyReply,
  route: RouteLabel,
  gcpProject: string | null,
): void {
  const level = quietRoutes.has(route) ? 'debug' : 'info';
  if (!logger.isLevelEnabled(level)) return;
  logger[level](
    {
      event: 'request',
      request_id: request.id,
      route,
      httpRequest: {
        requestMethod: request.method,
        requestUrl: plain(shownPathOf(request.raw.url ?? '/')),
        status: reply.statusCode,
        latency: `${(reply.elapsedTime / 1000).toFixed(3)}s`,
        userAgent: plain((request.headers['user-agent'] ?? '').slice(0, longestUserAgent)),
      },
      ...traceFields(request.headers['traceparent'], gcpProject),
    },
    'Request answered',
  );
}

/** Terminals obey more than ASCII's control characters, and a log is read in one. */
function plain(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?');
}
