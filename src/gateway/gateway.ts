// The public door, put together. What a gateway is made of can be read here in order.

import { TokenSet } from '../http/bearer.ts';
import type { Listening } from '../http/listener.ts';
import { registerProbes } from '../http/probes.ts';
import { ScrapeCredential } from '../http/scrape-credential.ts';
import { createHttpServer, defaultHttpLimits } from '../http/server.ts';
import { noTracing } from '../observability/tracing.ts';
import { Authenticator } from './auth.ts';
import { gearOf, type GatewayParts } from './gateway-parts.ts';
import { OriginGuard } from './origin-guard.ts';
import { registerApprovals } from './routes/approvals.ts';
import { registerArchive } from './routes/archive.ts';
import { registerCommands } from './routes/commands.ts';
import { registerDiff } from './routes/diff.ts';
import { registerDocs } from './routes/docs.ts';
import { registerEvents } from './routes/events.ts';
import { registerExec } from './routes/exec.ts';
import { registerFiles } from './routes/files.ts';
import { assertReady, assertServing, registerFleet } from './routes/fleet.ts';
import { registerItems } from './routes/items.ts';
import { registerJobs } from './routes/jobs.ts';
import { registerSchedules } from './routes/schedules.ts';
import { registerSessions } from './routes/sessions.ts';
import { registerTurns } from './routes/turns.ts';
import { registerUsage } from './routes/usage.ts';
import { registerWebhooks } from './routes/webhooks.ts';
import { Tickets } from './tickets.ts';
import { openWsDoor } from './ws-door.ts';

export interface Gateway {
  listen(): Promise<Listening>;
  /** Refuses new turns, and says so to whoever asks whether it is ready; what runs goes on. */
  beginDraining(): void;
  /** Takes nothing new, lets turns' streams go on until the deadline, ends the rest. */
  drain(deadlineMs: number): Promise<void>;
  stop(): Promise<void>;
}

export function createGateway(parts: GatewayParts): Gateway {
  const { clock, logger, metrics, listen } = parts;
  const httpLimits = { ...defaultHttpLimits, ...parts.httpLimits };
  const server = createHttpServer({
    clock,
    logger,
    metrics,
    listen,
    limits: httpLimits,
    gcpProject: parts.gcpProject ?? null,
    tracing: parts.tracing ?? noTracing,
  });
  const gear = gearOf(parts, server.draining);
  const { allowedOrigins, allowedHosts, limits } = gear;

  const tickets = new Tickets(parts.ticketStore, clock, {
    ttlMs: limits.ticketTtlMs,
    perTenant: limits.ticketsPerTenant,
  });
  const guard = new OriginGuard({ listen, allowedOrigins, allowedHosts });
  const authenticator = new Authenticator(
    new TokenSet(gear.tokens),
    tickets,
    guard,
    new ScrapeCredential(gear.metricsToken),
  );
  authenticator.protect(server.app);

  registerProbes(server.app, {
    metrics,
    assertReady: () => assertReady(gear, server),
    serving: { path: '/readyz/gateway', assert: () => assertServing(gear, server) },
  });
  registerFleet(gear, server, tickets);
  registerExec(gear, server);
  registerSessions(gear, server);
  registerTurns(gear, server);
  registerEvents(gear, server);
  registerItems(gear, server);
  registerApprovals(gear, server);
  registerCommands(gear, server);
  registerFiles(gear, server);
  registerArchive(gear, server);
  registerDiff(gear, server);
  registerJobs(gear, server);
  registerSchedules(gear, server);
  registerWebhooks(gear, server);
  registerUsage(gear, server);
  registerDocs(gear, server);
  openWsDoor(gear, server, authenticator);

  return {
    listen: () => server.listen(),
    beginDraining: () => server.beginDraining(),
    drain: (deadlineMs) => server.drain(deadlineMs),
    stop: () => server.stop(),
  };
}
