import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { isServiceError, ServiceError } from '../core/errors.ts';
import { createLogger } from '../observability/logger.ts';
import { createMetrics } from '../observability/metrics.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { metricValue } from '../testing/metric-value.ts';
import { PlayedAgent } from '../testing/scripted-codex/played-agent.ts';
import { SlotPool } from './slot-pool.ts';

type Bench = { limit?: number; warm?: number; failing?: () => boolean };

async function poolFor(t: TestContext, { failing = () => false, limit = 2, warm = 1 }: Bench = {}) {
  const root = await mkdtemp(path.join(tmpdir(), 'slot-pool-'));
  const clock = new FakeClock();
  const agents: PlayedAgent[] = [];
  const released: number[] = [];
  const starts: number[] = [];
  const metrics = createMetrics();
  const pool = new SlotPool({
    limit,
    warm,
    slotsDir: path.join(root, 'slots'),
    startAgent: async (slot) => {
      starts.push(clock.monotonicMs());
      if (failing()) throw new ServiceError('agent_start_failed');
      await mkdir(slot.dir, { recursive: true });
      const agent = new PlayedAgent({ script: {}, clock, onNotification: () => {} });
      agents.push(agent);
      return agent;
    },
    releaseLongestIdle: () => {
      released.push(clock.monotonicMs());
      return false;
    },
    recycle: { turns: 500, ageMs: 3_600_000, rssBytes: 1e12, openFiles: 1e6 },
    clock,
    logger: createLogger({ level: 'silent', role: 'test' }),
    metrics,
  });
  const dir = path.join(root, 'slots');
  await pool.start();
  t.after(async () => {
    await pool.stop();
    assert.equal(clock.pendingTimers, 0);
    await rm(root, { recursive: true, force: true });
  });
  const until = async (check: () => boolean): Promise<void> => {
    for (let n = 0; n < 2_000 && !check(); n++) await new Promise((resolve) => setTimeout(resolve, 1));
    assert.ok(check());
  };
  const acquire = (tenant = 'acme') => pool.acquire(tenant, () => {});
  return { acquire, agents, clock, dir, metrics, pool, released, starts, until };
}

test('warm slots are kept, and another is started as soon as one is taken', async (t) => {
  const { acquire, pool, until } = await poolFor(t, { limit: 3, warm: 2 });
  await until(() => pool.counts().idle === 2);
  const slot = await acquire().slot;
  await until(() => pool.counts().idle === 2);
  assert.deepEqual(pool.counts(), { starting: 0, idle: 2, bound: 1, stopping: 0 });
  await pool.retire(slot, 'hibernated');
});

test('never more processes than the limit: who comes too late waits, and asks for an idle one', async (t) => {
  const { acquire, agents, pool, released, until } = await poolFor(t, { limit: 1 });
  const first = await acquire().slot;
  const second = acquire();
  await until(() => released.length > 0);
  assert.equal(agents.length, 1);
  await pool.retire(first, 'hibernated');
  const slot = await second.slot;
  assert.notEqual(slot.id, first.id);
  await pool.retire(slot, 'hibernated');
});

test('who cancels waits no more and gets the reason; the next in line gets the slot', async (t) => {
  const { acquire, pool } = await poolFor(t, { limit: 1 });
  const first = await acquire().slot;
  const cancelled = acquire();
  const next = acquire();
  cancelled.cancel(new ServiceError('turn_cancelled'));
  await assert.rejects(cancelled.slot, (error: unknown) => isServiceError(error, 'turn_cancelled'));
  await pool.retire(first, 'hibernated');
  await pool.retire(await next.slot, 'hibernated');
});

test('failed starts are backed off, and those who wait are told after the third', async (t) => {
  let isBroken = true;
  const { acquire, clock, pool, starts } = await poolFor(t, { failing: () => isBroken, limit: 4, warm: 0 });
  const waiting = acquire();
  const refused = assert.rejects(waiting.slot, (error: unknown) => isServiceError(error, 'agent_start_failed'));
  for (let n = 0; n < 40; n++) {
    await clock.advanceAsync(25);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await refused;
  assert.equal(starts.length, 3);
  assert.ok((starts[1] ?? 0) >= 250);
  assert.ok((starts[2] ?? 0) - (starts[1] ?? 0) >= 500);
  isBroken = false;
  const later = acquire();
  for (let n = 0; n < 40; n++) await clock.advanceAsync(50);
  await pool.retire(await later.slot, 'hibernated');
});

test('a warm process that dies is replaced', async (t) => {
  const { agents, pool, until } = await poolFor(t);
  await until(() => pool.counts().idle === 1);
  agents[0]?.end({ exitCode: 1 });
  await until(() => agents.length === 2 && pool.counts().idle === 1);
});

test('a warm process that has grown old is replaced', async (t) => {
  const { agents, clock, pool, until } = await poolFor(t);
  await until(() => pool.counts().idle === 1);
  await clock.advanceAsync(3_602_000);
  await until(() => agents.length === 2 && pool.counts().idle === 1);
  assert.equal(agents[0]?.isGone, true);
});

test('files that cannot be taken out keep the slot’s directory', async (t) => {
  const { acquire, dir, pool, until } = await poolFor(t, { warm: 0 });
  const slot = await acquire().slot;
  await assert.rejects(pool.retire(slot, 'hibernated', () => Promise.reject(new Error('disk full'))));
  await until(() => pool.counts().stopping === 0);
  assert.deepEqual(await readdir(dir), [slot.id]);
});

test('a stop refuses those who wait, ends what is free, and waits for what is under way', async (t) => {
  const { acquire, agents, dir, pool, until } = await poolFor(t, { limit: 2, warm: 1 });
  const bound = await acquire().slot;
  await until(() => pool.counts().idle === 1);
  const second = await acquire().slot;
  const waiting = acquire();
  const refused = assert.rejects(waiting.slot, (error: unknown) => isServiceError(error, 'draining'));
  void pool.retire(second, 'hibernated');
  await pool.stop();
  await refused;
  assert.throws(
    () => acquire(),
    (error: unknown) => isServiceError(error, 'draining'),
  );
  await pool.retire(bound, 'drain');
  await pool.stop();
  await until(() => agents.every((agent) => agent.isGone));
  for (let n = 0; n < 500 && (await readdir(dir)).length > 0; n++)
    await new Promise((resolve) => setTimeout(resolve, 1));
  assert.deepEqual(await readdir(dir), []);
});

test('how many wait for a slot is told, and for how long the first of them has', async (t) => {
  const { acquire, clock, metrics, pool } = await poolFor(t, { limit: 1 });
  const told = () =>
    Promise.all(
      ['slot_limit', 'slot_waits', 'slot_oldest_wait_seconds'].map((name) =>
        metricValue(metrics, `codex_fleet_${name}`),
      ),
    );
  const first = await acquire().slot;
  const second = acquire();
  await clock.advanceAsync(10_000);
  const third = acquire();
  await clock.advanceAsync(2_000);
  assert.deepEqual(await told(), [1, 2, 12]);
  third.cancel(new ServiceError('queue_timed_out'));
  await assert.rejects(third.slot);
  await pool.retire(first, 'hibernated');
  const slot = await second.slot;
  await clock.advanceAsync(2_000);
  assert.deepEqual(await told(), [1, 0, 0]);
  await pool.retire(slot, 'hibernated');
});
