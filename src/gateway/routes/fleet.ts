// What the gateway says of itself and of the fleet: page, health, workers, models, tickets.

import { toIsolation } from '../../api/isolation.ts';
import type { FastifyInstance } from 'fastify';
import type { ModelResource, TicketResource, WorkerDrainResource, WorkerResource } from '../../api/fleet.ts';
import { toList } from '../../api/list.ts';
import { operations } from '../../api/operations.ts';
import type { WorkerStatus } from '../../contracts/worker-link.ts';
import { within } from '../../core/deadline.ts';
import { toTimestamp } from '../../core/clock.ts';
import { ServiceError } from '../../core/errors.ts';
import type { HttpServer } from '../../http/server.ts';
import { askWorker } from '../ask-worker.ts';
import { principalOf } from '../auth.ts';
import type { Gear } from '../gateway-parts.ts';
import { registerOperation } from '../register-operation.ts';
import { homePage } from '../home-page.ts';
import type { Tickets } from '../tickets.ts';

/** Probes have short deadlines of their own. */
const statusDeadlineMs = 2000;

export function registerFleet(gear: Gear, server: HttpServer, tickets: Tickets): void {
  const { app } = server;
  registerHomePage(app, homePage(gear.version));

  registerOperation(app, gear, operations.health, async ({ request }) => {
    const worker = await workerStatus(gear);
    const status = server.draining.aborted ? 'draining' : worker?.state === 'ready' ? 'ok' : 'unavailable';
    if (request.principal === null) return { status };
    const models =
      gear.models === null ? null : await within(gear.clock, statusDeadlineMs, gear.models(), null).catch(() => null);
    return {
      status,
      version: gear.version,
      connections: server.connections(),
      worker: worker === null ? null : toWorkerResource(worker),
      model_provider: models === null ? null : { provider: models.provider, base_url: models.baseUrl },
    };
  });

  registerOperation(app, gear, operations.listWorkers, async () => {
    const workers = await within(gear.clock, statusDeadlineMs, gear.fleet.workers(), null).catch(() => null);
    return toList((workers ?? []).map(toWorkerResource), false);
  });

  registerOperation(
    app,
    gear,
    operations.drainWorker,
    async ({ params, request, reply }): Promise<WorkerDrainResource> => {
      // It is taken from all tenants.
      if (principalOf(request).tenant !== gear.operatorTenant) throw new ServiceError('forbidden');
      const { worker_id: id } = params;
      await askWorker(gear, gear.fleet.drainWorker(id), {
        code: 'worker_lost',
        message: 'The worker did not say in time whether it drains.',
      });
      gear.logger.info({ event: 'worker_drain_asked', worker_id: id, request_id: request.id }, 'Drain asked for');
      reply.code(202);
      return { id, object: 'worker', status: 'draining' };
    },
  );

  registerOperation(app, gear, operations.listModels, async () => {
    if (gear.models === null) return toList<ModelResource>([], false);
    const status = await within(gear.clock, gear.limits.workerDeadlineMs, gear.models(), null);
    if (status === null) throw new ServiceError('model_unavailable');
    return toList<ModelResource>(
      status.models.map(({ id, isDefault }) => ({
        id,
        object: 'model',
        provider: status.provider,
        is_default: isDefault,
      })),
      false,
    );
  });

  registerOperation(app, gear, operations.createTicket, async ({ request, reply }): Promise<TicketResource> => {
    const { ticket, expiresAt } = await tickets.issue(principalOf(request));
    reply.code(201);
    return { ticket, expires_at: toTimestamp(expiresAt) };
  });
}

/** Rejects with the reason why no turn should be sent here. */
export async function assertReady(gear: Gear, server: HttpServer): Promise<void> {
  if (server.draining.aborted) throw new ServiceError('draining');
  const worker = await workerStatus(gear);
  if (worker?.state !== 'ready') throw new ServiceError('no_worker_ready');
}

/** Without a worker it still answers, with reasons, and takes jobs: of use as long as the log's store is there. */
export async function assertServing(gear: Gear, server: HttpServer): Promise<void> {
  if (server.draining.aborted) throw new ServiceError('draining');
  const known = await within(gear.clock, statusDeadlineMs, gear.logKnownForMs(), null).catch(() => null);
  if (known === null) throw new ServiceError('store_unavailable');
}

/** null for a worker that does not answer. */
async function workerStatus(gear: Gear): Promise<WorkerStatus | null> {
  return within(gear.clock, statusDeadlineMs, gear.worker.status(), null).catch(() => null);
}

function registerHomePage(app: FastifyInstance, page: { readonly html: string; readonly contentPolicy: string }): void {
  app.route({
    method: ['GET', 'HEAD'],
    url: '/',
    config: { isOpen: true, route: 'page' },
    handler: async (_request, reply) =>
      reply
        .header('content-type', 'text/html; charset=utf-8')
        .header('content-security-policy', page.contentPolicy)
        .send(page.html),
  });
}

function toWorkerResource(worker: WorkerStatus): WorkerResource {
  return {
    id: worker.id,
    object: 'worker',
    status: worker.state,
    slots: { ...worker.slots },
    busy_sessions: worker.busySessions,
    waiting_turns: worker.waitingTurns,
    isolation: toIsolation(worker.isolation),
    codex_version: worker.codexVersion,
    started_at: toTimestamp(worker.startedAt),
  };
}
