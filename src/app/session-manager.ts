// A session manager as a process of its own: one of several leads and does what the fleet needs without
// being asked; the others stand by. It has no door but that for probes, health and metrics.

import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { internalCredential, storeDoorScope } from '../adapters/worker-http/internal-credential.ts';
import { probeWorker } from '../adapters/worker-http/worker-probe.ts';
import type { Config } from '../config/resolve.ts';
import type { SessionRecord } from '../core/session.ts';
import { eraseSession } from '../gateway/erase-session.ts';
import { defaultGatewayLimits } from '../gateway/gateway-parts.ts';
import { TokenSet } from '../http/bearer.ts';
import { ScrapeCredential } from '../http/scrape-credential.ts';
import { createManagerServer } from '../manager/manager-server.ts';
import { SessionManager } from '../manager/session-manager.ts';
import { createStoreDoor } from '../manager/store-door/store-door.ts';
import { createLogger } from '../observability/logger.ts';
import { createMetrics } from '../observability/metrics.ts';
import { SystemClock } from '../observability/system-clock.ts';
import { openClusterDir } from './cluster-dir.ts';
import { openClusterStores } from './cluster-stores.ts';
import { countedClusterStores } from './counted-stores.ts';
import { startClusterWorkers } from './cluster-workers.ts';
import { tokenOfDataDir } from './data-dir.ts';
import { gatewayLimits, httpLimits } from './limits.ts';
import { lookAfterSession } from './look-after.ts';
import { openJobMessages, openOutbox, Outside } from './outside.ts';
import { type RunningPart, Teardown } from './running-part.ts';
import { fleetVersion } from './version.ts';

const probeMs = 1_000;

export async function startSessionManager(config: Config): Promise<RunningPart> {
  const clock = new SystemClock();
  const { format, level } = config.log;
  const logger = createLogger({ level, role: 'session-manager', pretty: format === 'pretty' });
  const metrics = createMetrics({ processMetrics: true, process: { role: 'session-manager', version: fleetVersion } });
  const down = new Teardown(clock, config.server.drainTimeoutMs);
  let outside: Outside | null = null;
  try {
    const dir = await openClusterDir(config);
    down.add(() => dir.close());
    const stores = countedClusterStores(
      await openClusterStores({
        config,
        dataDir: dir.path,
        reserve: null,
        checksRecords: true,
        clock,
        logger,
      }),
      metrics,
    );
    down.add(() => stores.close());
    const { clusterSecret } = dir;
    const worker = startClusterWorkers({ config, clusterSecret, stores, clock, logger, metrics });
    down.add(() => worker.stop());

    const { log, records } = stores;
    const outbox = openOutbox({ config, records, clock, onPut: () => outside?.noticePut() });
    const limits = { ...defaultGatewayLimits, ...gatewayLimits(config) };
    const erase = (session: SessionRecord): Promise<void> =>
      eraseSession({ records, log, worker, outbox, clock, limits, logger }, session);
    const opened = await Outside.open({
      ...{ clock, config, log, logger, metrics, outbox, records, worker },
      workers: () => worker.workers(),
    });
    outside = opened;
    down.add(() => opened.close());
    const manager = new SessionManager({
      clock,
      logger,
      metrics,
      records,
      snapshots: stores.snapshots,
      directory: stores.directory,
      registry: stores.registry,
      leadership: stores.leadership,
      holder: `${hostname()}/${randomUUID()}`,
      probe: (url) => probeWorker(url, clock, probeMs),
      worker: { recoverSession: (key) => lookAfterSession({ records, worker, erase }, key) },
      eraseSession: async ({ sessionId, tenant }) => {
        const session = await records.sessions.get(tenant, sessionId);
        if (session !== null) await erase(session);
      },
      dropEventsBefore: stores.dropEventsBefore,
      duties: () => opened.duties(),
      settings: { retainEventsMs: config.events.retainMs, retainSessionsMs: config.sessions.retainMs },
      // Firestore bills each entry of a list: a thousand open turns are looked through every 15 s, ten every half.
      ...(config.storage === 'google' ? { listedEntryMs: 50 } : {}),
      heartbeatMs: config.cluster.heartbeatMs,
      leaseMs: config.cluster.leaseMs,
    });
    const messages = await openJobMessages({ clock, config, logger, metrics, records }, opened.jobMade);
    const server = createManagerServer({
      manager,
      records,
      messages,
      tokens: new TokenSet([tokenOfDataDir(dir), ...config.tokens]),
      scrape: new ScrapeCredential(config.metrics.token),
      clock,
      logger,
      metrics,
      listen: { host: config.manager.host, port: config.manager.port },
      limits: httpLimits(config),
    });
    // Any of them answers, standbys too. It goes last but for the stores: what was asked of it is finished.
    const door = createStoreDoor({
      stores: { records, snapshots: stores.snapshots, outbox, truth: stores.truth, fleetVersion },
      credential: internalCredential(clusterSecret, 'session-manager', storeDoorScope),
      clock,
      logger,
      metrics,
      listen: { host: config.manager.host, port: config.manager.storePort },
    });
    const { url: storesUrl } = await door.listen();
    down.add(
      (deadlineMs) => door.drain(deadlineMs),
      () => void door.stop(),
    );
    const { url } = await server.listen();
    down.add(
      (deadlineMs) => server.drain(deadlineMs),
      () => void server.stop(),
    );
    manager.start();
    down.add(async () => {
      server.beginDraining();
      // From now on each answer sends its connection to another replica.
      door.beginDraining();
      await manager.stop();
    });
    // Each of them reads: a job that two make is one.
    messages?.start();
    down.add(() => messages?.stop() ?? Promise.resolve());
    logger.info({ event: 'session_manager_ready', url, stores_url: storesUrl }, 'session manager ready');
    return down.part(url);
  } catch (error) {
    await down.run({ force: true });
    throw error;
  }
}
