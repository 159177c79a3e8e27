import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WorkerEntry, WorkerRegistry } from '../contracts/worker-registry.ts';
import { createLogger } from '../observability/logger.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { Heartbeat } from './heartbeat.ts';

const entry: WorkerEntry = {
  id: 'worker-1',
  boot: 'b-1',
  url: 'http://127.0.0.1:7000',
  state: 'ready',
  slots: { limit: 2, starting: 0, idle: 2, bound: 0 },
  busySessions: 0,
  waitingTurns: 0,
  isolation: { cage: 'none', cageProblem: null, innerSandbox: 'none', innerSandboxProblem: null },
  codexVersion: '0.169.0',
  fleetVersion: '0.1.0',
  startedAt: 0,
};

function beating(announce: () => Promise<boolean>) {
  const clock = new FakeClock();
  const said: string[] = [];
  const registry: Pick<WorkerRegistry, 'announce' | 'withdraw'> = {
    announce: async ({ state }) => {
      said.push(`${clock.monotonicMs()} ${state}`);
      return await announce();
    },
    withdraw: async (id, boot) => void said.push(`withdrawn ${id} ${boot}`),
  };
  const heartbeat = new Heartbeat({
    registry: registry as WorkerRegistry,
    entry: async () => entry,
    everyMs: 1_000,
    clock,
    logger: createLogger({ level: 'silent', role: 'test' }),
    onReplaced: () => said.push('replaced'),
  });
  return { clock, heartbeat, said };
}

test('a worker is heard of at once, every second, at a change, and is forgotten when it stops', async () => {
  const { clock, heartbeat, said } = beating(async () => true);
  await heartbeat.start();
  await clock.advanceAsync(2_500);
  await heartbeat.beat();
  await clock.advanceAsync(1_000);
  await heartbeat.stop();
  await clock.advanceAsync(10_000);
  assert.deepEqual(said, ['0 ready', '1000 ready', '2000 ready', '2500 ready', '3500 ready', 'withdrawn worker-1 b-1']);
  assert.equal(clock.pendingTimers, 0);
});

test('a registry that is away is told again, and does not keep a worker from starting', async () => {
  let isAway = true;
  const { clock, heartbeat, said } = beating(async () => (isAway ? Promise.reject(new Error('away')) : true));
  await heartbeat.start();
  isAway = false;
  await clock.advanceAsync(1_000);
  assert.deepEqual(said, ['0 ready', '1000 ready']);
  await heartbeat.stop();
});

test('a worker whose name another run has taken is told once and says no more', async () => {
  const { clock, heartbeat, said } = beating(async () => false);
  await heartbeat.start();
  await clock.advanceAsync(5_000);
  assert.deepEqual(said, ['0 ready', 'replaced']);
  assert.equal(clock.pendingTimers, 0);
});
