// A worker of a cluster as the product composes it (records, snapshots, Redis, the internal face, heartbeats),
// around agents that cost nothing: what is measured is what the fleet does for a turn.

import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { internalCredential } from '../../src/adapters/worker-http/internal-credential.ts';
import { openClusterDir, openWorkerDir } from '../../src/app/cluster-dir.ts';
import { openClusterStores } from '../../src/app/cluster-stores.ts';
import { Teardown } from '../../src/app/running-part.ts';
import { fleetVersion } from '../../src/app/version.ts';
import { openOutbox } from '../../src/app/outside.ts';
import { startWorkerParts } from '../../src/app/worker-parts.ts';
import { loadConfigFromProcess } from '../../src/config/load-from-process.ts';
import { mintId } from '../../src/core/ids.ts';
import { TokenSet } from '../../src/http/bearer.ts';
import { createLogger } from '../../src/observability/logger.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { SystemClock } from '../../src/observability/system-clock.ts';
import { noTracing } from '../../src/observability/tracing.ts';
import { noWorkspace } from '../../src/testing/no-workspace.ts';
import { Heartbeat } from '../../src/worker/heartbeat.ts';
import { registerInternalFace } from '../../src/worker/internal-face.ts';
import { createWorkerServer } from '../../src/worker/worker-server.ts';
import { scriptedAgent } from './scripted-agent.ts';
import type { ScriptedMemberJob, ScriptedMemberReady } from './scripted-cluster-facts.ts';
import { serveParent } from './serve-parent.ts';

const stopMs = 5_000;
const clock = new SystemClock();
const down = new Teardown(clock, stopMs);

serveParent({ start }, () => down.run({ force: true }));

async function start({ flags }: ScriptedMemberJob): Promise<ScriptedMemberReady> {
  const { config } = loadConfigFromProcess(flags);
  const logger = createLogger({ level: 'info', role: 'worker' }).child({ worker_id: config.worker.id });
  const metrics = createMetrics();
  const cluster = await openClusterDir(config);
  down.add(() => cluster.close());
  const own = await openWorkerDir(cluster.path, config.worker.id);
  down.add(() => own.close());
  const stores = await openClusterStores({
    config,
    dataDir: cluster.path,
    reserve: null,
    checksRecords: false,
    clock,
    logger,
  });
  down.add(() => stores.close());
  const { boot, snapshots, worker } = await startWorkerParts({
    ...{ config, stores, reserve: null, checksRecords: false, clock, logger, metrics, tracing: noTracing },
    dir: own.path,
    outbox: openOutbox({ config, records: stores.records, clock }),
    codex: {
      version: '0.0.0',
      isolation: { cage: 'own-root', cageProblem: null, innerSandbox: 'bubblewrap', innerSandboxProblem: null },
      startAgent: async (slot) => {
        for (const place of ['ws', 'home', 'tmp']) await mkdir(path.join(slot.dir, place), { recursive: true });
        return scriptedAgent(clock, (message, line) => slot.listener?.onNotification(message, line));
      },
    },
    grants: {
      issue: async () => ({ id: mintId(), credential: 'none' }),
      beginTurn: async () => {},
      endTurn: async () => {},
      revoke: async () => {},
    },
  });
  down.add(() => snapshots.stop());
  const server = createWorkerServer({
    ...{ worker, clock, logger, metrics },
    records: stores.records,
    log: stores.log,
    tokens: new TokenSet([]),
    listen: { host: '127.0.0.1', port: 0 },
    limits: {},
    promptBodyBytes: config.server.bodyLimitExecBytes,
    timeoutMs: config.turns.timeoutMs,
    queueTimeoutMs: config.turns.queueTimeoutMs,
  });
  registerInternalFace(server.app, {
    ...{ boot, fleetVersion, worker, clock, logger },
    credential: internalCredential(cluster.clusterSecret, 'worker', boot),
    workspace: noWorkspace,
    drain: () => {},
  });
  const { url } = await server.listen();
  down.add(() => server.drain(0));
  const heartbeat = new Heartbeat({
    ...{ clock, logger },
    registry: stores.registry,
    everyMs: config.cluster.heartbeatMs,
    entry: async () => {
      const { boundSessions: _, ...status } = await worker.status();
      return { ...status, ...{ boot, fleetVersion, url }, state: 'ready' };
    },
    onReplaced: () => {},
  });
  down.add(() => heartbeat.stop());
  down.add(
    () => worker.stop(0),
    () => worker.hurry(),
  );
  await heartbeat.start();
  return { url, token: cluster.token };
}
