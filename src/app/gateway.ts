// A gateway of a cluster: the public door, without a worker of its own. Keeps nothing that another gateway
// would miss. In this order up, in the reverse order down.

import type { Config } from '../config/resolve.ts';
import { createGateway } from '../gateway/gateway.ts';
import { createLogger } from '../observability/logger.ts';
import { createMetrics } from '../observability/metrics.ts';
import { SystemClock } from '../observability/system-clock.ts';
import { itemOfLine } from '../protocol/items.ts';
import { SealedReplay } from '../snapshot/sealed-replay.ts';
import { Snapshots } from '../snapshot/snapshots.ts';
import { openClusterDir } from './cluster-dir.ts';
import { connectModelProxy } from './cluster-model.ts';
import { openClusterStores } from './cluster-stores.ts';
import { countedClusterStores } from './counted-stores.ts';
import { startClusterWorkers } from './cluster-workers.ts';
import { tokenOfDataDir } from './data-dir.ts';
import { gatewaySettings } from './gateway-settings.ts';
import { httpLimits } from './limits.ts';
import { openOutbox } from './outside.ts';
import { type RunningPart, Teardown } from './running-part.ts';
import { openTracing } from './tracing.ts';
import { fleetVersion } from './version.ts';

/** A client that asks in this time is told to go to another gateway, and meets no connection that just ends. */
const keepIdleMs = 2_000;

export async function startGateway(config: Config): Promise<RunningPart> {
  const clock = new SystemClock();
  const logger = createLogger({
    level: config.log.level,
    role: 'gateway',
    pretty: config.log.format === 'pretty',
    showPrompts: config.log.prompts,
  });
  const metrics = createMetrics({ processMetrics: true, process: { role: 'gateway', version: fleetVersion } });
  const down = new Teardown(clock, config.server.drainTimeoutMs);
  try {
    const dir = await openClusterDir(config);
    down.add(() => dir.close());
    const stores = countedClusterStores(
      await openClusterStores({
        config,
        dataDir: dir.path,
        reserve: null,
        checksRecords: false,
        clock,
        logger,
      }),
      metrics,
    );
    down.add(() => stores.close());
    const tracing = await openTracing(config, 'gateway');
    down.add(() => tracing.stop());
    const { clusterSecret } = dir;
    const model = connectModelProxy(config, clusterSecret, clock);
    down.add(() => model.link.close());
    const workers = startClusterWorkers({ config, clusterSecret, stores, clock, logger, metrics });
    down.add(() => workers.stop());
    // For reading what snapshots hold of a session's events: none is taken here.
    const snapshots = new Snapshots({
      ...{ clock, logger, fleetVersion },
      store: stores.snapshots,
      log: stores.log,
      codexVersion: '',
      limits: {},
    });
    down.add(() => snapshots.stop());

    const { records } = stores;
    const outbox = openOutbox({ config, records, clock });
    const gateway = createGateway({
      ...{ clock, logger, metrics, outbox, records, tracing },
      log: new SealedReplay(stores.log, records.sessions, snapshots),
      logKnownForMs: () => stores.directory.knownForMs(),
      worker: workers,
      workspace: workers,
      fleet: workers,
      outlivedByWorkers: true,
      ticketStore: stores.tickets,
      rateLimiter: stores.rates,
      models: () => model.link.status(),
      wholeItem: itemOfLine,
      tokens: [tokenOfDataDir(dir), ...config.tokens],
      idempotencySecret: dir.idempotencySecret,
      ...gatewaySettings(config),
      httpLimits: { ...httpLimits(config), keepIdleMs },
    });
    const { url } = await gateway.listen();
    down.add(
      (deadlineMs) => gateway.drain(deadlineMs),
      () => void gateway.stop(),
    );
    await dir.announce(url);
    logger.info({ event: 'gateway_ready', url }, 'gateway ready');
    return down.part(url);
  } catch (error) {
    await down.run({ force: true });
    throw error;
  }
}
