import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTerminalEventType } from '../../src/core/event.ts';
import type { FleetClient } from '../e2e/fleet-client.ts';
import { FleetUnderTest } from '../e2e/fleet-under-test.ts';
import { growth, holdingOf, loadScale, median, type Holding } from './measures.ts';

/** Waiting, not computing: what the client costs must not take from what the fleet can do. */
const turnMs = 250;
const prompt = `wait: ${turnMs} ms\nsay: done`;
const sessions = ['a', 'b', 'c', 'd'];
const overloadFactor = 5;
const queueLimit = 24;
/** Slots fill and empty at the ends of a stretch: what is compared lies between. */
const rampMs = 1_000;
/** A machine that does other things now and then gets another chance; a fleet that loses work does not. */
const maxRounds = 3;
/** Measured: 15 KiB for the record and the events of a turn. */
const keptMiBPerTurn = 0.04;

type Taken = { readonly sessionId: string; readonly turnId: string };
type Overload = {
  readonly asked: number;
  readonly taken: readonly Taken[];
  readonly refusedMs: readonly number[];
  readonly holdings: readonly Holding[];
  readonly heapsMiB: readonly number[];
  readonly goodput: number;
};

/** Turns ended per second when each session has its next turn at hand. */
async function peakRate(client: FleetClient, forMs: number): Promise<number> {
  const fromMs = performance.now() + rampMs;
  const endMs = fromMs + forMs;
  let ended = 0;
  const keepBusy = async (session: string): Promise<void> => {
    while (performance.now() < endMs) {
      await client.completed(prompt, session);
      const nowMs = performance.now();
      if (nowMs > fromMs && nowMs <= endMs) ended += 1;
    }
  };
  // Two for each, so that one waits while the other runs.
  await Promise.all([...sessions, ...sessions].map(keepBusy));
  return ended / (forMs / 1000);
}

async function usedHeapMiB(client: FleetClient): Promise<number> {
  const { text } = await client.request('GET', '/metrics');
  return Number(/^nodejs_heap_size_used_bytes (\S+)/m.exec(text)?.[1]) / (1024 * 1024);
}

/** What was still there after collections, late against early. */
function keptGrowthMiB(heapsMiB: readonly number[]): number {
  const third = Math.floor(heapsMiB.length / 3);
  return Math.min(...heapsMiB.slice(-third)) - Math.min(...heapsMiB.slice(0, third));
}

async function overload({ client, pid }: FleetUnderTest, perSecond: number, forMs: number): Promise<Overload> {
  const taken: Taken[] = [];
  const refusedMs: number[] = [];
  const holdings: Holding[] = [];
  const heaps: Promise<number>[] = [];
  const askOnce = async (session: string): Promise<void> => {
    const answer = await client.exec({ prompt, session_id: session, background: true });
    if (answer.status === 202) {
      taken.push({ sessionId: answer.body.session_id, turnId: answer.body.turn_id });
      return;
    }
    assert.equal(answer.status, 503, answer.text);
    assert.match(answer.text, /queue_full/);
    refusedMs.push(answer.elapsedMs);
  };
  const fromMs = Date.now() + rampMs;
  const startedMs = performance.now();
  const asking: Promise<void>[] = [];
  for (let passedMs = 0; passedMs < rampMs + forMs; passedMs = performance.now() - startedMs) {
    // By the clock, not by how fast answers come: that is what makes it an overload.
    const due = (passedMs / 1000) * perSecond;
    while (asking.length < due) asking.push(askOnce(sessions[asking.length % sessions.length] ?? 'a'));
    if (holdings.length < passedMs / 200) {
      holdings.push(holdingOf(pid));
      heaps.push(usedHeapMiB(client));
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const toMs = Date.now();
  await Promise.all(asking);

  const turns = await Promise.all(taken.map(({ sessionId, turnId }) => client.turnEnded(sessionId, turnId, 60_000)));
  assert.deepEqual(
    turns.filter((turn) => turn.status !== 'completed'),
    [],
    'what was accepted was done',
  );
  const inTime = turns.filter(
    ({ ended_at }) => Date.parse(ended_at ?? '') > fromMs && Date.parse(ended_at ?? '') <= toMs,
  );
  return {
    asked: asking.length,
    taken,
    refusedMs,
    holdings,
    heapsMiB: await Promise.all(heaps),
    goodput: inTime.length / ((toMs - fromMs) / 1000),
  };
}

test('at five times what it can do a fleet does what it can, memory stays flat, and nothing accepted is lost [load-overload]', async (t) => {
  await using fleet = await FleetUnderTest.start({
    args: ['--slots', String(sessions.length)],
    env: { CODEX_FLEET_WORKER_QUEUE_LIMIT: String(queueLimit) },
  });
  const { client } = fleet;
  await Promise.all(sessions.map((session) => client.completed('say: warm', session)));

  const taken: Taken[] = [];
  let share = 0;
  let peakBefore = await peakRate(client, 4_000);
  for (let round = 1; round <= maxRounds && share < 0.9; round += 1) {
    const load = await overload(fleet, overloadFactor * peakBefore, 8_000 * loadScale);
    // What the machine could do meanwhile lies between before and after.
    const peakAfter = await peakRate(client, 4_000);
    const peak = (peakBefore + peakAfter) / 2;
    share = load.goodput / peak;
    const grownMiB = growth(load.holdings.slice(load.holdings.length / 4).map(({ residentMiB }) => residentMiB));
    const keptMiB = keptGrowthMiB(load.heapsMiB);
    t.diagnostic(
      `peak ${peakBefore.toFixed(1)} and ${peakAfter.toFixed(1)}/s, asked ${load.asked}, taken ${load.taken.length}, ` +
        `goodput ${load.goodput.toFixed(1)}/s, ${(100 * share).toFixed(0)} %; ` +
        `refused in ${median(load.refusedMs).toFixed(1)} ms; memory ${grownMiB.toFixed(1)} MiB, kept ${keptMiB.toFixed(1)} MiB`,
    );
    assert.ok(load.taken.length < load.asked / 2, 'it was an overload');
    assert.ok(median(load.refusedMs) < 100, `refusals took ${median(load.refusedMs)} ms`);
    // The heap takes room in steps of its own; what it keeps is what the memory store keeps of the accepted turns.
    assert.ok(grownMiB < 120, `memory grew by ${grownMiB} MiB`);
    assert.ok(keptMiB < 6 + keptMiBPerTurn * load.taken.length, `the heap keeps ${keptMiB} MiB more`);
    taken.push(...load.taken);
    peakBefore = peakAfter;
  }
  assert.ok(share >= 0.9, `goodput was ${(100 * share).toFixed(0)} % of the peak at best`);

  const ends = new Map<string, number>();
  for (const session of sessions) {
    for (const event of await client.pages(session)) {
      if (!isTerminalEventType(event.type)) continue;
      const turnId = String(event.turn_id);
      ends.set(turnId, (ends.get(turnId) ?? 0) + 1);
    }
  }
  assert.deepEqual(
    taken.filter(({ turnId }) => ends.get(turnId) !== 1),
    [],
    'each accepted turn has one end',
  );
});

test('turn after turn, memory, files and processes stay what they were [load-flat]', async (t) => {
  await using fleet = await FleetUnderTest.start({ args: ['--slots', '2'] });
  const { client, pid } = fleet;
  const turns = 60 * loadScale;
  // Two heaps (ours and that of the thread which reads workspaces) reach their size over the first hundred.
  const warmUp = 100;
  const holdings: Holding[] = [];
  for (let turn = 0; turn < warmUp + turns; turn += 2) {
    // One that ends and one that is ended, each with a session of its own that goes with it.
    const kept = client.completed('run: echo x', `kept-${turn}`);
    const started = await client.exec({ prompt: 'stall', session_id: `cut-${turn}`, background: true });
    assert.equal((await client.cancel(started.body.session_id, started.body.turn_id)).status, 200);
    await kept;
    for (const session of [`kept-${turn}`, `cut-${turn}`])
      await client.request('DELETE', `/api/v1/sessions/${session}`);
    if (turn >= warmUp) holdings.push(holdingOf(pid));
  }
  const grown = {
    residentMiB: growth(holdings.map(({ residentMiB }) => residentMiB)),
    files: growth(holdings.map(({ files }) => files)),
    processes: growth(holdings.map(({ processes }) => processes)),
  };
  t.diagnostic(`grown over ${turns} turns: ${JSON.stringify(grown)} from ${JSON.stringify(holdings[0])}`);
  assert.ok(grown.residentMiB < 30 * Math.max(1, loadScale / 4), `memory grew by ${grown.residentMiB} MiB`);
  assert.ok(grown.files < 4, `open files grew by ${grown.files}`);
  assert.ok(grown.processes < 4, `processes grew by ${grown.processes}`);
});
