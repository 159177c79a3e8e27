// Makes the Config of a process: defaults, then the file, the environment, the flags, the later over the
// earlier. Collects every problem before it gives up; what it answers is whole and frozen.

import { join, resolve } from 'node:path';
import { allowedValues, ConfigProblems, settingNames } from './problems.ts';
import type { ConfigProblem } from './problems.ts';
import type { Environment, HostFacts } from './host-facts.ts';
import { defaultDataDir, findConflicts, resolveConfig } from './resolve.ts';
import type { Config, ConfigRole } from './resolve.ts';
import { settingsSchema } from './schema.ts';
import type { Settings } from './schema.ts';
import { listSettings } from './setting.ts';
import type { Setting } from './setting.ts';
import { fromEnvironment, fromFile, fromFlags } from './sources.ts';
import type { Flags, GivenValue, Origin, Source } from './sources.ts';

export type LoadInput = {
  readonly env: Environment;
  readonly flags: Flags;
  /** `--config`: the file to read instead of the data directory's. */
  readonly configFile?: string;
  readonly facts: HostFacts;
  /** Some rules are for one role alone. */
  readonly role?: ConfigRole;
  /** The file's text, or null when there is none. Throws when there is one that cannot be read. */
  readonly readFile: (path: string) => string | null;
};

export type LoadedConfig = {
  readonly config: Config;
  /** Where each setting came from, by its path in Config (`server.port`). */
  readonly origins: ReadonlyMap<string, Origin>;
  /** null when no file was read. */
  readonly file: string | null;
};

export const allSettings: readonly Setting[] = listSettings(settingsSchema);

/** Throws ConfigProblems. */
export function loadConfig(input: LoadInput): LoadedConfig {
  const flags = fromFlags(allSettings, input.flags, input.facts);
  const environment = fromEnvironment(allSettings, input.env, input.facts);
  const file = readFileSource(input, flags.given.get('dataDir') ?? environment.given.get('dataDir'));
  const sources = [file.source, environment, flags];
  const given = new Map(sources.flatMap((source) => [...source.given]));
  const problems = sources.flatMap((source) => source.problems);

  const { settings, refused } = parseSettings(given);
  problems.push(...refused.values());

  const hasKeyVariable = (input.env[settings.model.apiKeyEnv] ?? '') !== '';
  const resolveInput = { role: input.role ?? null, settings, facts: input.facts, hasKeyVariable };
  const config = resolveConfig(resolveInput);
  for (const conflict of findConflicts(config, resolveInput)) {
    // A refused value was replaced by its default: what follows from that is not the person's problem.
    if (conflict.paths.some((path) => refused.has(path))) continue;
    problems.push(conflictProblem(conflict.paths, conflict.message, given));
  }
  if (problems.length > 0) throw new ConfigProblems(problems);

  const origins = new Map(
    allSettings.map(({ path }) => [path, given.get(path)?.origin ?? { source: 'default' as const, name: '' }]),
  );
  return { config: deepFreeze(config), origins, file: file.path };
}

function readFileSource(input: LoadInput, dataDir: GivenValue | undefined): { path: string | null; source: Source } {
  const none: Source = { given: new Map(), problems: [] };
  const variable = input.env['CODEX_FLEET_CONFIG'] ?? '';
  const named = input.configFile ?? (variable === '' ? undefined : variable);
  const home = typeof dataDir?.value === 'string' ? dataDir.value : defaultDataDir(input.facts);
  const path = named === undefined ? join(home, 'config.toml') : resolve(input.facts.cwd, named);
  const failed = (message: string): { path: string; source: Source } => ({
    path,
    source: { ...none, problems: [{ key: null, message: `${path}: ${message}` }] },
  });

  let text: string | null;
  try {
    text = input.readFile(path);
  } catch (error) {
    return failed(`cannot be read (${error instanceof Error ? error.message : String(error)})`);
  }
  if (text === null && named === undefined) return { path: null, source: none };
  if (text === null) {
    return failed(`there is no such file (${input.configFile === undefined ? 'CODEX_FLEET_CONFIG' : '--config'})`);
  }
  const source = fromFile(allSettings, path, text, input.facts);
  if (named === undefined && source.given.has('dataDir')) {
    return failed('data_dir cannot be set in the file that lies in the data directory');
  }
  return { path, source };
}

/** Refused values are left out, so that the rest can still be judged. */
function parseSettings(given: ReadonlyMap<string, GivenValue>): {
  settings: Settings;
  refused: ReadonlyMap<string, ConfigProblem>;
} {
  const refused = new Map<string, ConfigProblem>();
  for (const setting of allSettings) {
    const entry = given.get(setting.path);
    if (entry === undefined) continue;
    const result = setting.schema.safeParse(entry.value);
    if (result.success) continue;
    const details =
      setting.kind === 'tables'
        ? ` (${result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ')})`
        : '';
    refused.set(setting.path, {
      key: setting.key,
      message: `${settingNames(setting)}: got ${entry.shown} from ${entry.origin.name}; allowed: ${allowedValues(setting)}${details}`,
    });
  }
  const accepted = [...given].filter(([path]) => !refused.has(path));
  return { settings: settingsSchema.parse(toTree(accepted)), refused };
}

function toTree(entries: readonly (readonly [string, GivenValue])[]): Record<string, unknown> {
  const tree: Record<string, Record<string, unknown>> = {};
  const roots: Record<string, unknown> = {};
  for (const [path, { value }] of entries) {
    const [group, name] = path.split('.');
    if (group === undefined) continue;
    if (name === undefined) roots[group] = value;
    else (tree[group] ??= {})[name] = value;
  }
  return { ...tree, ...roots };
}

function conflictProblem(
  paths: readonly string[],
  message: string,
  given: ReadonlyMap<string, GivenValue>,
): ConfigProblem {
  const involved = allSettings.filter((setting) => paths.includes(setting.path));
  const chosen = involved.filter((setting) => given.has(setting.path));
  const named = (chosen.length > 0 ? chosen : involved)
    .map((setting) => {
      const origin = given.get(setting.path)?.origin;
      return origin?.source === 'file' ? `${settingNames(setting)} from ${origin.name}` : settingNames(setting);
    })
    .join(' and ');
  return { key: (chosen[0] ?? involved[0])?.key ?? null, message: `${named}: ${message}` };
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  for (const child of Object.values(value)) deepFreeze(child);
  return Object.freeze(value);
}
