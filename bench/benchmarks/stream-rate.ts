// One stream of 1,000 deltas at full speed, against reading the same from the app-server's stdout.

import { locateCodex } from '../../src/codex/binary.ts';
import type { Benchmark } from '../harness/benchmark.ts';
import { Child } from '../harness/child.ts';
import { compare } from '../harness/finding.ts';
import { interleave, type Rounds } from '../harness/interleave.ts';
import { BareAgent } from '../parts/bare-agent.ts';
import { Fleet } from '../parts/fleet.ts';
import { SseReader } from '../parts/sse-reader.ts';

const deltas = 1000;
const prompt = `stream: ${deltas} words`;

type Names = 'baseline' | 'ours' | 'control';

export const streamRate: Benchmark = {
  name: 'stream',
  title: 'One stream of 1,000 deltas',
  method:
    'The demo model says 1,000 words as fast as they are taken. Baseline: a bare app-server, its stdout read raw and cut ' +
    'into lines. Ours: `POST /api/v1/exec` with `stream: true` (every delta through the cage’s door, the model proxy, the ' +
    'translation, the log and SSE), read raw. *Rate* is deltas by the time from asking for the turn to the last delta; ' +
    '*burst* counts from the first delta on. Both ends of a stream must hold exactly 1,000.',
  limitMs: 75_000,
  run: async (lab) => {
    const binary = await locateCodex();
    const { ready } = await Child.start<{ baseUrl: string }>(lab, 'demo-model-child.ts');
    const bare = await BareAgent.start(lab, binary, ready.baseUrl);
    const again = await BareAgent.start(lab, binary, ready.baseUrl);
    const fleet = await Fleet.start(lab, 2, 1);
    const { session_id: sessionId } = await fleet.exec('say: pong', null);
    await fleet.isWarm(1);

    const bursts: Record<Names, number[][]> = { baseline: [], ours: [], control: [] };
    const cpu = { us: 0, events: 0 };
    const bareRun = (agent: BareAgent, name: Names) => async (): Promise<number[]> => {
      const turn = await agent.turn(prompt);
      if (turn.deltas !== deltas) throw new Error(`a bare turn had ${turn.deltas} deltas`);
      bursts[name].push([rate(turn.deltasMs)]);
      return [rate(turn.lastDeltaMs)];
    };
    const ours = async (): Promise<number[]> => {
      const beforeUs = await fleet.child.cpuUs();
      const startedMs = performance.now();
      const reader = await SseReader.open({
        url: fleet.url,
        path: '/api/v1/exec',
        headers: fleet.headers,
        body: JSON.stringify({ prompt, session_id: sessionId, stream: true }),
        mark: 'event: item.delta',
      });
      await reader.ended;
      await reader.close();
      if (reader.count !== deltas) throw new Error(`a stream had ${reader.count} deltas`);
      cpu.us += (await fleet.child.cpuUs()) - beforeUs;
      cpu.events += deltas;
      bursts.ours.push([rate(reader.lastMs - reader.firstMs)]);
      return [rate(reader.lastMs - startedMs)];
    };
    const warmUps = 3;
    const rounds = await interleave(
      { baseline: bareRun(bare, 'baseline'), ours, control: bareRun(again, 'control') },
      { rounds: lab.size(40, 12), runsPerRound: 1, warmUps },
    );
    const burstRounds: Rounds<Names> = {
      baseline: bursts.baseline.slice(warmUps),
      ours: bursts.ours.slice(warmUps),
      control: bursts.control.slice(warmUps),
    };
    return {
      findings: [
        compare({ what: 'rate', unit: '', rounds, quantile: 0.5, as: 'share', bar: { atLeast: 0.9 }, tolerance: 0.05 }),
        compare({ what: 'burst', unit: '', rounds: burstRounds, quantile: 0.5, as: 'share', bar: null }),
      ],
      facts: [
        { what: 'unit of baseline and ours', value: 'deltas a second' },
        { what: 'CPU per delta, gateway and worker', value: `${(cpu.us / cpu.events).toFixed(0)} µs` },
      ],
    };
  },
};

function rate(durationMs: number): number {
  return (deltas * 1000) / durationMs;
}
