// Memory of a gateway for WebSockets that do nothing, and for readers that take nothing.

import path from 'node:path';
import { mintId } from '../../src/core/ids.ts';
import type { Benchmark, Lab } from '../harness/benchmark.ts';
import { sleep } from '../harness/benchmark.ts';
import { Child, type MemoryUse } from '../harness/child.ts';
import { level } from '../harness/finding.ts';
import { shuffled } from '../harness/statistics.ts';
import { RawSocket } from '../parts/raw-socket.ts';
import { type AppendJob, scriptedToken, type ScriptedFleetReady } from '../parts/scripted-fleet-facts.ts';
import { bareSessions } from './stream-cpu.ts';

const KiB = 1024;
const slowReaders = 20;
const settleMs = 300;

type Grown = { readonly rssKiB: number; readonly heapKiB: number };

export const idleSockets: Benchmark = {
  name: 'sockets',
  title: 'Idle WebSockets and slow readers',
  method:
    'Idle: authenticated WebSockets that send nothing, each measurement in a new process, memory after a full collection, ' +
    'growth per socket. Baseline: `ws` on a bare `node:http` server. The control is a second gateway. Slow: ' +
    `${slowReaders} WebSockets subscribed to a session that never read, while the session gets 16 MB of events and then 16 MB more; ` +
    'growth against the same gateway without readers (the log itself holds the events).',
  limitMs: 100_000,
  run: async (lab) => {
    const count = lab.size(2000, 500);
    const idle: Record<'bare' | 'ours' | 'control', Grown[]> = { bare: [], ours: [], control: [] };
    for (let round = 0; round < lab.size(3, 1); round += 1) {
      for (const name of shuffled(['bare', 'ours', 'control'] as const)) {
        idle[name].push(await idleGrowth(lab, name === 'bare' ? 'bare-ws-child.ts' : 'scripted-fleet-child.ts', count));
      }
    }
    const slow: Record<'none' | 'ours' | 'control', SlowGrowth[]> = { none: [], ours: [], control: [] };
    for (let round = 0; round < lab.size(2, 1); round += 1) {
      for (const name of shuffled(['none', 'ours', 'control'] as const)) {
        slow[name].push(await slowGrowth(lab, name === 'none' ? 0 : slowReaders));
      }
    }
    const rss = (name: 'bare' | 'ours' | 'control'): number[] => idle[name].map(({ rssKiB }) => rssKiB);
    const perReader = (name: 'ours' | 'control', when: keyof SlowGrowth): number[] =>
      slow[name].map((grown, at) => (grown[when] - (slow.none[at]?.[when] ?? 0)) / slowReaders);
    const slowFinding = (what: string, when: keyof SlowGrowth, atMost: number) =>
      level({ what, unit: 'KiB', ours: perReader('ours', when), control: perReader('control', when), bar: { atMost } });
    return {
      findings: [
        level({
          what: 'idle socket, RSS',
          unit: 'KiB',
          baseline: rss('bare'),
          ours: rss('ours'),
          control: rss('control'),
          bar: { atMost: 25 },
        }),
        slowFinding('slow reader, after 16 MB', 'firstKiB', 1024),
        slowFinding('slow reader, by the next 16 MB', 'secondKiB', 64),
      ],
      facts: [
        {
          what: 'heap per idle socket',
          value: `${idle.ours[0]?.heapKiB.toFixed(1)} KiB, of which ws and node:http take ${idle.bare[0]?.heapKiB.toFixed(1)} KiB`,
        },
        { what: 'sockets', value: String(count) },
      ],
    };
  },
};

async function idleGrowth(lab: Lab, script: string, count: number): Promise<Grown> {
  const { child, ready } = await startChild(lab, script);
  // Code, caches and buffers that the first ones bring are not what one more costs.
  const first = await RawSocket.openMany(ready.url, scriptedToken, 100);
  await sleep(settleMs);
  const before = await child.memory();
  const sockets = await RawSocket.openMany(ready.url, scriptedToken, count);
  await sleep(settleMs);
  const after = await child.memory();
  for (const socket of [...first, ...sockets]) socket.close();
  await child.stop();
  return { rssKiB: (after.rss - before.rss) / KiB / count, heapKiB: (after.heap - before.heap) / KiB / count };
}

/** Of the whole process, in KiB of heap and buffers. */
type SlowGrowth = { readonly firstKiB: number; readonly secondKiB: number };

async function slowGrowth(lab: Lab, readers: number): Promise<SlowGrowth> {
  const { child, ready } = await startChild(lab, 'scripted-fleet-child.ts');
  const [id = ''] = await bareSessions(ready.url, 1);
  const sockets = await RawSocket.openMany(ready.url, scriptedToken, readers);
  for (const socket of sockets) socket.send(JSON.stringify({ type: 'subscribe', session_id: id }));
  await sleep(settleMs);
  const before = await child.memory();
  const job: AppendJob = { sessionIds: [id], ticks: 100, tickMs: 5, eventsPerTick: 40, textBytes: 4000 };
  await child.ask('append', job);
  await sleep(settleMs);
  const between = await child.memory();
  await child.ask('append', job);
  await sleep(settleMs);
  const after = await child.memory();
  for (const socket of sockets) socket.close();
  await child.stop();
  const growth = (from: MemoryUse, to: MemoryUse): number => (to.heap - from.heap) / KiB;
  return { firstKiB: growth(before, between), secondKiB: growth(between, after) };
}

async function startChild(lab: Lab, script: string): Promise<{ child: Child; ready: Pick<ScriptedFleetReady, 'url'> }> {
  return await Child.start<ScriptedFleetReady>(lab, script, { dataDir: path.join(lab.dir, mintId()), slots: 1 });
}
