// Turns by the gateway's CPU, against the number of workers behind it.

import type { Benchmark } from '../harness/benchmark.ts';
import { compare } from '../harness/finding.ts';
import { interleave } from '../harness/interleave.ts';
import { median } from '../harness/statistics.ts';
import { type Driven, ScriptedCluster } from '../parts/scripted-cluster.ts';

const clients = 16;
const counts = [1, 2, 4] as const;

export const gatewayCore: Benchmark = {
  name: 'gateway-core',
  title: 'Turns per second of a gateway core, from 1 to 4 workers',
  method:
    'A gateway, workers and Redis in processes of their own, the records in one SQLite file, snapshots as files; the agents are ' +
    `scripted and cost nothing. ${clients} clients, each on a bound session, ask for the next turn (\`POST /api/v1/exec\`) when ` +
    'they have the last one’s answer. What is compared is turns by CPU time of the gateway alone, as workers are added. ' +
    'Baseline: 1 worker; the control is 1 worker again. It has no bar: where all share two cores, processes take each other’s ' +
    'caches, and CPU time grows with their number. How many turns a second come of it in all depends on the cores that are left ' +
    'for workers, and is a fact beside it.',
  limitMs: 4 * 60_000,
  run: async (lab) => {
    const turns = lab.size(400, 100);
    const driven = new Map<number, Driven[]>(counts.map((count) => [count, []]));
    const clusters = new Map<number, ScriptedCluster>();
    for (const count of counts) clusters.set(count, await ScriptedCluster.start(lab, count, clients));
    const perCore = (count: number) => async (): Promise<number[]> => {
      const run = await clusters.get(count)?.drive(turns);
      if (run === undefined) throw new Error(`there is no cluster of ${count}`);
      driven.get(count)?.push(run);
      return [run.turns / (run.gatewayMs / 1_000)];
    };
    const rounds = await interleave(
      { one: perCore(1), again: perCore(1), two: perCore(2), four: perCore(4) },
      { rounds: lab.size(7, 3), runsPerRound: 1, warmUps: 1 },
    );
    const against = (ours: 'two' | 'four') => ({ baseline: rounds.one, control: rounds.again, ours: rounds[ours] });
    const common = { unit: 'turns/s', quantile: 0.5, as: 'share' } as const;
    return {
      findings: [
        compare({ what: 'per gateway core, 2 workers', ...common, rounds: against('two'), bar: null }),
        compare({ what: 'per gateway core, 4 workers', ...common, rounds: against('four'), bar: null }),
      ],
      facts: counts.map((count) => ({
        what: `${count} ${count === 1 ? 'worker' : 'workers'}`,
        value: told(driven.get(count) ?? []),
      })),
    };
  },
};

function told(runs: readonly Driven[]): string {
  const perTurn = (of: (run: Driven) => number): string => median(runs.map((run) => of(run) / run.turns)).toFixed(2);
  const rate = median(runs.map(({ ms, turns }) => turns / (ms / 1_000))).toFixed(0);
  return (
    `${rate} turns/s in all; CPU per turn: gateway ${perTurn(({ gatewayMs }) => gatewayMs)} ms, ` +
    `workers ${perTurn(({ workersMs }) => workersMs)} ms, Redis ${perTurn(({ redisMs }) => redisMs)} ms`
  );
}
