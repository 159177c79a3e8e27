// A gateway on a real socket with memory stores and a scripted worker, and short ways to ask it things.

import { createHash } from 'node:crypto';
import type { TestContext } from 'node:test';
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { MemoryEventLog } from '../adapters/memory/memory-event-log.ts';
import { MemoryRateLimiter } from '../adapters/memory/memory-rate-limiter.ts';
import { MemoryRecords } from '../adapters/memory/memory-records.ts';
import { MemoryTicketStore } from '../adapters/memory/memory-ticket-store.ts';
import type { Clock } from '../core/clock.ts';
import { createGateway, type Gateway } from '../gateway/gateway.ts';
import type { GatewayParts } from '../gateway/gateway-parts.ts';
import { createSilentLogger } from '../observability/logger.ts';
import { createMetrics, type Metrics } from '../observability/metrics.ts';
import { SystemClock } from '../observability/system-clock.ts';
import { noWorkspace } from './no-workspace.ts';
import { ScriptedWorker } from './scripted-worker.ts';

export const token = 'fixture-token';
export const otherTenantToken = 'fixture-token-of-another-tenant';

export type GatewayFixture = {
  readonly gateway: Gateway;
  readonly url: string;
  readonly port: number;
  readonly worker: ScriptedWorker;
  readonly log: MemoryEventLog;
  readonly records: MemoryRecords;
  readonly metrics: Metrics;
  readonly clock: Clock;
  get(path: string, headers?: Record<string, string>): Promise<Response>;
  post(path: string, body?: unknown, headers?: Record<string, string>): Promise<Response>;
};

export async function startGateway(t: TestContext, overrides: Partial<GatewayParts> = {}): Promise<GatewayFixture> {
  const clock = overrides.clock ?? new SystemClock();
  const log = new MemoryEventLog();
  const records = new MemoryRecords();
  const worker = new ScriptedWorker({ clock, log, records });
  const metrics = createMetrics();
  const gateway = createGateway({
    clock,
    logger: createSilentLogger(),
    metrics,
    records,
    log,
    worker,
    workspace: noWorkspace,
    ticketStore: new MemoryTicketStore(clock),
    rateLimiter: new MemoryRateLimiter(clock),
    tokens: [
      { tokenSha256: sha256(token), tenant: 'default', name: 'tester' },
      { tokenSha256: sha256(otherTenantToken), tenant: 'other', name: 'stranger' },
    ],
    idempotencySecret: 'fixture-secret',
    version: '0.0.0',
    listen: { host: '127.0.0.1', port: 0 },
    ...overrides,
  });
  const { url, port } = await gateway.listen();
  t.after(() => gateway.stop());

  const authorization = `Bearer ${token}`;
  return {
    gateway,
    url,
    port,
    worker,
    log,
    records,
    metrics,
    clock,
    get: (path, headers = {}) => fetch(url + path, { headers: { authorization, ...headers } }),
    post: (path, body, headers = {}) =>
      fetch(url + path, {
        method: 'POST',
        headers: { authorization, ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      }),
  };
}

export type Json = { readonly [key: string]: unknown };

export async function jsonOf(response: Response): Promise<Json> {
  return (await response.json()) as Json;
}

/** The events of a stream until it ends, or until `most` have come and the reader hangs up. */
export async function readEvents(response: Response, most = Number.POSITIVE_INFINITY): Promise<EventSourceMessage[]> {
  const events: EventSourceMessage[] = [];
  const parser = createParser({ onEvent: (event) => events.push(event) });
  const decoder = new TextDecoder();
  if (response.body === null) return events;
  for await (const chunk of response.body) {
    parser.feed(decoder.decode(chunk as Uint8Array, { stream: true }));
    if (events.length >= most) break;
  }
  return events.slice(0, most);
}

export function seqsOf(events: readonly EventSourceMessage[]): number[] {
  return events.map((event) => (JSON.parse(event.data) as { seq: number }).seq);
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
