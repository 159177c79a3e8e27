// Waking a hibernated session, against starting a process and resuming the same thread in it.

import { cp, mkdir, readdir, rename } from 'node:fs/promises';
import path from 'node:path';
import { type CodexBinary, locateCodex } from '../../src/codex/binary.ts';
import { mintId } from '../../src/core/ids.ts';
import type { Benchmark, Lab } from '../harness/benchmark.ts';
import { Child } from '../harness/child.ts';
import { compare } from '../harness/finding.ts';
import { interleave } from '../harness/interleave.ts';
import { BareAgent, bareDir, type BareThread } from '../parts/bare-agent.ts';
import { Fleet } from '../parts/fleet.ts';

const directories = 20;
const filesEach = 50;
const earlierTurns = 5;
const warmSlots = 2;

export const waking: Benchmark = {
  name: 'waking',
  title: 'Waking a hibernated session',
  method:
    `A session of ${earlierTurns} turns and ${directories * filesEach} files. Baseline: a bare \`codex app-server\` from the start of the process ` +
    'to the answer of `thread/resume`, in an initialised home that holds a copy of the same rollout. Ours: `POST …/wake` on the ' +
    'hibernated session, from the request to the answer, which comes when a warm slot has the files and Codex has loaded the ' +
    'thread; the next run waits until the session hibernates and the pool is warm again. *At rest*: its files are on this host. ' +
    '*Restored*: they were taken away, and come from the snapshot.',
  limitMs: 75_000,
  run: async (lab) => {
    const binary = await locateCodex();
    const { ready } = await Child.start<{ baseUrl: string }>(lab, 'demo-model-child.ts');
    const fleet = await Fleet.start(lab, 4, warmSlots);
    const sessionId = await livedSession(fleet);
    const thread = await copyOf(lab, fleet, sessionId, ready.baseUrl);
    // Its home is initialised by the first process.
    await coldResume(lab, binary, thread);

    const wake = (prepare: () => Promise<void>) => async (): Promise<number[]> => {
      await fleet.hibernate(sessionId);
      await prepare();
      await fleet.isWarm(warmSlots);
      const startedMs = performance.now();
      await fleet.wake(sessionId);
      return [performance.now() - startedMs];
    };
    const rounds = await interleave(
      {
        baseline: () => coldResume(lab, binary, thread),
        control: () => coldResume(lab, binary, thread),
        ours: wake(async () => {}),
        restored: wake(() => takeAway(lab, fleet, sessionId)),
      },
      { rounds: lab.size(15, 4), runsPerRound: 1, warmUps: lab.size(2, 1) },
    );
    await assertWhole(fleet, sessionId);
    const finding = { unit: 'ms', quantile: 0.5, as: 'times', tolerance: 0.15 } as const;
    return {
      findings: [
        compare({ ...finding, what: 'at rest', rounds, bar: { atLeast: 2.5 } }),
        compare({ ...finding, what: 'restored', rounds: { ...rounds, ours: rounds.restored }, bar: null }),
      ],
      facts: [{ what: 'unit of baseline and ours', value: 'ms' }],
    };
  },
};

async function livedSession(fleet: Fleet): Promise<string> {
  const { session_id: sessionId } = await fleet.exec('say: turn 1', null);
  for (let turn = 2; turn <= earlierTurns; turn += 1) await fleet.exec(`say: turn ${turn}`, sessionId);
  const files = `for f in $(seq ${filesEach}); do echo "$d $f" > d$d/f$f; done`;
  await fleet.command(sessionId, `for d in $(seq ${directories}); do mkdir d$d; ${files}; done`);
  await fleet.hibernate(sessionId);
  return sessionId;
}

/** The same rollout and the same files, for a process without a fleet. */
async function copyOf(lab: Lab, fleet: Fleet, sessionId: string, baseUrl: string): Promise<BareThread> {
  const resting = (await restingPaths(fleet, sessionId)).find((found) => path.basename(found) === sessionId);
  if (resting === undefined) throw new Error('the hibernated session has no files at rest');
  const dir = await bareDir(lab, baseUrl);
  await cp(path.join(resting, 'sessions'), path.join(dir, 'home', 'sessions'), { recursive: true });
  await cp(path.join(resting, 'ws'), path.join(dir, 'ws'), { recursive: true });
  return { id: sessionId, dir };
}

async function coldResume(lab: Lab, binary: CodexBinary, thread: BareThread): Promise<number[]> {
  const startedMs = performance.now();
  const agent = await BareAgent.resume(lab, binary, thread);
  const tookMs = performance.now() - startedMs;
  await agent.stop();
  return [tookMs];
}

/** Moved, not deleted: ext4 takes half a millisecond to create a file while many were deleted a moment ago. */
async function takeAway(lab: Lab, fleet: Fleet, sessionId: string): Promise<void> {
  const found = await restingPaths(fleet, sessionId);
  if (found.length === 0) throw new Error('the hibernated session has no files at rest');
  const away = path.join(lab.dir, mintId());
  await mkdir(away);
  for (const one of found) await rename(one, path.join(away, path.basename(one)));
}

/** The session's files while no slot has them, and what is kept beside them. */
async function restingPaths(fleet: Fleet, sessionId: string): Promise<string[]> {
  const root = path.join(fleet.dataDir, 'worker', 'sessions');
  const tenants = await readdir(root);
  const names = await Promise.all(
    tenants.map(async (tenant) =>
      (await readdir(path.join(root, tenant))).map((name) => path.join(root, tenant, name)),
    ),
  );
  return names.flat().filter((found) => path.basename(found).startsWith(sessionId));
}

/** Fast is no use if something is missing. */
async function assertWhole(fleet: Fleet, sessionId: string): Promise<void> {
  const { stdout } = await fleet.exec('recall', sessionId);
  for (let turn = 1; turn <= earlierTurns; turn += 1) {
    if (!stdout.includes(`turn ${turn}`)) throw new Error(`turn ${turn} is forgotten: ${stdout}`);
  }
  const files = Number(await fleet.command(sessionId, 'find . -type f | wc -l'));
  if (files !== directories * filesEach) throw new Error(`${files} files are left`);
}
