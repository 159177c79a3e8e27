// The first events of a new session from a warm pool, against `codex exec --json` from cold.

import { spawn } from 'node:child_process';
import path from 'node:path';
import { type CodexBinary, locateCodex } from '../../src/codex/binary.ts';
import type { Benchmark, Lab } from '../harness/benchmark.ts';
import { Child } from '../harness/child.ts';
import { type Bar, compare } from '../harness/finding.ts';
import { interleave, type Rounds } from '../harness/interleave.ts';
import { bareDir, bareEnvironment, ended } from '../parts/bare-agent.ts';
import { Fleet } from '../parts/fleet.ts';
import { SseReader } from '../parts/sse-reader.ts';

const prompt = 'say: pong';
const warmSlots = 2;
const runLimitMs = 20_000;

const moments = ['first', 'codex', 'answer'] as const;
type Moment = (typeof moments)[number];
type Names = 'baseline' | 'ours' | 'control';
/** From the asking, in milliseconds. */
type Times = Readonly<Record<Moment, number>>;

export const firstEvent: Benchmark = {
  name: 'first-event',
  title: 'First event of a new session',
  method:
    'Baseline: `codex exec --json` started anew in an initialised home, files in the page cache, the demo model on loopback. ' +
    'Ours: `POST /api/v1/exec` with `stream: true` and no session on a fleet with warm slots; the next run waits until the ' +
    'pool is warm again. *First event*: the first line of either. *First word of Codex*: its `thread.started`, or our first ' +
    'event that is a notification of the bound process. *Answer*: the completed message.',
  limitMs: 75_000,
  run: async (lab) => {
    const binary = await locateCodex();
    const { ready } = await Child.start<{ baseUrl: string }>(lab, 'demo-model-child.ts');
    const dir = await bareDir(lab, ready.baseUrl);
    const fleet = await Fleet.start(lab, 6, warmSlots);
    const times: Record<Names, Times[]> = { baseline: [], ours: [], control: [] };
    const cold = (name: Names) => async (): Promise<number[]> => {
      times[name].push(await coldExec(lab, binary, dir));
      return [];
    };
    const warm = async (): Promise<number[]> => {
      await fleet.isWarm(warmSlots);
      times.ours.push(await warmSession(fleet));
      await fleet.isWarm(warmSlots);
      return [];
    };
    const warmUps = 2;
    await interleave(
      { baseline: cold('baseline'), ours: warm, control: cold('control') },
      { rounds: lab.size(20, 6), runsPerRound: 1, warmUps },
    );
    const of = (name: Names, moment: Moment): number[][] => times[name].slice(warmUps).map((one) => [one[moment]]);
    const finding = (what: string, moment: Moment, bar: Bar | null) => {
      const rounds: Rounds<Names> = {
        baseline: of('baseline', moment),
        ours: of('ours', moment),
        control: of('control', moment),
      };
      return compare({ what, unit: 'ms', rounds, quantile: 0.5, as: 'times', bar, tolerance: 0.15 });
    };
    return {
      findings: [
        finding('first event', 'first', { atLeast: 2 }),
        finding('first word of Codex', 'codex', null),
        finding('answer', 'answer', null),
      ],
      facts: [{ what: 'unit of baseline and ours', value: 'ms' }],
    };
  },
};

async function coldExec(lab: Lab, binary: CodexBinary, dir: string): Promise<Times> {
  const startedMs = performance.now();
  const args = ['exec', '--json', '--skip-git-repo-check', prompt];
  const child = spawn(binary.codexPath, args, {
    cwd: path.join(dir, 'ws'),
    env: bareEnvironment(binary, dir),
    stdio: 'pipe',
  });
  lab.defer(() => ended(child));
  child.stdin.end();
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const times = { first: 0, codex: 0, answer: 0 };
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
    const nowMs = performance.now() - startedMs;
    if (times.first === 0 && text.includes('\n')) times.first = times.codex = nowMs;
    if (times.answer === 0 && text.includes('"type":"agent_message"')) times.answer = nowMs;
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), runLimitMs);
  await new Promise((resolve) => child.once('close', resolve));
  clearTimeout(timer);
  if (times.answer === 0) throw new Error(`codex exec gave no answer: ${said.slice(-500)}`);
  return times;
}

async function warmSession(fleet: Fleet): Promise<Times> {
  const times = { first: 0, codex: 0, answer: 0 };
  let text = '';
  const startedMs = performance.now();
  const reader = await SseReader.open({
    url: fleet.url,
    path: '/api/v1/exec',
    headers: fleet.headers,
    body: JSON.stringify({ prompt, stream: true }),
    mark: 'event: turn.completed',
    onText: (more) => {
      text += more;
      const nowMs = performance.now() - startedMs;
      if (times.first === 0 && text.includes('\n\n')) times.first = nowMs;
      if (times.codex === 0 && text.includes('\nevent: codex.')) times.codex = nowMs;
      if (times.answer === 0 && /\nevent: item\.completed\ndata: [^\n]*"type":"agent_message"/.test(text))
        times.answer = nowMs;
    },
  });
  await reader.ended;
  await reader.close();
  if (reader.count !== 1 || times.answer === 0) throw new Error(`no answer: ${text.slice(-500)}`);
  const sessionId = /"session_id":"([^"]+)"/.exec(text)?.[1];
  if (sessionId !== undefined) await fleet.erase(sessionId);
  return times;
}
