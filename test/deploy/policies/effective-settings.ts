// The settings that a container of the product really runs with: its environment, files and arguments, put
// through the product's own loading, on the machine that its limits describe.

import type { IContainer } from 'kubernetes-models/v1/Container';
import { allSettings, loadConfig } from '../../../src/config/load.ts';
import type { LoadedConfig } from '../../../src/config/load.ts';
import { ConfigProblems } from '../../../src/config/problems.ts';
import type { Config } from '../../../src/config/resolve.ts';
import type { HostFacts } from '../../../src/config/host-facts.ts';
import { type StartedWith, startedWith } from './environment.ts';
import { isOwnImage } from './images.ts';
import { allContainers, type Rendered, type Workload, workloads } from './objects.ts';
import { GiB, quantity } from './quantities.ts';

export const roles = ['gateway', 'worker', 'session-manager', 'model-proxy'] as const;
export type Role = (typeof roles)[number];

export type RoleContainer = {
  readonly workload: Workload;
  readonly container: IContainer;
  /** null when its arguments name no role. */
  readonly role: Role | null;
  readonly startedWith: StartedWith;
  /** null when the product refuses its settings; `problems` says why. */
  readonly loaded: LoadedConfig | null;
  readonly problems: readonly string[];
};

const known = new WeakMap<Rendered, readonly RoleContainer[]>();

/** Every container of ours, with the settings it would start with. Worked out once for each rendering. */
export function roleContainers(rendered: Rendered): readonly RoleContainer[] {
  const before = known.get(rendered);
  if (before !== undefined) return before;
  const found = workloads(rendered).flatMap((workload) =>
    allContainers(workload)
      .filter(({ image }) => isOwnImage(image ?? ''))
      .map((container) => start(rendered, workload, container)),
  );
  known.set(rendered, found);
  return found;
}

/** Those of one role whose settings the product accepts. */
export function configured(rendered: Rendered, role: Role): (RoleContainer & { readonly config: Config })[] {
  return roleContainers(rendered).flatMap((each) =>
    each.role === role && each.loaded !== null ? [{ ...each, config: each.loaded.config }] : [],
  );
}

function start(rendered: Rendered, workload: Workload, container: IContainer): RoleContainer {
  const with_ = startedWith(rendered, workload, container);
  const [command = '', ...rest] = container.args ?? [];
  const role = roles.find((name) => name === command) ?? null;
  const { flags, configFile, unknown } = readArguments(rest);
  const base = { workload, container, role, startedWith: with_ };
  try {
    const loaded = loadConfig({
      env: with_.env,
      flags,
      facts: factsOf(workload, container),
      readFile: (path) => with_.files.get(path) ?? null,
      ...(configFile === null ? {} : { configFile }),
    });
    return { ...base, loaded, problems: unknown };
  } catch (error) {
    if (!(error instanceof ConfigProblems)) throw error;
    return { ...base, loaded: null, problems: [...unknown, ...error.problems.map(({ message }) => message)] };
  }
}

function factsOf(workload: Workload, container: IContainer): HostFacts {
  const { limits, requests } = container.resources ?? {};
  return {
    cores: Math.max(1, Math.ceil(quantity(limits?.['cpu'] ?? requests?.['cpu']) ?? 1)),
    memoryBytes: quantity(limits?.['memory'] ?? requests?.['memory']) ?? GiB,
    hostname: `${workload.name}-0`,
    homeDir: '/nonexistent',
    cwd: container.workingDir ?? '/app',
    stderrIsTerminal: false,
  };
}

/** `--name value` and `--name=value`, as the command line reads them. */
function readArguments(words: readonly string[]) {
  const flags: Record<string, string> = {};
  const unknown: string[] = [];
  let configFile: string | null = null;
  for (let at = 0; at < words.length; at += 1) {
    const [name = '', inline] = (words[at] ?? '').split(/=(.*)/s);
    const value = inline ?? words[(at += 1)] ?? '';
    if (name === '--config') configFile = value;
    else if (allSettings.some(({ flag }) => flag === name)) flags[name] = value;
    else unknown.push(`the argument ${name} is no setting`);
  }
  return { flags, configFile, unknown };
}
