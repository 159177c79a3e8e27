// Finds out what this machine allows, by doing it: Codex in a cage, a command in Codex's own sandbox, or
// what is left without. Names what is missing in words; whether to run so is decided elsewhere.

import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import type { Logger } from '../observability/logger.ts';
import { type AgentProcess, startAgent } from './agent-process.ts';
import type { CodexBinary } from './binary.ts';
import { readOnlyPathProblem, type CageNetwork } from './cage.ts';
import { readSystemDirs, writeCageKit } from './cage-kit.ts';
import { explainCageFailure } from './cage-problem.ts';
import type { Isolation } from './launch.ts';

/** The same shape as in the worker's status. */
export type IsolationReport = {
  readonly cage: 'own-root' | 'none';
  readonly cageProblem: string | null;
  readonly innerSandbox: 'bubblewrap' | 'none';
  readonly innerSandboxProblem: string | null;
};

export type ProbeOptions = {
  readonly binary: CodexBinary;
  /** For the cages' shared files, kept, and the trial slots, removed. Out of every cage's sight. */
  readonly workDir: string;
  readonly readOnlyPaths: readonly string[];
  readonly network: CageNetwork;
  readonly clock: Clock;
  readonly logger: Logger;
  /** For one start of Codex; the first on a machine reads 200 MB from its disk. */
  readonly deadlineMs?: number;
};

type InnerSandbox = Pick<IsolationReport, 'innerSandbox' | 'innerSandboxProblem'>;
type Trial =
  | { readonly works: true; readonly inner: InnerSandbox }
  | { readonly works: false; readonly problem: string };

const unshare = ['unshare', '--user', '--map-current-user', '--pid', '--fork', '--kill-child=SIGKILL'];
const uncagedChoices: readonly Isolation[] = [
  { kind: 'uncaged', pidNamespacePrefix: [...unshare, '--mount-proc'] },
  // Where /proc may not be mounted, the end of the namespace is still the end of all in it.
  { kind: 'uncaged', pidNamespacePrefix: unshare },
  { kind: 'uncaged', pidNamespacePrefix: [] },
];

/** Rejects with `agent_start_failed` when Codex starts in no way, `invalid_request` for a path that no cage can have. */
export async function probeIsolation(
  options: ProbeOptions,
): Promise<{ isolation: Isolation; report: IsolationReport }> {
  const pathProblems = options.readOnlyPaths.map(readOnlyPathProblem).filter((problem) => problem !== null);
  if (pathProblems.length > 0)
    throw new ServiceError('invalid_request', { field: 'cage.read_only_paths', problems: pathProblems });
  const kitDir = path.join(options.workDir, 'cage');
  await writeCageKit(kitDir);
  const cage: Isolation = {
    kind: 'cage',
    network: options.network,
    kitDir,
    systemDirs: await readSystemDirs(),
    readOnlyPaths: options.readOnlyPaths,
  };
  const caged = await tryIsolation(cage, options);
  if (caged.works) return { isolation: cage, report: { cage: 'own-root', cageProblem: null, ...caged.inner } };
  const cageProblem = await explainCageFailure(caged.problem);
  let lastProblem = cageProblem;
  for (const isolation of uncagedChoices) {
    const trial = await tryIsolation(isolation, options);
    if (trial.works) return { isolation, report: { cage: 'none', cageProblem, ...trial.inner } };
    lastProblem = trial.problem;
  }
  throw new ServiceError('agent_start_failed', {}, { message: lastProblem });
}

async function tryIsolation(isolation: Isolation, options: ProbeOptions): Promise<Trial> {
  const slotDir = path.join(options.workDir, 'trial');
  await rm(slotDir, { recursive: true, force: true });
  await mkdir(slotDir, { recursive: true, mode: 0o700 });
  let agent: AgentProcess | null = null;
  try {
    agent = await startAgent({
      ...options,
      isolation,
      slotDir,
      homeTemplate: null,
      config: { model: 'probe', streamIdleTimeoutMs: 1_000, fleetVersion: 'probe' },
      modelUpstream: { socketPath: path.join(options.workDir, 'no-model') },
      heartbeatLimitMs: 10_000,
      startDeadlineMs: options.deadlineMs ?? 20_000,
      onNotification: () => {},
      onServerRequest: async () => ({ error: { code: -32601, message: 'nothing is asked here' } }),
    });
    return { works: true, inner: await tryInnerSandbox(agent) };
  } catch (error) {
    return { works: false, problem: error instanceof Error ? error.message : String(error) };
  } finally {
    await agent?.kill();
    await rm(slotDir, { recursive: true, force: true });
  }
}

/** A read-only command that runs, and cannot write: anything else is no sandbox. */
async function tryInnerSandbox(agent: AgentProcess): Promise<InnerSandbox> {
  const file = path.posix.join(agent.paths.ws, 'written-by-probe');
  try {
    const { stdout, stderr } = await agent.calls.commandExec({
      command: ['/bin/bash', '-c', 'echo ran; : 2>/dev/null >"$0" && echo wrote', file],
      cwd: agent.paths.ws,
      sandboxPolicy: { type: 'readOnly', networkAccess: false },
      timeoutMs: 5_000,
    });
    if (stdout === 'ran\n') return { innerSandbox: 'bubblewrap', innerSandboxProblem: null };
    const problem = stdout.includes('wrote')
      ? 'a read-only command could write'
      : `a sandboxed command does not run: ${stderr.trim().slice(0, 500)}`;
    return { innerSandbox: 'none', innerSandboxProblem: problem };
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    return { innerSandbox: 'none', innerSandboxProblem: `a sandboxed command does not run: ${said.slice(0, 500)}` };
  }
}
