// The whole fleet in one process tree: gateway and worker here, the model proxy beside, what is stored in
// the data directory. In this order up, in the reverse order down.

import path from 'node:path';
import { MemoryRateLimiter } from '../adapters/memory/memory-rate-limiter.ts';
import { MemoryTicketStore } from '../adapters/memory/memory-ticket-store.ts';
import type { Config } from '../config/resolve.ts';
import type { SessionRecord } from '../core/session.ts';
import { eraseSession } from '../gateway/erase-session.ts';
import { fleetOfOne } from '../gateway/fleet-of-one.ts';
import { createGateway } from '../gateway/gateway.ts';
import { Housekeeper } from '../manager/housekeeper.ts';
import { createLogger } from '../observability/logger.ts';
import { createMetrics } from '../observability/metrics.ts';
import { SystemClock } from '../observability/system-clock.ts';
import { itemOfLine } from '../protocol/items.ts';
import { SealedReplay } from '../snapshot/sealed-replay.ts';
import { prepareCodex } from './codex-runtime.ts';
import { openDataDir, tokenOfDataDir } from './data-dir.ts';
import { DiskReserve } from './disk-reserve.ts';
import { withModelMetrics } from './fleet-metrics.ts';
import { firstScreen } from './first-screen.ts';
import { gatewaySettings } from './gateway-settings.ts';
import { lookAfterSession } from './look-after.ts';
import { startModelLink } from './model-link.ts';
import { type RunningPart, Teardown } from './running-part.ts';
import { openJobMessages, openOutbox, Outside } from './outside.ts';
import { openStores } from './stores.ts';
import { openTracing } from './tracing.ts';
import { fleetVersion } from './version.ts';
import { salvageSlots, startWorkerParts } from './worker-parts.ts';
import { openWorkspaces } from './workspace-parts.ts';

/** For answers and streams to reach their clients once every turn has ended. */
const lastAnswersMs = 2_000;

export type RunningFleet = RunningPart & { readonly token: string; readonly firstScreen: readonly string[] };

/** What a composition may be given in another form. */
export type EmbeddedParts = { readonly openStores: typeof openStores };

export async function startEmbedded(
  config: Config,
  { openStores: open }: EmbeddedParts = { openStores },
): Promise<RunningFleet> {
  const clock = new SystemClock();
  const logger = createLogger({
    level: config.log.level,
    role: 'embedded',
    pretty: config.log.format === 'pretty',
    showPrompts: config.log.prompts,
  });
  const ownMetrics = createMetrics({ processMetrics: true, process: { role: 'fleet', version: fleetVersion } });
  const down = new Teardown(clock, config.server.drainTimeoutMs);
  let outside: Outside | null = null;
  try {
    const dataDir = await openDataDir(config.dataDir);
    down.add(() => dataDir.close());
    const reserve = await DiskReserve.open({ dir: dataDir.path, clock, logger });
    down.add(() => reserve.close());

    const tracing = await openTracing(config, 'embedded');
    down.add(() => tracing.stop());
    const model = await startModelLink(config, dataDir.runDir, clock, logger);
    down.add(() => model.stop());
    const metrics = withModelMetrics(ownMetrics, model.metricsText, logger);

    const workerDir = path.join(dataDir.path, 'worker');
    if (reserve.isLow) await salvageSlots({ config, dir: workerDir, reserve, clock, logger });
    const codex = await prepareCodex({
      config,
      dir: path.join(workerDir, 'codex'),
      modelUpstream: { socketPath: model.dataSocket },
      reserve,
      clock,
      logger,
    });

    const stores = await open(config, dataDir.path, clock, logger, {
      isOnlyOwner: true,
      checksRecords: true,
      reserve,
      onForgotten: (key) => {
        Promise.all([worker.eraseSession(key), stores.log.erase(key)]).catch((error: unknown) =>
          logger.error(
            { event: 'session_not_forgotten', session_id: key.sessionId, err: error },
            'a forgotten session left something',
          ),
        );
      },
    });
    down.add(() => stores.close());

    const outbox = openOutbox({ config, records: stores.records, clock, onPut: () => outside?.noticePut() });
    const { snapshots, worker } = await startWorkerParts({
      config,
      dir: workerDir,
      codex,
      stores,
      reserve,
      grants: model.link,
      outbox,
      clock,
      logger,
      metrics,
      tracing,
    });
    down.add(() => snapshots.stop());
    down.add(
      (deadlineMs) => worker.stop(deadlineMs),
      () => worker.hurry(),
    );
    const { records } = stores;
    const log = new SealedReplay(stores.log, records.sessions, snapshots);
    const settings = gatewaySettings(config);
    const { limits } = settings;

    const erase = (session: SessionRecord): Promise<void> =>
      eraseSession({ records, log, worker, outbox, clock, limits, logger }, session);
    outside = await Outside.open({
      ...{ clock, config, log, logger, metrics, outbox, records, worker },
      workers: async () => [await worker.status()],
    });
    const { jobMade } = outside;
    down.add(() => outside?.close() ?? Promise.resolve());
    const messages = await openJobMessages({ clock, config, logger, metrics, records }, jobMade);
    const housekeeper = new Housekeeper({
      clock,
      logger,
      records,
      directory: stores.directory,
      worker: { recoverSession: (key) => lookAfterSession({ records, worker, erase }, key) },
      eraseSession: async ({ sessionId, tenant }) => {
        const session = await records.sessions.get(tenant, sessionId);
        if (session !== null) await erase(session);
      },
      dropEventsBefore: stores.dropEventsBefore,
      duties: [...outside.duties(), ...(messages === null ? [] : [messages])],
      settings: { retainEventsMs: config.events.retainMs, retainSessionsMs: config.sessions.retainMs },
    });
    housekeeper.start();
    down.add(() => housekeeper.stop());

    const gateway = createGateway({
      clock,
      logger,
      metrics,
      tracing,
      records,
      log,
      worker,
      workspace: await openWorkspaces({ workerDir, sessions: records.sessions, snapshots, worker, clock }),
      // Its end is told by the stop, which waits for the same.
      fleet: fleetOfOne(worker, () => void worker.stop(config.server.drainTimeoutMs).catch(() => undefined)),
      ticketStore: new MemoryTicketStore(clock),
      rateLimiter: new MemoryRateLimiter(clock),
      outbox,
      onJobMade: jobMade,
      isStorageLow: () => reserve.isLow,
      models: () => model.link.status(),
      wholeItem: itemOfLine,
      tokens: [tokenOfDataDir(dataDir), ...config.tokens],
      idempotencySecret: dataDir.idempotencySecret,
      ...settings,
    });
    const { url } = await gateway.listen();
    // The gateway refuses new turns first and goes last: until the running ones have ended, or were
    // interrupted at the deadline, whoever waits for one or asks whether we are ready gets an answer.
    down.add(
      async (deadlineMs) => {
        gateway.beginDraining();
        await worker.stop(deadlineMs);
        await gateway.drain(lastAnswersMs);
      },
      () => void gateway.stop(),
    );
    await reserve.guard(() => dataDir.announce(url));
    logger.info({ event: 'fleet_ready', url }, 'fleet ready');

    return {
      ...down.part(url),
      token: dataDir.token,
      firstScreen: firstScreen({
        version: fleetVersion,
        codexVersion: codex.version,
        url,
        token: dataDir.token,
        tokenFile: path.join(dataDir.path, 'token'),
        model: config.model,
        isolation: codex.isolation,
        network: config.cage.network,
        slots: { limit: config.worker.slots, warm: config.worker.warmSlots },
        storage: stores.kind === 'memory' ? 'memory' : 'sqlite',
      }),
    };
  } catch (error) {
    await down.run({ force: true });
    throw error;
  }
}
