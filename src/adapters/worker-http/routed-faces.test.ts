// Routing over real sockets: two workers' faces, a directory and a registry in memory.

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { MemorySessionDirectory } from '../memory/memory-session-directory.ts';
import type { KnownWorker } from '../../contracts/worker-registry.ts';
import { createSilentLogger } from '../../observability/logger.ts';
import { createMetrics } from '../../observability/metrics.ts';
import { SystemClock } from '../../observability/system-clock.ts';
import { bytesOf } from '../../testing/live-workspace.ts';
import {
  faceKey as key,
  fleetSecret,
  startWorkerFace,
  type RunningWorkerFace,
} from '../../testing/running-worker-face.ts';
import { internalCredential } from './internal-credential.ts';
import { RoutedWorkers, type RoutedWorkersParts } from './routed-workers.ts';
import { WorkerHttpLink } from './worker-http-link.ts';

const clock = new SystemClock();
const turn = { ...key, turnId: '019f0000-0000-7000-8000-0000000000a1' };

test('a turn passes by a worker that is gone, and is taken once', async (t) => {
  const started: string[] = [];
  const [gone, live] = await Promise.all([face(t, 'w1', started), face(t, 'w2', started)]);
  const routed = routeTo(t, [gone, live]);
  await gone.stop();
  await Promise.all(Array.from({ length: 20 }, (_, n) => routed.startTurn({ ...turn, turnId: `turn-${n}` })));
  assert.equal(started.length, 20);
  assert.ok(started.every((one) => one.startsWith('w2 ')));
});

test('files of a session whose worker is gone are read from another', async (t) => {
  const [gone, live] = await Promise.all([face(t, 'w1', []), face(t, 'w2', [])]);
  const directory = new MemorySessionDirectory(clock);
  await directory.claim({ ...key, worker: 'w1', epoch: 1 }, 60_000);
  for (const { files, id } of [gone, live]) writeFileSync(join(files.ws, 'who'), id);
  const routed = routeTo(t, [gone, live], { directory });
  assert.equal((await bytesOf((await routed.readFile(key, 'who', null)).content)).toString(), 'w1');
  await gone.stop();
  assert.equal((await bytesOf((await routed.readFile(key, 'who', null)).content)).toString(), 'w2');
});

test('an upload passes by a worker that is gone and arrives whole', async (t) => {
  const [gone, live] = await Promise.all([face(t, 'w1', []), face(t, 'w2', [])]);
  mkdirSync(join(live.files.ws, 'in'));
  const routed = routeTo(t, [gone, live]);
  await gone.stop();
  for (let n = 0; n < 5; n += 1) {
    const content = (async function* () {
      for (let piece = 0; piece < 10; piece += 1) yield Buffer.alloc(50_000, String(piece));
    })();
    const write = { path: `in/${n}`, content, isExecutable: false, ifMatch: null, ifNoneMatch: false };
    await routed.writeFile(key, write);
    assert.equal((await bytesOf((await live.files.link.readFile(key, `in/${n}`, null)).content)).length, 500_000);
  }
});

test('a worker that is started again at its old address is used again', async (t) => {
  const started: string[] = [];
  const first = await face(t, 'w1', started);
  const url = first.url;
  const port = Number(new URL(url).port);
  const routed = routeTo(t, [], { staticUrls: [url], heartbeatMs: 250 });
  routed.start();
  await routed.startTurn(turn);
  await first.stop();
  await startWorkerFace(t, {
    id: 'w1',
    boot: 'second',
    port,
    worker: { startTurn: async ({ turnId }) => void started.push(`second ${turnId}`) },
  });
  for (;;) {
    const boots = (await routed.workers()).map(({ boot }) => boot);
    if (boots.includes('second')) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await routed.startTurn(turn);
  assert.deepEqual(started, [`w1 ${turn.turnId}`, `second ${turn.turnId}`]);
});

function face(t: TestContext, id: string, started: string[]): Promise<RunningWorkerFace> {
  return startWorkerFace(t, {
    id,
    worker: { startTurn: async ({ turnId }) => void started.push(`${id} ${turnId}`) },
  });
}

function routeTo(
  t: TestContext,
  faces: readonly RunningWorkerFace[],
  overrides: Partial<RoutedWorkersParts> = {},
): RoutedWorkers {
  const routed = new RoutedWorkers({
    registry: { list: async () => ({ workers: faces.map(entryOf), knownForMs: Infinity }) },
    directory: new MemorySessionDirectory(clock),
    links: ({ boot, id, url }) =>
      new WorkerHttpLink({ id, boot, url, credential: internalCredential(fleetSecret, 'worker', boot), clock }),
    clock,
    logger: createSilentLogger(),
    metrics: createMetrics(),
    random: Math.random,
    heartbeatMs: 1000,
    leaseMs: 10_000,
    ...overrides,
  });
  t.after(() => routed.stop());
  return routed;
}

function entryOf({ boot, id, url }: RunningWorkerFace): KnownWorker {
  return {
    id,
    boot,
    url,
    state: 'ready',
    slots: { limit: 4, starting: 0, idle: 4, bound: 0 },
    busySessions: 0,
    waitingTurns: 0,
    isolation: { cage: 'own-root', cageProblem: null, innerSandbox: 'bubblewrap', innerSandboxProblem: null },
    codexVersion: '0.0.0',
    fleetVersion: '0.0.0',
    startedAt: 0,
    silentMs: 0,
  };
}
