// What every request carries from its first moment: an id, and what metrics call its route.

import type { IncomingMessage } from 'node:http';
import { mintId } from '../core/ids.ts';
import type { RouteLabel } from '../observability/metrics.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    readonly route?: RouteLabel;
    /** Answered without a credential. */
    readonly isOpen?: boolean;
  }
  interface FastifyRequest {
    /** For what this request leads to; null where nothing is traced. */
    traceparent: string | null;
  }
}

const saneId = /^[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,127}$/;

/** The caller's X-Request-Id if it can do no harm in a log, else one of ours. */
export function requestIdOf(request: Pick<IncomingMessage, 'headers'>): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && saneId.test(given) ? given : mintId();
}

/** Without the query: what a caller put there is nobody's business in logs and answers. */
export function pathOf(url: string): string {
  const end = url.search(/[?#]/);
  return end === -1 ? url : url.slice(0, end);
}

const longestShownPath = 1024;

/** For answers and logs, which need not repeat what somebody made long. */
export function shownPathOf(url: string): string {
  return pathOf(url).slice(0, longestShownPath);
}
