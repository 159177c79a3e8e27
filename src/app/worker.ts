// A worker as a process of its own. With a Redis it is one of a cluster; without, it stands alone: the seed's
// POST /execute and GET /health, with what it stores in the data directory and a model proxy beside it.

import path from 'node:path';
import type { Config } from '../config/resolve.ts';
import { noOutbox } from '../contracts/outbox.ts';
import { TokenSet } from '../http/bearer.ts';
import { ScrapeCredential } from '../http/scrape-credential.ts';
import { createLogger } from '../observability/logger.ts';
import { createMetrics } from '../observability/metrics.ts';
import { SystemClock } from '../observability/system-clock.ts';
import { createWorkerServer } from '../worker/worker-server.ts';
import { startClusterWorker } from './cluster-worker.ts';
import { prepareCodex } from './codex-runtime.ts';
import { openDataDir, tokenOfDataDir } from './data-dir.ts';
import { DiskReserve } from './disk-reserve.ts';
import { withModelMetrics } from './fleet-metrics.ts';
import { httpLimits } from './limits.ts';
import { startModelLink } from './model-link.ts';
import { type RunningPart, Teardown } from './running-part.ts';
import { openTracing } from './tracing.ts';
import { fleetVersion } from './version.ts';
import { openStores } from './stores.ts';
import { startWorkerParts } from './worker-parts.ts';

export function startWorker(config: Config): Promise<RunningPart> {
  return config.redis.url === null ? startLoneWorker(config) : startClusterWorker(config);
}

async function startLoneWorker(config: Config): Promise<RunningPart> {
  const clock = new SystemClock();
  const logger = createLogger({ level: config.log.level, role: 'worker', pretty: config.log.format === 'pretty' });
  const ownMetrics = createMetrics({ processMetrics: true, process: { role: 'worker', version: fleetVersion } });
  const down = new Teardown(clock, config.server.drainTimeoutMs);
  try {
    const dataDir = await openDataDir(config.dataDir);
    down.add(() => dataDir.close());
    const reserve = await DiskReserve.open({ dir: dataDir.path, clock, logger });
    down.add(() => reserve.close());
    const model = await startModelLink(config, dataDir.runDir, clock, logger);
    down.add(() => model.stop());
    const tracing = await openTracing(config, 'worker');
    down.add(() => tracing.stop());
    const metrics = withModelMetrics(ownMetrics, model.metricsText, logger);
    const dir = path.join(dataDir.path, 'worker');
    const modelUpstream = { socketPath: model.dataSocket };
    const codex = await prepareCodex({ config, dir: path.join(dir, 'codex'), modelUpstream, reserve, clock, logger });
    // Each session is for one turn, and gone after it: nothing of it is worth a disk.
    const stores = await openStores({ ...config, storage: 'memory' }, dataDir.path, clock, logger, {
      isOnlyOwner: true,
      checksRecords: true,
      reserve,
      onForgotten: () => {},
    });
    down.add(() => stores.close());
    const { snapshots, worker } = await startWorkerParts({
      ...{ config, dir, codex, stores, reserve, clock, logger, metrics, tracing },
      grants: model.link,
      // Whoever asks it is told by its answer.
      outbox: noOutbox,
    });
    down.add(() => snapshots.stop());
    down.add(
      (deadlineMs) => worker.stop(deadlineMs),
      () => worker.hurry(),
    );

    const server = createWorkerServer({
      worker,
      records: stores.records,
      log: stores.log,
      tokens: new TokenSet([tokenOfDataDir(dataDir), ...config.tokens]),
      scrape: new ScrapeCredential(config.metrics.token),
      clock,
      logger,
      metrics,
      listen: { host: config.worker.host, port: config.worker.port },
      limits: httpLimits(config),
      promptBodyBytes: config.server.bodyLimitExecBytes,
      timeoutMs: config.turns.timeoutMs,
      queueTimeoutMs: config.turns.queueTimeoutMs,
    });
    const { url } = await server.listen();
    down.add(
      (deadlineMs) => server.drain(deadlineMs),
      () => void server.stop(),
    );
    logger.info({ event: 'worker_ready', url, worker_id: config.worker.id }, 'worker ready');
    return down.part(url);
  } catch (error) {
    await down.run({ force: true });
    throw error;
  }
}
