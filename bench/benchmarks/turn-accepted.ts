// POST …/turns to its 202 through the gateway, against the same worker called directly.

import path from 'node:path';
import type { Benchmark } from '../harness/benchmark.ts';
import { Child } from '../harness/child.ts';
import { compare } from '../harness/finding.ts';
import { interleave } from '../harness/interleave.ts';
import { OpenLoop } from '../parts/open-loop.ts';
import { scriptedToken, type ScriptedFleetReady } from '../parts/scripted-fleet-facts.ts';

const ratePerS = 200;
const sessions = 16;
const body = JSON.stringify({ prompt: 'say: pong' });

export const turnAccepted: Benchmark = {
  name: 'turns',
  title: 'POST …/turns to 202',
  method:
    `Open loop, Poisson arrivals at ${ratePerS} a second over ${sessions} bound sessions, latency from the planned moment. ` +
    'Baseline: a bare `node:http` server in the same process that reads the body, makes the turn’s record and calls the ' +
    'worker. Ours: the gateway in front of that worker (authentication, validation, session lookup, log line, metrics). ' +
    'The agents are scripted; the turns run in the same process either way. The control is the baseline again.',
  limitMs: 75_000,
  run: async (lab) => {
    const { child, ready } = await Child.start<ScriptedFleetReady>(lab, 'scripted-fleet-child.ts', {
      dataDir: path.join(lab.dir, 'data'),
      slots: sessions,
    });
    const headers = { authorization: `Bearer ${scriptedToken}`, 'content-type': 'application/json' };
    const ids = await makeSessions(ready.url, headers, sessions);
    const count = lab.size(300, 150);
    const gateway = new OpenLoop(lab, ready.url, 16);
    const direct = new OpenLoop(lab, ready.directUrl, 16);
    const cpu: Record<'gateway' | 'direct', { us: number; ms: number; requests: number }> = {
      gateway: { us: 0, ms: 0, requests: 0 },
      direct: { us: 0, ms: 0, requests: 0 },
    };
    const run = async (
      name: 'gateway' | 'direct',
      loop: OpenLoop,
      pathOf: (id: string) => string,
    ): Promise<number[]> => {
      const [beforeUs, beforeMs] = [await child.cpuUs(), performance.now()];
      const latencies = await loop.run(ratePerS, count, 202, (at) => ({
        path: pathOf(ids[at % ids.length] ?? ''),
        headers,
        body,
      }));
      const used = cpu[name];
      used.ms += performance.now() - beforeMs;
      used.us += (await child.cpuUs()) - beforeUs;
      used.requests += latencies.length;
      return latencies;
    };
    const baseline = (): Promise<number[]> => run('direct', direct, (id) => `/${id}`);
    const rounds = await interleave(
      { baseline, control: baseline, ours: () => run('gateway', gateway, (id) => `/api/v1/sessions/${id}/turns`) },
      { rounds: lab.size(9, 4), runsPerRound: 1, warmUps: 2 },
    );
    const perRequest = (name: 'gateway' | 'direct'): number => cpu[name].us / cpu[name].requests;
    return {
      findings: [
        compare({ what: 'added, p50', unit: 'ms', rounds, quantile: 0.5, as: 'added', bar: { atMost: 0.5 } }),
        compare({ what: 'added, p99', unit: 'ms', rounds, quantile: 0.99, as: 'added', bar: { atMost: 2 } }),
      ],
      facts: [
        {
          what: 'load of the process',
          value: `${Math.round(cpu.gateway.us / cpu.gateway.ms / 10)} % of a core through the gateway, ${Math.round(cpu.direct.us / cpu.direct.ms / 10)} % directly`,
        },
        {
          what: 'CPU per request, its turn included',
          value: `${perRequest('gateway').toFixed(0)} µs through the gateway, ${perRequest('direct').toFixed(0)} µs directly`,
        },
      ],
    };
  },
};

/** Each has had one turn, so that it is bound. */
export async function makeSessions(
  url: string,
  headers: Readonly<Record<string, string>>,
  count: number,
): Promise<string[]> {
  const ids: string[] = [];
  for (let made = 0; made < count; made += 1) {
    const answer = await fetch(`${url}/api/v1/exec`, { method: 'POST', headers, body });
    const text = await answer.text();
    const { session_id: id, status } = JSON.parse(text) as { session_id: string; status: string };
    if (status !== 'completed') throw new Error(`a session could not be made: ${text}`);
    ids.push(id);
  }
  return ids;
}
