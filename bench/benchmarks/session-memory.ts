// Memory of our own for a session that is bound and idle: the process of the fleet, Codex's not counted.

import type { Benchmark, Lab } from '../harness/benchmark.ts';
import { sleep } from '../harness/benchmark.ts';
import { level } from '../harness/finding.ts';
import { Fleet } from '../parts/fleet.ts';

const KiB = 1024;
const sessionsPerHalf = 6;
/** Bound before the measurement, so that code and caches are loaded. */
const earlier = 3;

export const sessionMemory: Benchmark = {
  name: 'sessions',
  title: 'Memory per bound idle session',
  method:
    `An embedded fleet with real Codex processes; after ${earlier} sessions, ${sessionsPerHalf} more and again ${sessionsPerHalf} more are made, ` +
    'each with one turn, and left bound. RSS of the fleet’s own process (gateway and worker) after a full collection, per ' +
    'session. The control compares the second half with the first.',
  limitMs: 90_000,
  run: async (lab) => {
    const ours: number[] = [];
    const control: number[] = [];
    const heap: number[] = [];
    for (let round = 0; round < lab.size(2, 1); round += 1) {
      const grown = await growth(lab);
      ours.push(grown.firstKiB);
      control.push(grown.secondKiB);
      heap.push(grown.heapKiB);
    }
    return {
      findings: [level({ what: 'RSS per session', unit: 'KiB', ours, control, bar: { atMost: 1024 } })],
      facts: [{ what: 'heap and buffers per session', value: `${heap.map((kib) => kib.toFixed(0)).join(', ')} KiB` }],
    };
  },
};

async function growth(lab: Lab): Promise<{ firstKiB: number; secondKiB: number; heapKiB: number }> {
  const fleet = await Fleet.start(lab, earlier + 2 * sessionsPerHalf + 1, 1);
  await bind(fleet, earlier);
  const before = await fleet.child.memory();
  await bind(fleet, sessionsPerHalf);
  const between = await fleet.child.memory();
  await bind(fleet, sessionsPerHalf);
  const after = await fleet.child.memory();
  await fleet.child.stop();
  return {
    firstKiB: (between.rss - before.rss) / KiB / sessionsPerHalf,
    secondKiB: (after.rss - between.rss) / KiB / sessionsPerHalf,
    heapKiB: (after.heap - before.heap) / KiB / (2 * sessionsPerHalf),
  };
}

async function bind(fleet: Fleet, count: number): Promise<void> {
  for (let bound = 0; bound < count; bound += 1) {
    await fleet.exec('say: pong', null);
    await fleet.isWarm(1);
  }
  await sleep(500);
}
