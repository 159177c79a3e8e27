// Owners of sessions stopped for longer than their lease and continued, with clocks that are wrong and a Redis that
// is emptied: nothing that they still write is told to anybody.

import assert from 'node:assert/strict';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { EventOnWire } from '../../src/api/events.ts';
import type { ListOf } from '../../src/api/list.ts';
import type { SessionResource } from '../../src/api/sessions.ts';
import { isTerminalEventType, parseCursor } from '../../src/core/event.ts';
import { epochsNeverDecrease } from '../../src/testing/faults/history-checks.ts';
import { OracleModel } from '../../src/testing/faults/oracle-model.ts';
import type { SeededRandom } from '../../src/testing/faults/seeded-random.ts';
import { storedEvent } from '../../src/testing/stored-events.ts';
import { eventually } from '../e2e/eventually.ts';
import { seededRun } from '../faults/fault-scale.ts';
import { KeptHistory, type ReadAgain } from '../faults/kept-history.ts';
import { recordReliability } from '../faults/reliability-record.ts';
import { linesWrong } from './done-lines.ts';
import {
  assertAloud,
  FollowedStreams,
  goneFrom,
  type GoneEvent,
  saysTheSameEnd,
  seenBySession,
} from './followed-streams.ts';
import { epochsStrictlyGrow, OwnerWatch } from './owner-watch.ts';
import { RedisAtRisk } from './redis-at-risk.ts';
import { type ClusterSetup, placeOf, RunningCluster } from './running-cluster.ts';
import { StaleWriters } from './stale-writers.ts';

const tenant = 'default';
const leaseMs = 1_000;
const sessions = 12;
const sessionsAtOnce = 6;
/** With fewer, the stop would tell little. */
const mostTries = 6;
const heldAtLeast = 3;
const hourMs = 3_600_000;
/** Of Node's clocks against that of Redis and among themselves. */
const wrongByMs: Readonly<Record<string, number>> = {
  'worker-1': hourMs,
  'worker-2': -hourMs,
  'gateway-1': -hourMs,
  'gateway-2': hourMs,
  'session-manager-1': hourMs / 2,
};
const wrongClock = pathToFileURL(path.join(import.meta.dirname, 'wrong-clock-child.ts')).href;

export type StoppedOwners = {
  readonly storage: NonNullable<ClusterSetup['storage']>;
  /** One owner of one session that was stopped in a turn, and continued. */
  readonly rounds: number;
};

type Stage = {
  readonly cluster: RunningCluster;
  readonly redis: RedisAtRisk;
  readonly history: KeptHistory;
  readonly streams: FollowedStreams;
  readonly owners: OwnerWatch;
  /** null with records in a file. */
  readonly writers: StaleWriters | null;
  readonly random: SeededRandom;
};

type Counts = {
  rounds: number;
  stops: number;
  /** At the end of each: how much had been seen by then. */
  readonly flushes: number[];
  refused: number;
  /** Of commits, by the records. */
  refusedCommits: number;
  prompts: number;
};

/** For the test's own time limit, on a machine that does other things. */
export function stoppedOwnersTimeoutMs({ rounds }: StoppedOwners): number {
  return 420_000 * Math.max(1, rounds / 60);
}

export async function stoppedOwners(t: TestContext, { rounds, storage }: StoppedOwners): Promise<void> {
  const random = seededRun(t);
  const redis = await RedisAtRisk.start(t, 'none');
  if (redis === null) return;
  await using oracle = await OracleModel.start();
  const cluster = await RunningCluster.start(t, {
    gateways: 2,
    workers: 2,
    managers: 1,
    storage,
    modelFlags: oracle.flags,
    workerFlags: ['--slots', '8', '--warm-slots', '3'],
    redisUrl: redis.server.url,
    env: { CODEX_FLEET_CLUSTER_LEASE_MS: String(leaseMs), CODEX_FLEET_CLUSTER_HEARTBEAT_MS: '100' },
    memberEnv: (name, env) => ({
      ...env,
      NODE_OPTIONS: `--import=${wrongClock}`,
      WRONG_CLOCK_BY_MS: String(wrongByMs[name] ?? 0),
    }),
  }).catch(async (error: unknown) => {
    await redis.stop();
    throw error;
  });
  assert.ok(cluster !== null);
  // Registered behind the cluster's own, it runs behind it.
  t.after(() => redis.stop());
  // A cage dies with the heartbeat of its worker: a worker that goes on before anybody took the session says so
  // of its turn, and of the session when that comes twice in a row. A process that is stopped in the middle of a
  // write holds the records' file for as long: what cannot be begun then is said to be.
  const said: readonly unknown[] = ['agent_crashed', 'session_failed', 'store_unavailable'];
  using history = new KeptHistory(cluster, oracle, ({ error, reason }) => {
    return said.includes(error?.code) && reason === 'crash';
  });
  const streams = new FollowedStreams(history);
  const owners = cluster.google === null ? OwnerWatch.ofFile(cluster.dataDir) : OwnerWatch.ofFirestore(cluster.google);
  const writers = cluster.google === null ? null : await StaleWriters.open(cluster.google);
  const stage: Stage = { cluster, redis, history, streams, owners, writers, random };
  const counts: Counts = { rounds: 0, stops: 0, flushes: [], refused: 0, refusedCommits: 0, prompts: 0 };
  try {
    const startedMs = performance.now();
    while (counts.rounds < rounds) await stopAnOwner(stage, counts);
    t.diagnostic(`${JSON.stringify(counts)} in ${Math.round(performance.now() - startedMs)} ms`);
    await goOn(stage, counts);
    await holds(t, stage, await history.settle(), counts, { rounds, storage });
  } finally {
    for (const { name } of cluster.cluster.members('worker')) signal(cluster, name, 'SIGCONT');
    await owners.close();
    await writers?.close();
    const ended = streams.end();
    await cluster.restartGateways();
    await ended;
  }
}

async function stopAnOwner(stage: Stage, counts: Counts): Promise<void> {
  const { cluster, history, random, redis, streams, writers } = stage;
  const names = Array.from({ length: sessionsAtOnce }, (_, index) => {
    return `stopped-${(counts.stops * sessionsAtOnce + index) % sessions}`;
  });
  let busy: { worker: string; held: string[] } | null = null;
  for (let tries = 0; busy === null && tries < mostTries; tries += 1) {
    // Two at once for each, by two gateways: one runs, one waits, or is taken along.
    const sent = names.flatMap((name) => [
      send(stage, counts, name, (line) => `run: echo ${line} >> done.txt\nstream: 40 words at 30 ms\nsay: ${line}`),
      send(stage, counts, name, (line) => `run: echo ${line} >> done.txt\nsay: ${line}`),
    ]);
    await Promise.all(sent);
    streams.follow(...names);
    // By the time that we look they may have ended: then they are asked for more.
    busy = await busiest(cluster).catch(() => null);
  }
  const { held, worker } = busy ?? assert.fail('a worker has something to lose');

  signal(cluster, worker, 'SIGSTOP');
  // What it knew, and might still write when it goes on.
  const known = await writers?.remember(held);
  try {
    const stoppedMs = leaseMs * (1.5 + 1.5 * random.next());
    await new Promise((resolve) => setTimeout(resolve, stoppedMs / 2));
    const isFlushed = counts.stops % 3 === 2;
    if (isFlushed) await redis.flush();
    await new Promise((resolve) => setTimeout(resolve, stoppedMs / 2));
    if (isFlushed) counts.flushes.push(history.seen.length);
  } finally {
    signal(cluster, worker, 'SIGCONT');
  }
  // As the stopped one might, behind everybody's back.
  for (const id of held) counts.refused += await planted(redis, id);
  if (writers !== null && known !== undefined) counts.refusedCommits += await writers.plant(known);
  counts.stops += 1;
  counts.rounds += held.length;
}

async function send(stage: Stage, counts: Counts, name: string, promptOf: (line: string) => string): Promise<void> {
  counts.prompts += 1;
  await stage.history.send(promptOf(`line-${counts.prompts}`), name, { queue_timeout_ms: 300_000 });
}

/** The worker on which most turns run, and whose they are. */
async function busiest(cluster: RunningCluster): Promise<{ worker: string; held: string[] }> {
  return await eventually('a worker has something to lose', 10_000, async () => {
    const answer = await cluster.client.request<ListOf<SessionResource>>('GET', '/api/v1/sessions?limit=100');
    if (answer.status !== 200) return null;
    const busy = answer.body.data.filter(({ status }) => status === 'running');
    const byWorker = cluster.cluster
      .members('worker')
      .map(({ name }) => ({ worker: name, held: busy.filter(({ worker }) => worker === name).map(({ id }) => id) }));
    const [most] = byWorker.toSorted((one, other) => other.held.length - one.held.length);
    return most !== undefined && most.held.length >= heldAtLeast ? most : null;
  });
}

function signal(cluster: RunningCluster, name: string, which: 'SIGSTOP' | 'SIGCONT'): void {
  const pid = cluster.cluster.members('worker').find((one) => one.name === name)?.pid;
  if (pid !== undefined && pid !== null) process.kill(pid, which);
}

/** Writes as an owner before the one that wrote last would, at the very next place; 1 when its epoch was refused. */
async function planted(redis: RedisAtRisk, sessionId: string): Promise<number> {
  const key = { tenant, sessionId };
  const { lastSeq } = await redis.log.read(key, Number.MAX_SAFE_INTEGER - 1, 1);
  const [last] = (await redis.log.read(key, lastSeq - 1, 1)).events;
  // Between the raised epoch in the record and the opened log, the one before may still say its last word.
  const epoch = (last?.header.epoch ?? 1) - 1;
  if (epoch < 1) return 0;
  const event = storedEvent({ key, epoch, seq: lastSeq + 1, text: 'written by nobody who may' });
  const { outcome } = await redis.log.append(key, epoch, [event]);
  // Fenced by its epoch; or nobody has opened the log again since Redis was emptied, and that proves less.
  assert.ok(outcome === 'stale_epoch' || outcome === 'log_lost', `an append at epoch ${epoch} is ${outcome}`);
  return outcome === 'stale_epoch' ? 1 : 0;
}

/** Every session, once more: what only a lost log had is told again by whoever takes it. */
async function goOn(stage: Stage, counts: Counts): Promise<void> {
  const ids = new Set(stage.history.turns.map(({ sessionId }) => sessionId));
  for (const id of ids) await send(stage, counts, id, (line) => `run: echo ${line} >> done.txt\nsay: ${line}`);
}

async function holds(
  t: TestContext,
  stage: Stage,
  settled: ReadAgain,
  counts: Counts,
  { storage }: StoppedOwners,
): Promise<void> {
  const { cluster, history, owners, writers } = stage;
  assert.deepEqual(epochsStrictlyGrow(owners.seen), []);
  let takeovers = 0;
  const logs = new Map<string, readonly EventOnWire[]>();
  for (const { sessionId } of history.turns)
    if (!logs.has(sessionId)) logs.set(sessionId, await cluster.client.pages(sessionId));
  for (const [sessionId, log] of logs) {
    takeovers += log.filter(({ type }) => type === 'session.recovering').length;
    assert.ok(!log.some((event) => String(event['text']).includes('written by nobody')), 'nothing planted is there');
    const last = log.at(-1) ?? assert.fail('the log has events');
    assert.ok(epochOf(last) <= owners.epochOf(sessionId), 'no event of a later epoch than the record is at');
    await eventually('the client has come to the end', 60_000, () =>
      history.seen.some(({ text }) => text === JSON.stringify(last)),
    );
    assertAloud(seenBySession(history.seen).get(sessionId) ?? [], log);
    assert.deepEqual(await linesWrong(cluster, sessionId, settled), []);
  }
  const gone = goneFrom(logs, history.seen);
  for (const one of gone) assertMayBeGone(one, logs, settled, counts);
  assert.deepEqual(
    settled.problems.filter((problem) => !gone.some(({ problem: told }) => problem.startsWith(told))),
    [],
  );
  assertCanFail(owners, history);
  const done = `${JSON.stringify(settled.ends)} of ${settled.turns.length} turns`;
  t.diagnostic(
    `${done}; ${takeovers} takeovers, ${owners.seen.length} owners seen, ${counts.refused} stale appends and ${counts.refusedCommits} stale commits refused, ${gone.length} events gone with Redis`,
  );
  assert.ok(takeovers >= counts.rounds / 2, `sessions were taken over: ${takeovers}`);
  assert.ok(counts.refused > 0, 'stale appends were tried');
  if (writers !== null) assert.ok(counts.refusedCommits > 0, 'stale commits were tried');
  recordReliability({
    fault: `the owner stopped for 1.5 to 3 leases and continued; clocks up to two hours apart, two gateways racing, Redis flushed in a third of the stops${placeOf(storage)}`,
    count: `${counts.rounds} owners of sessions in ${counts.stops} stops, ${counts.flushes.length} flushes`,
    result:
      `${done}; ${takeovers} takeovers, epochs strictly grew, nothing was delivered under an epoch that was over; ` +
      `${gone.length} events behind the last commit went with Redis and a stopped writer, each told by a later epoch; no prompt ran twice, files of committed turns whole`,
    control: `${counts.refused} planted stale appends${writers === null ? '' : ` and ${counts.refusedCommits} commits of what stale owners knew`} were refused; two owners of an epoch and a log that goes back are found`,
  });
}

function epochOf({ cursor }: EventOnWire): number {
  return parseCursor(cursor)?.epoch ?? 0;
}

/** Only with Redis emptied while its writer was stopped, only behind the last commit, and no end is lost for good. */
function assertMayBeGone(
  { event, index }: GoneEvent,
  logs: ReadonlyMap<string, readonly EventOnWire[]>,
  { turns }: ReadAgain,
  { flushes }: Counts,
): void {
  const what = `${event.type} at ${event.cursor} of ${event.session_id}`;
  assert.ok(
    flushes.some((mark) => index < mark),
    `nothing is gone that came behind the last flush: ${what}`,
  );
  const status = turns.find(({ id }) => id === event.turn_id)?.status ?? 'none';
  const isCommitted = status === 'completed' && event.type !== 'turn.queued';
  if (!isCommitted && !isTerminalEventType(event.type)) return;
  assert.ok(
    logs.get(event.session_id)?.some((one) => saysTheSameEnd(one, event)) === true,
    `an end is told again: ${what}`,
  );
}

/** Every check is shown what it must not pass. */
function assertCanFail(owners: OwnerWatch, history: KeptHistory): void {
  const one = owners.seen.findLast(({ epoch }) => epoch > 1) ?? assert.fail('some session was taken over');
  assert.notDeepEqual(epochsStrictlyGrow([one, { ...one, boot: 'another' }]), [], 'two owners of an epoch');
  assert.notDeepEqual(epochsStrictlyGrow([one, { ...one, epoch: one.epoch - 1 }]), [], 'an epoch that goes back');
  const own = seenBySession(history.seen).get(one.sessionId) ?? [];
  const later = own.findIndex(({ cursor }) => !cursor.startsWith('1.'));
  const stale = { ...(own[later + 1] ?? assert.fail('it was seen')), cursor: `1.${own[later + 1]?.seq}` };
  const spoilt = new Map([['spoilt', own.toSpliced(later + 1, 1, stale)]]);
  assert.notDeepEqual(epochsNeverDecrease(spoilt), [], 'an event of a stale epoch');
}
