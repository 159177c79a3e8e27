// The whole fleet in one process tree: gateway and worker here, the model proxy beside, everything that
// is stored in memory. In this order up, in the reverse order down.

import path from 'node:path';
import { MemoryEventLog } from '../adapters/memory/memory-event-log.ts';
import { MemoryRecords } from '../adapters/memory/memory-records.ts';
import { MemorySessionDirectory } from '../adapters/memory/memory-session-directory.ts';
import type { Config } from '../config/resolve.ts';
import type { SandboxMode } from '../core/session.ts';
import { createGateway } from '../gateway/gateway.ts';
import { createLogger } from '../observability/logger.ts';
import { createMetrics } from '../observability/metrics.ts';
import { SystemClock } from '../observability/system-clock.ts';
import { itemOfLine } from '../protocol/items.ts';
import { prepareCodex } from './codex-runtime.ts';
import { openDataDir, tokenOfDataDir } from './data-dir.ts';
import { eventMemoryCharacters } from './event-memory.ts';
import { withModelMetrics } from './fleet-metrics.ts';
import { firstScreen } from './first-screen.ts';
import { gatewayLimits, httpLimits } from './limits.ts';
import { startModelLink } from './model-link.ts';
import { type RunningPart, Teardown } from './running-part.ts';
import { fleetVersion } from './version.ts';
import { startWorkerParts } from './worker-parts.ts';

/** For answers and streams to reach their clients once every turn has ended. */
const lastAnswersMs = 2_000;

export type RunningFleet = RunningPart & { readonly token: string; readonly firstScreen: readonly string[] };

export async function startEmbedded(config: Config): Promise<RunningFleet> {
  const clock = new SystemClock();
  const logger = createLogger({
    level: config.log.level,
    role: 'embedded',
    pretty: config.log.format === 'pretty',
    showPrompts: config.log.prompts,
  });
  const ownMetrics = createMetrics({ processMetrics: true });
  const down = new Teardown(clock, config.server.drainTimeoutMs);
  try {
    const dataDir = await openDataDir(config.dataDir);
    down.add(() => dataDir.close());

    const model = await startModelLink(config, dataDir.runDir, clock, logger);
    down.add(() => model.stop());
    const metrics = withModelMetrics(ownMetrics, model.metricsText, logger);

    const workerDir = path.join(dataDir.path, 'worker');
    const codex = await prepareCodex({
      config,
      dir: path.join(workerDir, 'codex'),
      modelUpstream: { socketPath: model.dataSocket },
      clock,
      logger,
    });

    const log = new MemoryEventLog({ maxCharacters: eventMemoryCharacters() });
    const records = new MemoryRecords({
      onForgotten: ({ tenant, id }) => {
        const key = { tenant, sessionId: id };
        Promise.all([worker.eraseSession(key), log.erase(key)]).catch((error: unknown) =>
          logger.error(
            { event: 'session_not_forgotten', session_id: id, err: error },
            'a forgotten session left something',
          ),
        );
      },
    });
    const stores = { log, directory: new MemorySessionDirectory(clock), records };
    const worker = await startWorkerParts({
      config,
      dir: workerDir,
      codex,
      stores,
      grants: model.link,
      clock,
      logger,
      metrics,
    });
    down.add(
      (deadlineMs) => worker.stop(deadlineMs),
      () => worker.hurry(),
    );

    const gateway = createGateway({
      clock,
      logger,
      metrics,
      records: stores.records,
      log: stores.log,
      worker,
      models: () => model.link.status(),
      wholeItem: itemOfLine,
      tokens: [tokenOfDataDir(dataDir), ...config.tokens],
      idempotencySecret: dataDir.idempotencySecret,
      version: fleetVersion,
      listen: { host: config.server.host, port: config.server.port },
      allowedOrigins: config.server.allowedOrigins,
      allowedHosts: config.server.allowedHosts,
      allowedSandboxes: config.sessions.sandboxes,
      defaultSandbox: defaultSandbox(config.sessions.sandboxes),
      gcpProject: config.log.gcpProject,
      logPrompts: config.log.prompts,
      limits: gatewayLimits(config),
      httpLimits: httpLimits(config),
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
    await dataDir.announce(url);
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
        storage: config.storage,
      }),
    };
  } catch (error) {
    await down.run({ force: true });
    throw error;
  }
}

function defaultSandbox(allowed: readonly SandboxMode[]): SandboxMode {
  return allowed.includes('workspace-write') ? 'workspace-write' : (allowed[0] ?? 'read-only');
}
