// What the commit at the end of a turn costs, against the number of files in the workspace.

import { execFile } from 'node:child_process';
import { statfs } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Benchmark, Fact, Lab } from '../harness/benchmark.ts';
import { Child } from '../harness/child.ts';
import { compare, type Finding, level } from '../harness/finding.ts';
import { interleave } from '../harness/interleave.ts';
import { median } from '../harness/statistics.ts';
import { Fleet } from '../parts/fleet.ts';
import type { CommitKind, CommitTook, MadeTree, TreeJob } from '../parts/snapshots-facts.ts';

const GiB = 1024 ** 3;
const MiB = 1024 ** 2;
const fullSizes = [0, 1_000, 10_000, 100_000];
const quickSizes = [0, 1_000, 10_000];
const smallFileBytes = 2 * 1024;
/** So that 100,000 are 2 GiB. */
const largeFileBytes = Math.ceil((2 * GiB) / 100_000);
const kinds = { plain: 'no tool', tool: 'a tool, nothing changed', changed: 'one file changed' } as const;
const boundFiles = 100_000;
const boundMs = 400;
const makeLimitMs = 90_000;

export const commitCost: Benchmark = {
  name: 'commit',
  title: 'The commit of a turn, by the number of files',
  method:
    'What is added to a turn by taking its snapshot, durably, on the disk: the rollout’s tail, the turn’s events, and after ' +
    'the call of a tool a walk through the workspace. Each in random order on trees that stand side by side; the control is ' +
    'the same once more, the baseline of a walk the bare names and `lstat` of the same files. *Whole turn*: `POST ' +
    '/api/v1/exec` on a session with files, against one without, on one fleet; a second one without is its control.',
  limitMs: 150_000,
  run: async (lab) => {
    const trees = await measureTrees(lab);
    const turns = await measureTurns(lab);
    return { findings: [...trees.findings, ...turns], facts: trees.facts };
  },
};

async function measureTrees(lab: Lab): Promise<{ findings: Finding[]; facts: Fact[] }> {
  const { child } = await Child.start(lab, 'snapshots-child.ts', { dir: path.join(lab.dir, 'trees') });
  const sizes = lab.isQuick ? quickSizes : fullSizes;
  const most = sizes.at(-1) ?? 0;
  const hasRoom = await hasRoomFor(lab, 2 * most * largeFileBytes);
  const bytesOf = (files: number): number => (files === boundFiles && hasRoom ? largeFileBytes : smallFileBytes);
  const memoryBefore = await child.memory();
  let made: MadeTree = { firstMs: 0, storedBytes: 0 };
  for (const files of sizes) {
    const job: TreeJob = { files, fileBytes: bytesOf(files) };
    made = await child.ask<MadeTree>('make', job, makeLimitMs);
  }
  const grownMiB = ((await child.memory()).rss - memoryBefore.rss) / MiB;
  // What the files' writer left to the kernel must not go to the disk while others wait for theirs.
  await promisify(execFile)('sync', ['-f', lab.dir]);

  const walks: CommitTook[] = [];
  const commit = (files: number, kind: CommitKind) => async (): Promise<number[]> => {
    const took = await child.ask<CommitTook>('commit', { files, kind });
    if (files === most && kind === 'tool') walks.push(took);
    return [took.ms];
  };
  const cases = sizes.flatMap((files) =>
    (Object.keys(kinds) as CommitKind[])
      .filter((kind) => files > 0 || kind !== 'changed')
      .map((kind) => ({ files, kind })),
  );
  const variants = cases.flatMap(({ files, kind }) => [
    [`${files} ${kind}`, commit(files, kind)] as const,
    [`${files} ${kind} again`, commit(files, kind)] as const,
    ...(kind === 'tool' ? [[`${files} look`, async () => [await child.ask<number>('look', { files })]] as const] : []),
  ]);
  const schedule = { rounds: lab.size(7, 5), runsPerRound: 1, warmUps: 1 };
  const rounds = await interleave(Object.fromEntries(variants), schedule);
  await child.stop();
  const findings = cases.map(({ files, kind }) =>
    level({
      what: `${files.toLocaleString('en')} files, ${kinds[kind]}`,
      unit: 'ms',
      ours: (rounds[`${files} ${kind}`] ?? []).flat(),
      control: (rounds[`${files} ${kind} again`] ?? []).flat(),
      ...(kind === 'tool' ? { baseline: (rounds[`${files} look`] ?? []).flat() } : {}),
      bar: files === boundFiles && kind !== 'changed' ? { atMost: boundMs } : null,
    }),
  );
  const all = `${most.toLocaleString('en')} files`;
  const loopMs = walks.map((walk) => walk.loopMs);
  const facts = [
    {
      what: `first snapshot of ${all} of ${bytesOf(most)} bytes`,
      value: `${(made.firstMs / 1000).toFixed(1)} s, ${(made.storedBytes / MiB).toFixed(0)} MiB stored`,
    },
    {
      what: `CPU of the process while ${all} are walked`,
      value: `${median(walks.map(({ cpuMs }) => cpuMs)).toFixed(0)} ms`,
    },
    {
      what: `event loop of the main thread held, at most, while ${all} are walked`,
      value: `${median(loopMs).toFixed(1)} ms (median), ${Math.max(...loopMs).toFixed(1)} ms (worst of ${loopMs.length})`,
    },
    { what: 'memory of the process for what it knows of all trees', value: `${grownMiB.toFixed(0)} MiB` },
  ];
  if (most === boundFiles && !hasRoom) {
    facts.push({ what: 'file size', value: 'smaller than the bar speaks of: the disk has no room for 2 GiB twice' });
  }
  return { findings, facts };
}

async function hasRoomFor(lab: Lab, bytes: number): Promise<boolean> {
  const { bavail, bsize } = await statfs(lab.dir);
  return bavail * bsize > 2 * bytes;
}

async function measureTurns(lab: Lab): Promise<Finding[]> {
  const files = lab.size(10_000, 1_000);
  const fleet = await Fleet.start(lab, 4, 1);
  const without = await session(fleet, 0);
  const again = await session(fleet, 0);
  const withFiles = await session(fleet, files);
  await fleet.isWarm(1);
  const findings: Finding[] = [];
  for (const [what, prompt] of [
    ['no tool', 'say: pong'],
    ['a tool, nothing changed', 'run: true'],
  ] as const) {
    const turn = (sessionId: string) => async (): Promise<number[]> => {
      const startedMs = performance.now();
      await fleet.exec(prompt, sessionId);
      return [performance.now() - startedMs];
    };
    const rounds = await interleave(
      { baseline: turn(without), control: turn(again), ours: turn(withFiles) },
      { rounds: lab.size(5, 3), runsPerRound: lab.size(4, 3), warmUps: 4 },
    );
    const name = `whole turn with ${files.toLocaleString('en')} files, ${what}`;
    findings.push(compare({ what: name, unit: 'ms', rounds, quantile: 0.5, as: 'added', bar: null }));
  }
  return findings;
}

async function session(fleet: Fleet, files: number): Promise<string> {
  const { session_id: sessionId } = await fleet.exec('say: pong', null);
  const directory = 'mkdir d$d; for f in $(seq 100); do echo "$d $f" > d$d/f$f; done';
  if (files > 0) await fleet.command(sessionId, `for d in $(seq ${files / 100}); do ${directory}; done`);
  await fleet.isWarm(1);
  return sessionId;
}
