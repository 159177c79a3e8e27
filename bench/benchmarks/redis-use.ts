// What a turn asks of Redis, and what an idle cluster does.

import type { Benchmark } from '../harness/benchmark.ts';
import { sleep } from '../harness/benchmark.ts';
import { level } from '../harness/finding.ts';
import { BenchCluster } from '../parts/bench-cluster.ts';
import { callsOf, type RedisFacts, redisFacts, redisUse } from '../parts/redis-info.ts';

const workers = 2;
/** Of a short answer, and of one with many deltas. */
const prompts = { 'a word': 'say: pong', '200 words at 10 ms': 'stream: 200 words at 10 ms' } as const;

type Cost = { readonly calls: number; readonly bytesIn: number; readonly bytesOut: number };

export const redisPerTurn: Benchmark = {
  name: 'redis',
  title: 'Redis operations and bytes per turn',
  method:
    `A local cluster (1 gateway, ${workers} workers, 2 session managers, the real Codex, the demo model), one client, turns one ` +
    'after the other on one bound session. Commands and bytes as Redis counts them (`INFO commandstats`, `total_net_*`), a ' +
    'command of a script counted with the call of the script; what the idle cluster does in the same time (heartbeats, ' +
    'renewals, the managers’ lead) is taken off and told by itself. The control is the second half of the turns against the first.',
  limitMs: 3 * 60_000,
  run: async (lab) => {
    const cluster = await BenchCluster.start(lab, { gateways: 1, workers, managers: 2, slots: 2, warmSlots: 1 });
    const { redisUrl } = cluster.cluster;
    const { session_id: sessionId } = await cluster.exec('say: pong', null);
    const idleMs = lab.size(10_000, 4_000);
    const idleBefore = await redisFacts(redisUrl);
    await sleep(idleMs);
    const idle = redisUse(idleBefore, await redisFacts(redisUrl));
    const half = async (prompt: string, turns: number): Promise<{ cost: Cost; used: RedisFacts }> => {
      const before = await redisFacts(redisUrl);
      const startedMs = performance.now();
      for (let turn = 0; turn < turns; turn += 1) await cluster.exec(prompt, sessionId);
      const share = (performance.now() - startedMs) / idleMs;
      const used = redisUse(before, await redisFacts(redisUrl));
      const perTurn = (all: number, ofIdle: number): number => (all - ofIdle * share) / turns;
      return {
        cost: {
          calls: perTurn(callsOf(used), callsOf(idle)),
          bytesIn: perTurn(used.bytesIn, idle.bytesIn),
          bytesOut: perTurn(used.bytesOut, idle.bytesOut),
        },
        used,
      };
    };
    const findings = [];
    let names = '';
    for (const [what, prompt] of Object.entries(prompts)) {
      const turns = prompt.startsWith('say') ? lab.size(25, 8) : lab.size(5, 2);
      const first = await half(prompt, turns);
      const second = await half(prompt, turns);
      if (prompt.startsWith('say')) names = namesOf(second.used, turns);
      const finding = (unit: string, of: (cost: Cost) => number) => ({
        ...level({
          what: `${what}: ${unit}`,
          unit: '',
          ours: [of(first.cost)],
          control: [of(second.cost)],
          bar: null,
        }),
        samples: 2 * turns,
      });
      findings.push(
        finding('commands', ({ calls }) => calls),
        finding('bytes to Redis', ({ bytesIn }) => bytesIn),
        finding('bytes from Redis', ({ bytesOut }) => bytesOut),
      );
    }
    const perSecond = (count: number): string => (count / (idleMs / 1_000)).toFixed(1);
    return {
      findings,
      facts: [
        { what: 'commands in the time of a turn of a word, with what the idle cluster does', value: names },
        {
          what: `idle cluster of ${workers} workers, 1 gateway and 2 managers`,
          value: `${perSecond(callsOf(idle))} commands/s, ${perSecond(idle.bytesIn)} bytes/s to Redis, ${perSecond(idle.bytesOut)} from it`,
        },
      ],
    };
  },
};

function namesOf({ calls }: RedisFacts, turns: number): string {
  return [...calls]
    .toSorted(([, one], [, other]) => other - one)
    .map(([name, count]) => `${name} ${(count / turns).toFixed(1)}`)
    .join(', ');
}
