// What an event costs the gateway at 100 streams: the process with readers, against the same without.

import path from 'node:path';
import type { Benchmark, Lab } from '../harness/benchmark.ts';
import { sleep } from '../harness/benchmark.ts';
import { Child } from '../harness/child.ts';
import { compare } from '../harness/finding.ts';
import { interleave, type Rounds } from '../harness/interleave.ts';
import { MarkCounter } from '../parts/mark-counter.ts';
import { RawSocket } from '../parts/raw-socket.ts';
import { type AppendJob, scriptedToken, type ScriptedFleetReady } from '../parts/scripted-fleet-facts.ts';
import { SseReader } from '../parts/sse-reader.ts';

const streams = 100;
const tickMs = 10;
const deliveryLimitMs = 5_000;

type Readers = { readonly count: () => number; readonly close: () => Promise<void> };

export const streamCpu: Benchmark = {
  name: 'streams',
  title: `${streams} streams: CPU per event`,
  method:
    `${streams} sessions get an event of about 250 bytes every ${tickMs} ms (${(streams * 1000) / tickMs} events a second), appended to the log as a worker ` +
    'does. Baseline: the process with nobody reading. Ours: one reader per session, by SSE or by WebSocket; the difference ' +
    'is what the gateway spends on delivery. Readers run in another process and count: none may be lost or doubled.',
  limitMs: 90_000,
  run: async (lab) => {
    const { child, ready } = await Child.start<ScriptedFleetReady>(lab, 'scripted-fleet-child.ts', {
      dataDir: path.join(lab.dir, 'data'),
      slots: 1,
    });
    const ids = await bareSessions(ready.url, streams);
    const ticks = lab.size(150, 75);
    const job: AppendJob = { sessionIds: ids, ticks, tickMs, eventsPerTick: 1, textBytes: 20 };
    const run = async (open: () => Promise<Readers>): Promise<number[]> => {
      const readers = await open();
      await sleep(100);
      const beforeUs = await child.cpuUs();
      const events = await child.ask<number>('append', job);
      const endMs = performance.now() + deliveryLimitMs;
      while (readers.count() < events && performance.now() < endMs) await sleep(5);
      const usedUs = (await child.cpuUs()) - beforeUs;
      if (readers.count() !== events && readers.count() !== Number.POSITIVE_INFINITY)
        throw new Error(`of ${events} events ${readers.count()} came`);
      await readers.close();
      return [usedUs / events];
    };
    const nobody = (): Promise<number[]> =>
      run(async () => ({ count: () => Number.POSITIVE_INFINITY, close: async () => {} }));
    const rounds = await interleave(
      {
        baseline: nobody,
        control: nobody,
        sse: () => run(() => openSse(child, ready.url, ids)),
        ws: () => run(() => openWs(lab, child, ready.url, ids)),
      },
      { rounds: lab.size(7, 3), runsPerRound: 1, warmUps: 1 },
    );
    const finding = (name: 'sse' | 'ws', what: string) => {
      const chosen: Rounds<'baseline' | 'ours' | 'control'> = { ...rounds, ours: rounds[name] };
      return compare({ what, unit: 'µs', rounds: chosen, quantile: 0.5, as: 'added', bar: { atMost: 30 } });
    };
    return { findings: [finding('sse', 'per event, SSE'), finding('ws', 'per event, WebSocket')], facts: [] };
  },
};

export async function bareSessions(url: string, count: number): Promise<string[]> {
  const headers = { authorization: `Bearer ${scriptedToken}`, 'content-type': 'application/json' };
  const ids: string[] = [];
  for (let made = 0; made < count; made += 1) {
    const answer = await fetch(`${url}/api/v1/sessions`, { method: 'POST', headers, body: '{}' });
    ids.push(((await answer.json()) as { id: string }).id);
  }
  return ids;
}

async function openSse(child: Child, url: string, ids: readonly string[]): Promise<Readers> {
  const headers = { authorization: `Bearer ${scriptedToken}` };
  const readers = await Promise.all(
    ids.map(async (id) => {
      const seq = await child.ask<number>('lastSeq', id);
      const after = seq === 0 ? '' : `?after=1.${seq}`;
      const options = { url, headers, mark: 'event: item.delta' };
      return await SseReader.open({ ...options, path: `/api/v1/sessions/${id}/events${after}` });
    }),
  );
  return {
    count: () => readers.reduce((sum, reader) => sum + reader.count, 0),
    close: async () => void (await Promise.all(readers.map((reader) => reader.close()))),
  };
}

async function openWs(lab: Lab, child: Child, url: string, ids: readonly string[]): Promise<Readers> {
  const sockets = await RawSocket.openMany(url, scriptedToken, ids.length);
  lab.defer(() => sockets.forEach((socket) => socket.close()));
  const counters = await Promise.all(
    sockets.map(async (socket, at) => {
      const counter = new MarkCounter('"type":"item.delta"');
      const accepted = Promise.withResolvers<void>();
      socket.onBytes((chunk) => {
        counter.take(chunk);
        accepted.resolve();
      });
      const seq = await child.ask<number>('lastSeq', ids[at]);
      socket.send(
        JSON.stringify({ type: 'subscribe', session_id: ids[at], ...(seq === 0 ? {} : { after: `1.${seq}` }) }),
      );
      await accepted.promise;
      return counter;
    }),
  );
  return {
    count: () => counters.reduce((sum, counter) => sum + counter.count, 0),
    close: async () => sockets.forEach((socket) => socket.close()),
  };
}
