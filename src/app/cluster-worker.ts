// A worker of a cluster: registers itself, holds sessions by leases, is called by gateways and managers at its
// internal face. In this order up, in the reverse order down.

import path from 'node:path';
import { internalCredential } from '../adapters/worker-http/internal-credential.ts';
import type { Config } from '../config/resolve.ts';
import { ServiceError } from '../core/errors.ts';
import { TokenSet } from '../http/bearer.ts';
import { ScrapeCredential } from '../http/scrape-credential.ts';
import { createLogger } from '../observability/logger.ts';
import { createMetrics } from '../observability/metrics.ts';
import { SystemClock } from '../observability/system-clock.ts';
import { Heartbeat } from '../worker/heartbeat.ts';
import { RestingSweep } from '../worker/resting-sweep.ts';
import { registerInternalFace } from '../worker/internal-face.ts';
import { createWorkerServer } from '../worker/worker-server.ts';
import { openClusterDir, openWorkerDir } from './cluster-dir.ts';
import { connectModelProxy, defaultModelOf } from './cluster-model.ts';
import { openWorkerStores } from './cluster-stores.ts';
import { countedClusterStores } from './counted-stores.ts';
import { prepareCodex } from './codex-runtime.ts';
import { tokenOfDataDir } from './data-dir.ts';
import { DiskReserve } from './disk-reserve.ts';
import { httpLimits } from './limits.ts';
import { type RunningPart, Teardown } from './running-part.ts';
import { openTracing } from './tracing.ts';
import { UncagedWorker, withOneSlot } from './uncaged-worker.ts';
import { fleetVersion } from './version.ts';
import { startWorkerParts } from './worker-parts.ts';
import { openWorkspaces } from './workspace-parts.ts';

/** For answers to reach the other roles once every turn has ended. */
const lastAnswersMs = 1_000;

export async function startClusterWorker(given: Config): Promise<RunningPart> {
  const clock = new SystemClock();
  const logger = createLogger({
    level: given.log.level,
    role: 'worker',
    pretty: given.log.format === 'pretty',
    showPrompts: given.log.prompts,
  }).child({ worker_id: given.worker.id });
  assertReachable(given);
  const metrics = createMetrics({ processMetrics: true, process: { role: 'worker', version: fleetVersion } });
  const down = new Teardown(clock, given.server.drainTimeoutMs);
  try {
    const cluster = await openClusterDir(given);
    down.add(() => cluster.close());
    const own = await openWorkerDir(cluster.path, given.worker.id);
    down.add(() => own.close());
    const uncaged = new UncagedWorker({
      ...{ clock, logger },
      workerDir: own.path,
      heartbeatMs: given.cluster.heartbeatMs,
    });
    down.add(() => uncaged.end());
    const reserve = await DiskReserve.open({ dir: own.path, clock, logger });
    down.add(() => reserve.close());
    const shared = { config: given, dataDir: cluster.path, checksRecords: false };
    const opening = openWorkerStores({ ...shared, reserve, clock, logger }, cluster.clusterSecret);
    const stores = countedClusterStores(await opening, metrics);
    down.add(() => stores.close());
    const model = connectModelProxy(given, cluster.clusterSecret, clock);
    down.add(() => model.link.close());

    const name = await defaultModelOf(model.link, clock, logger);
    const named: Config = { ...given, model: { ...given.model, name } };
    const tracing = await openTracing(named, 'worker');
    down.add(() => tracing.stop());
    const codex = await prepareCodex({
      config: named,
      dir: path.join(own.path, 'codex'),
      modelUpstream: model.upstream,
      onUncaged: () => uncaged.begin(),
      reserve,
      clock,
      logger,
    });
    const isCaged = codex.isolation.cage === 'own-root';
    const config = isCaged ? named : withOneSlot(named);
    // The next one serves anybody. What runs may end, however long it takes: it has its own limits.
    const replace = async (): Promise<void> => {
      logger.warn({ event: 'worker_makes_way' }, 'another tenant waits: this worker ends, to be started anew');
      const left = worker.leave();
      await heartbeat.beat();
      await left;
      await down.run({});
    };
    const oneTenant = isCaged
      ? null
      : uncaged.oneTenant({
          onTaken: () => void heartbeat.beat(),
          onWanted: () => void replace().catch(() => undefined),
        });
    // What cannot be ended ends with the container: nothing else is taken into it.
    const cleanUp = (): Promise<void> =>
      uncaged.cleanUp(codex.endsWhole ?? true).catch((error: unknown) => {
        logger.error({ event: 'agent_outlived', err: error }, 'what an agent started cannot be ended: the worker ends');
        void down.run({ force: true }).catch(() => undefined);
      });
    const { boot, files, snapshots, worker } = await startWorkerParts({
      ...{ config, codex, stores, reserve, clock, logger, metrics, tracing },
      dir: own.path,
      grants: model.link,
      outbox: stores.outbox,
      ...(oneTenant === null ? {} : { uncaged: { oneTenant, cleanUp, orphansBelow: uncaged.orphansBelow } }),
    });
    down.add(() => snapshots.stop());
    const sweep = new RestingSweep({
      ...{ files, clock, logger },
      records: stores.records,
      whileUnhosted: (key, work) => worker.whileUnhosted(key, work),
    });
    sweep.start();
    down.add(() => sweep.stop());

    const server = createWorkerServer({
      ...{ worker, clock, logger, metrics },
      records: stores.records,
      log: stores.log,
      tokens: new TokenSet([tokenOfDataDir(cluster), ...config.tokens]),
      scrape: new ScrapeCredential(config.metrics.token),
      listen: { host: config.worker.host, port: config.worker.port },
      limits: httpLimits(config),
      promptBodyBytes: config.server.bodyLimitExecBytes,
      timeoutMs: config.turns.timeoutMs,
      queueTimeoutMs: config.turns.queueTimeoutMs,
    });
    const drain = async (deadlineMs: number): Promise<void> => {
      const stopping = worker.stop(deadlineMs);
      // Said before anybody finds out by asking.
      await heartbeat.beat();
      await stopping;
    };
    registerInternalFace(server.app, {
      ...{ boot, fleetVersion, worker, clock, logger },
      credential: internalCredential(cluster.clusterSecret, 'worker', boot),
      workspace: await openWorkspaces({
        ...{ snapshots, worker, clock },
        workerDir: own.path,
        sessions: stores.records.sessions,
      }),
      drain: () =>
        void drain(config.server.drainTimeoutMs).catch((error: unknown) =>
          logger.error({ event: 'drain_failed', err: error }, 'a worker could not be drained in good order'),
        ),
    });
    const { url } = await server.listen();
    down.add(
      () => server.drain(lastAnswersMs),
      () => void server.stop(),
    );

    const heartbeat = new Heartbeat({
      ...{ clock, logger },
      registry: stores.registry,
      everyMs: config.cluster.heartbeatMs,
      entry: async () => {
        const { state, boundSessions: _, ...status } = await worker.status();
        return {
          ...status,
          ...{ boot, fleetVersion },
          url: config.cluster.advertiseUrl ?? url,
          state: state === 'ready' ? 'ready' : 'draining',
        };
      },
      onReplaced: () => void down.run({ force: true }).catch(() => undefined),
    });
    down.add(() => heartbeat.stop());
    down.add(drain, () => worker.hurry());
    await heartbeat.start();
    oneTenant?.open();
    logger.info({ event: 'worker_ready', url, boot }, 'worker ready');
    return down.part(url);
  } catch (error) {
    await down.run({ force: true });
    throw error;
  }
}

/** An address that means "all of mine" means nothing to others. */
function assertReachable({ cluster, worker }: Config): void {
  if (cluster.advertiseUrl !== null || (worker.host !== '0.0.0.0' && worker.host !== '::')) return;
  const message =
    `a worker that listens on ${worker.host} has to say at which URL the other roles reach it: set ` +
    'cluster.advertise_url (--advertise-url)';
  throw new ServiceError('worker_unreachable', {}, { message });
}
