// exec on a session that is warm, against the same turn on a bare app-server.

import { locateCodex } from '../../src/codex/binary.ts';
import type { Benchmark } from '../harness/benchmark.ts';
import { Child } from '../harness/child.ts';
import { compare } from '../harness/finding.ts';
import { interleave } from '../harness/interleave.ts';
import { treeUsage } from '../harness/process-usage.ts';
import { BareAgent } from '../parts/bare-agent.ts';
import { Fleet } from '../parts/fleet.ts';

const prompt = 'say: pong';

export const execWarm: Benchmark = {
  name: 'exec',
  title: 'exec on a warm session',
  method:
    'Baseline: a turn on a bare `codex app-server` over stdio with the demo model on loopback, from the writing of ' +
    '`turn/start` to the reading of `turn/completed`. Ours: `POST /api/v1/exec` on a bound session of the embedded fleet ' +
    '(cage, model proxy, log and records included), from the request to the whole answer. Each turn in random order; all ' +
    'three threads grow alike. The control is a second bare app-server.',
  limitMs: 110_000,
  run: async (lab) => {
    const binary = await locateCodex();
    const { ready } = await Child.start<{ baseUrl: string }>(lab, 'demo-model-child.ts');
    const bare = await BareAgent.start(lab, binary, ready.baseUrl);
    const again = await BareAgent.start(lab, binary, ready.baseUrl);
    const fleet = await Fleet.start(lab, 2, 1);
    const { session_id: sessionId } = await fleet.exec(prompt, null);
    // The slot that refills the pool must not start in our measurement.
    await fleet.isWarm(1);

    const before = treeUsage(fleet.child.pid);
    const beforeUs = await fleet.child.cpuUs();
    const schedule = { rounds: lab.size(10, 3), runsPerRound: lab.size(25, 10), warmUps: lab.size(20, 5) };
    const rounds = await interleave(
      {
        baseline: async () => [(await bare.turn(prompt)).wholeMs],
        control: async () => [(await again.turn(prompt)).wholeMs],
        ours: async () => {
          const startedMs = performance.now();
          await fleet.exec(prompt, sessionId);
          return [performance.now() - startedMs];
        },
      },
      schedule,
    );
    const after = treeUsage(fleet.child.pid);
    const fleetMs = ((await fleet.child.cpuUs()) - beforeUs) / 1000;
    const turns = schedule.rounds * schedule.runsPerRound + schedule.warmUps;
    const perTurn = (cpuMs: number): string => `${(cpuMs / turns).toFixed(1)} ms`;
    const besideMs = after.oursCpuMs - before.oursCpuMs - fleetMs;
    return {
      findings: [
        compare({ what: 'added, p50', unit: 'ms', rounds, quantile: 0.5, as: 'added', bar: { atMost: 3 } }),
        compare({ what: 'added, p99', unit: 'ms', rounds, quantile: 0.99, as: 'added', bar: { atMost: 15 } }),
      ],
      facts: [
        { what: 'CPU per turn, gateway and worker', value: perTurn(fleetMs) },
        { what: 'CPU per turn, model proxy and watchdogs', value: perTurn(besideMs) },
        { what: 'CPU per turn, Codex', value: perTurn(after.codexCpuMs - before.codexCpuMs) },
      ],
    };
  },
};
