import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KnownWorkers, WorkerEntry } from '../contracts/worker-registry.ts';
import { ServiceError } from '../core/errors.ts';
import { createLogger } from '../observability/logger.ts';
import { workerEntry } from '../testing/contract-suites/worker-registry-suite.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { Recurring } from './recurring.ts';
import { type ProbeAnswer, WorkerWatch } from './worker-watch.ts';

const heartbeatMs = 1_000;
const leaseMs = 10_000;

function entryOf(changes: Partial<WorkerEntry> = {}): WorkerEntry {
  return workerEntry('worker-1', { boot: 'a', url: 'http://worker-1', startedAt: 1, ...changes });
}

/** A registry that can be flushed and be away, workers that beat or do not, and a watch of a minute's standing. */
async function stage(initial: readonly WorkerEntry[] = [entryOf()]) {
  const clock = new FakeClock();
  const beating = new Map(initial.map((entry) => [entry.id, entry]));
  const heard = new Map<string, { entry: WorkerEntry; atMs: number }>();
  const answers = new Map<string, ProbeAnswer>();
  const probed: string[] = [];
  const lost: string[] = [];
  const state = { flushedAtMs: -Infinity, isAway: false };
  const beat = new Recurring(clock, async () => {
    if (!state.isAway) for (const entry of beating.values()) heard.set(entry.id, { entry, atMs: clock.monotonicMs() });
    return heartbeatMs;
  });
  const list = async (): Promise<KnownWorkers> => {
    if (state.isAway) throw new ServiceError('store_unavailable');
    const nowMs = clock.monotonicMs();
    const workers = [...heard.values()].map(({ entry, atMs }) => ({ ...entry, silentMs: nowMs - atMs }));
    return { workers: workers.filter(({ silentMs }) => silentMs < 60_000), knownForMs: nowMs - state.flushedAtMs };
  };
  const watch = new WorkerWatch({
    registry: { list },
    probe: async (url) => {
      probed.push(url);
      const answer = answers.get(url) ?? 'answers';
      return answer === 'silent' ? await new Promise<never>(() => {}) : answer;
    },
    clock,
    logger: createLogger({ level: 'silent', role: 'test' }),
    heartbeatMs,
    leaseMs,
    onLost: () => {
      const [latest] = watch.lostLately();
      if (latest !== undefined) lost.push(`${latest.id}/${latest.boot} ${latest.evidence}`);
    },
  });
  const looks = new Recurring(clock, () => watch.look());
  beat.start();
  looks.start();
  await clock.advanceAsync(60_000);
  return {
    clock,
    watch,
    beating,
    heard,
    answers,
    probed,
    lost,
    state,
    flush: () => {
      heard.clear();
      state.flushedAtMs = clock.monotonicMs();
    },
    end: () => Promise.all([beat.stop(), looks.stop(), watch.settled()]),
  };
}

test('a worker that beats is live and is not probed', async () => {
  const { clock, watch, probed, lost, end } = await stage([entryOf(), entryOf({ id: 'worker-2', state: 'draining' })]);
  await clock.advanceAsync(60_000);
  assert.deepEqual(watch.counts(), { ready: 1, draining: 1, suspect: 0, lost: 0 });
  assert.deepEqual([watch.verdict('worker-1', 'a'), probed, lost], ['live', [], []]);
  await end();
});

test('the table of evidence: what becomes of a worker that stops beating, and when', async () => {
  for (const [answer, expected, afterMs, verdict] of [
    ['refused', 'worker-1/a refused', 2_500, 'proven'],
    ['silent', 'worker-1/a silent', 12_500, 'silent'],
    ['answers', 'worker-1/a silent', 12_500, 'silent'],
  ] as const) {
    const { clock, watch, beating, answers, lost, end } = await stage();
    beating.delete('worker-1');
    answers.set('http://worker-1', answer);
    const lastBeatMs = clock.monotonicMs();
    while (lost.length === 0) await clock.advanceAsync(100);
    const tookMs = clock.monotonicMs() - lastBeatMs;
    assert.deepEqual(lost, [expected]);
    assert.ok(tookMs <= afterMs, `${answer}: ${tookMs} ms`);
    assert.ok(answer === 'refused' || tookMs > leaseMs, `${answer}: ${tookMs} ms`);
    assert.equal(watch.verdict('worker-1', 'a'), verdict);
    assert.equal(watch.counts().lost, 1);
    await end();
  }
});

test('a worker that is silent and answers is suspect, and live again with its next heartbeat', async () => {
  const { clock, watch, beating, lost, end } = await stage();
  beating.delete('worker-1');
  await clock.advanceAsync(5_000);
  assert.deepEqual([watch.counts().suspect, watch.verdict('worker-1', 'a'), lost], [1, 'live', []]);
  beating.set('worker-1', entryOf());
  await clock.advanceAsync(2_000);
  assert.deepEqual([watch.counts(), lost], [{ ready: 1, draining: 0, suspect: 0, lost: 0 }, []]);
  await end();
});

test('a later boot under the same name proves the earlier one lost; an earlier boot that comes up again proves nothing', async () => {
  const { clock, watch, beating, lost, flush, end } = await stage();
  beating.set('worker-1', entryOf({ boot: 'b', startedAt: 2 }));
  await clock.advanceAsync(1_500);
  assert.deepEqual(lost, ['worker-1/a replaced']);
  assert.deepEqual([watch.verdict('worker-1', 'a'), watch.verdict('worker-1', 'b')], ['proven', 'live']);
  // After a flush the registry hears of the paused first boot before it hears of the second.
  flush();
  beating.set('worker-1', entryOf());
  await clock.advanceAsync(1_500);
  assert.deepEqual([lost.length, watch.verdict('worker-1', 'b')], [1, 'live']);
  await end();
});

test('a boot of before the time of the manager is lost when another beats under its name at the look after next', async () => {
  const { clock, watch, end } = await stage();
  assert.equal(watch.verdict('worker-1', 'earlier'), 'unknown');
  await clock.advanceAsync(500);
  assert.equal(watch.verdict('worker-1', 'earlier'), 'unknown');
  await clock.advanceAsync(500);
  assert.equal(watch.verdict('worker-1', 'earlier'), 'proven');
  assert.equal(watch.verdict('worker-9', 'any'), 'silent');
  await end();
});

test('a flush of the registry declares nobody dead, but for those whose address refuses', async () => {
  const both = [entryOf(), entryOf({ id: 'worker-2', url: 'http://worker-2' })];
  const { clock, watch, beating, answers, lost, flush, end } = await stage(both);
  beating.delete('worker-1');
  beating.delete('worker-2');
  answers.set('http://worker-2', 'refused');
  flush();
  await clock.advanceAsync(9_500);
  assert.deepEqual(lost, ['worker-2/a refused']);
  assert.equal(watch.verdict('worker-1', 'a'), 'live');
  assert.equal(watch.verdict('worker-9', 'any'), 'unknown');
  beating.set('worker-1', entryOf());
  await clock.advanceAsync(60_000);
  assert.equal(lost.length, 1);
  await end();
});

test('a registry that was away for long declares nobody dead when it is back: nobody could speak', async () => {
  const { clock, watch, beating, lost, state, end } = await stage();
  state.isAway = true;
  await clock.advanceAsync(50_000);
  assert.equal(watch.trustedForMs, 0);
  beating.delete('worker-1');
  state.isAway = false;
  await clock.advanceAsync(9_500);
  assert.deepEqual(lost, []);
  await clock.advanceAsync(2_000);
  assert.deepEqual(lost, ['worker-1/a silent']);
  await end();
});

test('a worker that withdrew has left, and is not among the lost', async () => {
  const { clock, watch, beating, heard, lost, probed, end } = await stage();
  beating.delete('worker-1');
  heard.delete('worker-1');
  await clock.advanceAsync(600);
  assert.deepEqual([lost, probed], [['worker-1/a withdrawn'], []]);
  assert.deepEqual([watch.counts().lost, watch.verdict('worker-1', 'a')], [0, 'silent']);
  await end();
});

test('workers that nobody answers for do not keep the watch from its next look', async () => {
  const many = Array.from({ length: 100 }, (_, number) =>
    entryOf({ id: `worker-${number}`, url: `http://worker-${number}` }),
  );
  const { clock, beating, answers, lost, end } = await stage(many);
  for (const { url } of many) answers.set(url, 'silent');
  beating.clear();
  await clock.advanceAsync(25_000);
  assert.equal(lost.length, 100);
  await end();
});
