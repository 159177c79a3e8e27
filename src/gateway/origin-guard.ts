// Which browsers' pages may call, and under which name the server may be called. The second keeps a
// page from reaching a server on loopback by pointing a name of its own at 127.0.0.1.

import type { IncomingHttpHeaders } from 'node:http';
import { ServiceError } from '../core/errors.ts';
import { isLoopbackHost, type ListenAddress } from '../http/listener.ts';

export type OriginRules = {
  readonly listen: ListenAddress;
  readonly allowedOrigins: readonly string[];
  readonly allowedHosts: readonly string[];
};

export class OriginGuard {
  readonly #origins: ReadonlySet<string>;
  /** null: any name will do. */
  readonly #hosts: ReadonlySet<string> | null;

  constructor(rules: OriginRules) {
    this.#origins = new Set(rules.allowedOrigins.map((origin) => origin.toLowerCase().replace(/\/$/, '')));
    const isOnLoopback = 'host' in rules.listen && isLoopbackHost(rules.listen.host);
    this.#hosts = isOnLoopback ? new Set(rules.allowedHosts.map((host) => host.toLowerCase())) : null;
  }

  assertHost(headers: IncomingHttpHeaders): void {
    if (this.#hosts === null) return;
    const name = hostNameOf(headers.host ?? '');
    if (isLoopbackHost(name) || this.#hosts.has(name)) return;
    throw new ServiceError(
      'forbidden',
      { header: 'Host' },
      { message: 'This server listens on loopback and was called by another name; add the name to `allowed_hosts`.' },
    );
  }

  /** Programs send no Origin; a page of our own sends ours. */
  assertOrigin(headers: IncomingHttpHeaders): void {
    const { origin } = headers;
    if (origin === undefined || this.isForeignAllowed(origin) || isOwn(origin, headers.host)) return;
    throw new ServiceError(
      'forbidden',
      { header: 'Origin' },
      { message: 'Pages of this origin may not call; add it to `allowed_origins`.' },
    );
  }

  isForeignAllowed(origin: string): boolean {
    return this.#origins.has(origin.toLowerCase());
  }
}

export function corsHeaders(origin: string): Record<string, string> {
  return {
    'access-control-allow-origin': origin,
    'access-control-expose-headers': 'location, retry-after, x-request-id, x-session-id, x-turn-id',
    vary: 'Origin',
  };
}

export const preflightHeaders: Readonly<Record<string, string>> = {
  'access-control-allow-methods': 'GET, POST, PUT, PATCH, DELETE',
  'access-control-allow-headers':
    'authorization, content-type, idempotency-key, if-match, if-none-match, last-event-id, range, x-request-id',
  'access-control-max-age': '600',
};

function isOwn(origin: string, host: string | undefined): boolean {
  return (
    host !== undefined &&
    /^https?:\/\//i.test(origin) &&
    origin.toLowerCase().replace(/^https?:\/\//, '') === host.toLowerCase()
  );
}

function hostNameOf(host: string): string {
  const name = /^(\[[^\]]*\]|[^:]*)(:\d+)?$/.exec(host)?.[1] ?? '';
  return name.toLowerCase();
}
