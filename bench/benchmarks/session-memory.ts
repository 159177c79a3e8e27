// Memory of our own for a session that is bound and idle: the process of the fleet, Codex's not counted.

import type { Benchmark, Lab } from '../harness/benchmark.ts';
import { sleep } from '../harness/benchmark.ts';
import { level } from '../harness/finding.ts';
import { Fleet } from '../parts/fleet.ts';

const KiB = 1024;
const measured = 10;
/** Before the measurement, so that code is loaded and the young generation of the heap has its size. */
const earlier = 3;
const earlierTurns = 60;

type Grown = { readonly rssKiB: number; readonly heapKiB: number };

export const sessionMemory: Benchmark = {
  name: 'sessions',
  title: 'Memory per bound idle session',
  method:
    `An embedded fleet with real Codex processes; after ${earlier} sessions ${measured} more are made, each with one turn, and left ` +
    'bound. RSS of the fleet’s own process (gateway and worker) after a full collection, per session. The control is another ' +
    'fleet.',
  limitMs: 90_000,
  run: async (lab) => {
    const ours: Grown[] = [];
    const control: Grown[] = [];
    for (let round = 0; round < lab.size(2, 1); round += 1) {
      ours.push(await growth(lab));
      control.push(await growth(lab));
    }
    const finding = (what: string, of: (grown: Grown) => number) =>
      level({ what, unit: 'KiB', ours: ours.map(of), control: control.map(of), bar: { atMost: 1024 } });
    return {
      findings: [
        finding('RSS per session', ({ rssKiB }) => rssKiB),
        finding('heap and buffers per session', ({ heapKiB }) => heapKiB),
      ],
      facts: [{ what: 'sessions', value: String(measured) }],
    };
  },
};

async function growth(lab: Lab): Promise<Grown> {
  const fleet = await Fleet.start(lab, earlier + measured + 2, 1);
  await bind(fleet, earlier);
  const { session_id: busy } = await fleet.exec('say: pong', null);
  for (let turn = 0; turn < earlierTurns; turn += 1) await fleet.exec('say: pong', busy);
  await fleet.isWarm(1);
  const before = await fleet.child.memory();
  await bind(fleet, measured);
  const after = await fleet.child.memory();
  await fleet.child.stop();
  return {
    rssKiB: (after.rss - before.rss) / KiB / measured,
    heapKiB: (after.heap - before.heap) / KiB / measured,
  };
}

async function bind(fleet: Fleet, count: number): Promise<void> {
  for (let bound = 0; bound < count; bound += 1) {
    await fleet.exec('say: pong', null);
    await fleet.isWarm(1);
  }
  await sleep(500);
}
