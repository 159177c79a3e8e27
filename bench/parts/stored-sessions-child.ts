// Makes a data directory with many sessions that rest, straight through the stores, and their events in Redis;
// then does one pass of each kind of the session manager over them.

import { statSync } from 'node:fs';
import path from 'node:path';
import { RedisConnection } from '../../src/adapters/redis/redis-connection.ts';
import { RedisEventLog } from '../../src/adapters/redis/redis-event-log.ts';
import { SqliteStore } from '../../src/adapters/sqlite/sqlite-store.ts';
import { openClusterDir } from '../../src/app/cluster-dir.ts';
import { loadConfigFromProcess } from '../../src/config/load-from-process.ts';
import { ServiceError } from '../../src/core/errors.ts';
import { mintId } from '../../src/core/ids.ts';
import { defaultPolicy, unusedSession } from '../../src/core/session.ts';
import { newTurn } from '../../src/core/turn.ts';
import { noUsage } from '../../src/core/usage.ts';
import { Failover } from '../../src/manager/failover.ts';
import { RecoveryDesk } from '../../src/manager/recovery-desk.ts';
import { TurnDispatch } from '../../src/manager/turn-dispatch.ts';
import { Upkeep } from '../../src/manager/upkeep.ts';
import { createLogger } from '../../src/observability/logger.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { SystemClock } from '../../src/observability/system-clock.ts';
import { storedEvents } from '../../src/testing/stored-events.ts';
import { serveParent } from './serve-parent.ts';
import type { LogJob, Passes, Stored, StoreJob } from './stored-sessions-facts.ts';

const tenant = 'default';
const atOnce = 256;
const clock = new SystemClock();
const logger = createLogger({ level: 'warn', role: 'session-manager' });
let store: SqliteStore | null = null;
let ids: readonly string[] = [];

serveParent({ start, log, passes, close }, close);

async function start({ dataDir, sessions, turnsEach }: StoreJob): Promise<Stored> {
  // Made as a cluster makes it, so that one starts on it later.
  await (await openClusterDir(loadConfigFromProcess({ '--data-dir': dataDir }).config)).close();
  const file = path.join(dataDir, 'fleet.db');
  const startedMs = performance.now();
  const filled = await SqliteStore.open({ path: file, clock });
  ids = Array.from({ length: sessions }, () => mintId());
  const { records } = filled;
  await inLanes(ids, async (id) => {
    const at = clock.now();
    await records.sessions.create({
      ...{ tenant, id, alias: null, revision: 1, status: 'hibernated', title: 'a session that rests' },
      ...{ metadata: { customer: 'a-customer' }, createdBy: 'bench', model: null, policy: defaultPolicy },
      ...unusedSession,
      ...{ usage: noUsage, createdAt: at, lastAccessedAt: at },
    });
    for (let turn = 0; turn < turnsEach; turn += 1) {
      await records.turns.create({
        ...newTurn,
        ...{ tenant, id: mintId(), sessionId: id, prompt: 'what is there to be done with this?'.repeat(4) },
        ...{ model: null, effort: null, outputSchema: null, timeoutMs: 60_000, queueTimeoutMs: 60_000 },
        ...{ requestHash: null, status: 'completed', finalMessage: 'this was done, and that.'.repeat(8) },
        ...{ createdAt: at, startedAt: at, endedAt: at },
      });
    }
  });
  await filled.close();
  const tookMs = performance.now() - startedMs;
  // As every role does at its start.
  const openedMs = performance.now();
  store = await SqliteStore.open({ path: file, clock });
  await store.findDamage();
  return { tookMs, databaseBytes: statSync(file).size, openMs: performance.now() - openedMs };
}

async function log({ eventsEach, redisUrl }: LogJob): Promise<number> {
  const connection = await RedisConnection.open({ url: redisUrl, keyPrefix: 'codex-fleet:', clock, logger });
  const events = new RedisEventLog(connection);
  try {
    await inLanes(ids, async (sessionId) => {
      const key = { tenant, sessionId };
      await events.open(key, 1, 0);
      await events.append(key, 1, storedEvents(key, 1, 1, eventsEach));
    });
    return ids.length;
  } finally {
    events.close();
    await connection.close();
  }
}

/** Nobody is lost and nothing waits: what it costs to find that out. */
async function passes(): Promise<Passes> {
  if (store === null) throw new Error('nothing is stored');
  const { directory, records } = store;
  const worker = { recoverSession: () => Promise.reject(new ServiceError('no_worker_ready')) };
  const desk = new RecoveryDesk({ worker, clock, logger });
  const owners = { ownershipOf: async () => 'owned' as const, isOrphaned: async () => false };
  const upkeep = new Upkeep({
    ...{ records, directory, clock, logger },
    dropEventsBefore: async () => 0,
    eraseSession: async () => {},
    settings: { retainEventsMs: 86_400_000, retainSessionsMs: 30 * 86_400_000 },
  });
  const failover = new Failover({ ...{ desk, owners, records, clock, logger }, leaseMs: 10_000 });
  const dispatch = new TurnDispatch({ desk, owners, directory, records, clock, logger, metrics: createMetrics() });
  return {
    upkeepMs: await timed(() => upkeep.pass(() => false)),
    failoverMs: await timed(() => failover.pass(() => false)),
    dispatchMs: await timed(() => dispatch.pass(() => false)),
  };
}

async function close(): Promise<void> {
  await store?.close();
  store = null;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

async function inLanes(keys: readonly string[], work: (key: string) => Promise<void>): Promise<void> {
  const left = keys.values();
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (const key of left) await work(key);
    }),
  );
}
