// `codex-fleet doctor`: everything that a fleet needs of this machine, tried out with the settings that
// a start would use. Changes nothing that stays; all checks at once, each with a deadline.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { locateCodex } from '../codex/binary.ts';
import { probeIsolation } from '../codex/probe.ts';
import { readEnvironment, readHostFacts } from '../config/host-facts.ts';
import { readModelKey } from '../config/model-key.ts';
import type { Config } from '../config/resolve.ts';
import { createSilentLogger } from '../observability/logger.ts';
import { SystemClock } from '../observability/system-clock.ts';
import { pinnedVersion } from '../protocol/features.ts';
import { discoverFleet } from './data-dir.ts';
import { checkGoogle } from './doctor-google.ts';
import { checkDataDir, checkDisk, checkNode, checkPort, checkSockets } from './doctor-host.ts';
import { checkClock, checkResources, checkUserNamespaces } from './doctor-machine.ts';
import { checkModel } from './doctor-model.ts';
import { checkModelProxy, checkRedis, checkRunning, type DoctorRole, roleOfContainer } from './doctor-role.ts';
import { fail, ok, warn, type Check } from './doctor-check.ts';

/** In all, with what a start of Node costs, a diagnosis stays below five seconds. */
const deadlineMs = 4_000;

/** Of one role of a cluster, where one is named or this container is one's; else of a whole fleet on this machine. */
export async function diagnose(config: Config, role: DoctorRole | null = null): Promise<Check[]> {
  const own = role === null ? await roleOfContainer() : null;
  const asked = role ?? own;
  return asked === null ? await diagnoseFleet(config) : await diagnoseRole(config, asked, own !== null);
}

async function diagnoseFleet(config: Config): Promise<Check[]> {
  const clock = new SystemClock();
  const facts = readHostFacts();
  const checks: Pending = [
    ['node', Promise.resolve(checkNode(process.versions.node))],
    ['codex', checkCodex()],
    ['cage', checkIsolation(config, clock)],
    ['user_namespaces', checkUserNamespaces()],
    ['model', checkModel(config.model, () => readModelKey(config.model, readEnvironment()), deadlineMs - 500)],
    ['google', checkGoogle(config, clock, deadlineMs - 500)],
    ['port', checkPort(config.server, async () => (await discoverFleet(config.dataDir))?.url ?? null)],
    ['clock', checkClock(clock)],
    ['data_dir', checkDataDir(config.dataDir)],
    ['disk', checkDisk(config.dataDir)],
    ['sockets', Promise.resolve(checkSockets(config.dataDir, tmpdir()))],
    ['resources', Promise.resolve(checkResources(facts.cores, facts.memoryBytes, config.worker.slots))],
  ];
  return await inOrder(checks, clock);
}

type Pending = readonly (readonly [name: string, Promise<Check | readonly Check[]>])[];

async function inOrder(checks: Pending, clock: SystemClock): Promise<Check[]> {
  const done = await Promise.all(checks.map(([name, check]) => inTime(name, check, clock)));
  return done.flat();
}

async function diagnoseRole(config: Config, role: DoctorRole, mustRun: boolean): Promise<Check[]> {
  const clock = new SystemClock();
  const limitMs = deadlineMs - 500;
  const { check, isRunning } = await checkRunning(config, role, mustRun, limitMs);
  const isProxy = role === 'model-proxy';
  const needsRedis = !isProxy || config.redis.url !== null;
  const readKey = (): string | null => readModelKey(config.model, readEnvironment());
  const checks: (Pending[number] | null)[] = [
    [role, Promise.resolve(check)],
    ['node', Promise.resolve(checkNode(process.versions.node))],
    // One that runs has tried its cage, and says in its log and at /health what came of it.
    role === 'worker' ? ['codex', checkCodex()] : null,
    role === 'worker' && !isRunning ? ['cage', checkIsolation(config, clock)] : null,
    needsRedis ? ['redis', checkRedis(config, clock, limitMs)] : null,
    isProxy ? ['model', checkModel(config.model, readKey, limitMs)] : ['model_proxy', checkModelProxy(config, limitMs)],
    role === 'gateway' || role === 'session-manager' ? ['google', checkGoogle(config, clock, limitMs)] : null,
    ['clock', checkClock(clock)],
    ...(isProxy ? [] : dataDirChecks(config)),
  ];
  return await inOrder(
    checks.filter((one) => one !== null),
    clock,
  );
}

function dataDirChecks({ dataDir }: Config): Pending[number][] {
  return [
    ['data_dir', checkDataDir(dataDir)],
    ['disk', checkDisk(dataDir)],
  ];
}

async function checkCodex(): Promise<Check> {
  const { version, bwrapPath } = await locateCodex();
  if (version !== pinnedVersion) {
    return warn(
      'codex',
      `Codex ${version} is installed; this version of Codex Fleet was made for ${pinnedVersion}`,
      `npm install @openai/codex@${pinnedVersion}`,
    );
  }
  if (bwrapPath === null) {
    return warn(
      'codex',
      `Codex ${version}, without its bubblewrap: no cage can be made`,
      'install @openai/codex again',
    );
  }
  return ok('codex', `Codex ${version}, the version that this was made for`);
}

async function checkIsolation(config: Config, clock: SystemClock): Promise<Check[]> {
  const workDir = await mkdtemp(path.join(tmpdir(), 'codex-fleet-doctor-'));
  try {
    const { report } = await probeIsolation({
      binary: await locateCodex(),
      workDir,
      readOnlyPaths: config.cage.readOnlyPaths,
      network: config.cage.network,
      clock,
      logger: createSilentLogger(),
      deadlineMs: deadlineMs - 500,
    });
    return [cageCheck(report.cageProblem, config.cage.allowNone), sandboxCheck(report.innerSandboxProblem)];
  } finally {
    await rm(workDir, { recursive: true, force: true });
  }
}

function cageCheck(problem: string | null, allowNone: boolean): Check {
  if (problem === null) return ok('cage', 'Codex runs in a cage: a root, processes and a network of its own');
  const advice = 'allow user namespaces for this user, or see cage.allow_none in docs/reference/config.md';
  if (allowNone) return warn('cage', `no cage can be made, agents could read what this user can: ${problem}`, advice);
  return fail('cage', `no cage can be made, and cage.allow_none is false: ${problem}`, advice);
}

function sandboxCheck(problem: string | null): Check {
  return problem === null
    ? ok('sandbox', "Codex's own sandbox holds around single commands")
    : warn(
        'sandbox',
        `Codex's own sandbox does not work here: ${problem}`,
        'the cage alone separates commands from the host',
      );
}

async function inTime(
  name: string,
  check: Promise<Check | readonly Check[]>,
  clock: SystemClock,
): Promise<readonly Check[]> {
  const { promise: late, resolve } = Promise.withResolvers<Check>();
  const cancel = clock.after(deadlineMs, () =>
    resolve(fail(name, `no answer within ${deadlineMs} ms`, 'the machine is slow or busy: try again')),
  );
  try {
    return [await Promise.race([check, late])].flat();
  } catch (error) {
    return [fail(name, error instanceof Error ? error.message : String(error), null)];
  } finally {
    cancel();
  }
}
