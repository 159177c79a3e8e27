// One line for each request when it has been answered, in the words of Cloud Logging, so that its
// console shows requests as requests. No query, no body: what people write is nobody's business.

import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from '../observability/logger.ts';
import type { RouteLabel } from '../observability/metrics.ts';
import { pathOf } from './request-context.ts';
import { traceFields } from './trace-context.ts';

/** Asked every few seconds by machines: not news. */
const quietRoutes: ReadonlySet<RouteLabel> = new Set(['health', 'metrics', 'page']);
const longestUserAgent = 256;
const longestPath = 1024;

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
        requestUrl: plain(pathOf(request.raw.url ?? '/'), longestPath),
        status: reply.statusCode,
        latency: `${(reply.elapsedTime / 1000).toFixed(3)}s`,
        userAgent: plain(request.headers['user-agent'] ?? '', longestUserAgent),
      },
      ...traceFields(request.headers['traceparent'], gcpProject),
    },
    'Request answered',
  );
}

/** Terminals obey more than ASCII's control characters, and a log is read in one. */
function plain(text: string, most: number): string {
  return text.slice(0, most).replaceAll(/[^\x20-\x7e]/g, '?');
}
