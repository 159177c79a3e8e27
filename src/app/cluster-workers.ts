// The workers of a cluster as the other roles see them: one, to whom each call finds its way.

import { internalCredential } from '../adapters/worker-http/internal-credential.ts';
import { RoutedWorkers } from '../adapters/worker-http/routed-workers.ts';
import { WorkerHttpLink } from '../adapters/worker-http/worker-http-link.ts';
import type { Config } from '../config/resolve.ts';
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../observability/logger.ts';
import type { Metrics } from '../observability/metrics.ts';
import type { ClusterStores } from './cluster-stores.ts';

export type ClusterWorkersParts = {
  readonly config: Config;
  readonly clusterSecret: string;
  readonly stores: Pick<ClusterStores, 'registry' | 'directory'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
};

/** Follows the fleet until it is stopped. */
export function startClusterWorkers(parts: ClusterWorkersParts): RoutedWorkers {
  const { clock, clusterSecret, config, logger, metrics, stores } = parts;
  const workers = new RoutedWorkers({
    ...{ clock, logger, metrics },
    registry: stores.registry,
    directory: stores.directory,
    links: (address) =>
      new WorkerHttpLink({
        ...address,
        credential: internalCredential(clusterSecret, 'worker', address.boot),
        clock,
      }),
    random: Math.random,
    heartbeatMs: config.cluster.heartbeatMs,
    leaseMs: config.cluster.leaseMs,
    staticUrls: config.server.workers,
  });
  workers.start();
  return workers;
}
