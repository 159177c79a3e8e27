// Where values come from: the file, the environment, the flags. Each source yields what it gives, by
// setting and with its origin, and problems with names that it does not know. Values are not judged here.

import { dirname, isAbsolute, join, resolve } from 'node:path';
import { parse as parseToml, TomlError } from 'smol-toml';
import type { Environment, HostFacts } from './host-facts.ts';
import type { ConfigProblem } from './problems.ts';
import type { Setting } from './setting.ts';
import { nearestName } from './suggestion.ts';
import { tomlPlaces } from './toml-places.ts';
import { parseQuantity } from './units.ts';

export type Origin = {
  readonly source: 'default' | 'file' | 'environment' | 'flag';
  /** `--port`, `CODEX_FLEET_PORT`, or the place in the file, `path:line:column`; empty for a default. */
  readonly name: string;
};

export type GivenValue = { readonly value: unknown; readonly shown: string; readonly origin: Origin };
export type Source = { readonly given: ReadonlyMap<string, GivenValue>; readonly problems: readonly ConfigProblem[] };

/** By flag name, such as `--port`, as written on the command line. */
export type Flags = Readonly<Record<string, string>>;

/** Read by the command line, not settings. */
const otherVariables = ['CODEX_FLEET_CONFIG', 'CODEX_FLEET_URL', 'CODEX_FLEET_TOKEN'] as const;
const internalPrefix = 'CODEX_FLEET_INTERNAL_';

/**
 * Kubernetes adds variables for each Service of the namespace: for one called codex-fleet,
 * CODEX_FLEET_SERVICE_HOST, CODEX_FLEET_PORT=tcp://…, CODEX_FLEET_PORT_8080_TCP_ADDR. None is meant for us.
 */
const serviceLinkName = /_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$/;
const serviceLinkValue = /^(tcp|udp|sctp):\/\//;

export function fromFlags(settings: readonly Setting[], flags: Flags, facts: HostFacts): Source {
  const given = new Map<string, GivenValue>();
  for (const setting of settings) {
    const text = setting.flag === undefined ? undefined : flags[setting.flag];
    if (setting.flag === undefined || text === undefined) continue;
    given.set(setting.path, givenText(setting, text, { source: 'flag', name: setting.flag }, facts));
  }
  return { given, problems: [] };
}

export function fromEnvironment(settings: readonly Setting[], env: Environment, facts: HostFacts): Source {
  const given = new Map<string, GivenValue>();
  const problems: ConfigProblem[] = [];
  const isGiven = (name: string): boolean => (env[name] ?? '') !== '' && !serviceLinkValue.test(env[name] ?? '');
  const known = new Set<string>(otherVariables);
  for (const setting of settings) {
    if (setting.variable === null) continue;
    known.add(setting.variable);
    const name = [setting.variable, ...(setting.envAliases ?? [])].find(isGiven);
    if (name === undefined) continue;
    given.set(setting.path, givenText(setting, env[name] ?? '', { source: 'environment', name }, facts));
  }
  for (const name of Object.keys(env)) {
    if (!name.startsWith('CODEX_FLEET_') || name.startsWith(internalPrefix) || known.has(name)) continue;
    if (!isGiven(name) || serviceLinkName.test(name)) continue;
    problems.push({
      key: null,
      message: `${name}: there is no such variable${didYouMean(nearestName(name, [...known]))}`,
    });
  }
  return { given, problems };
}

export function fromFile(settings: readonly Setting[], path: string, text: string, facts: HostFacts): Source {
  const given = new Map<string, GivenValue>();
  const problems: ConfigProblem[] = [];
  let root: Record<string, unknown>;
  try {
    root = parseToml(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const reason = error.message.split('\n')[0]?.replace(/^Invalid TOML document: /, '') ?? '';
    return {
      given,
      problems: [{ key: null, message: `${path}:${error.line}:${error.column}: ${reason}` }],
    };
  }

  const byKey = new Map(settings.map((setting) => [setting.key, setting]));
  const base = { ...facts, cwd: dirname(path) };
  const places = tomlPlaces(text);
  const placeOf = (key: string): string => {
    const place = places.get(key);
    return place === undefined ? path : `${path}:${place.line}:${place.column}`;
  };
  const visit = (table: Readonly<Record<string, unknown>>, prefix: string): void => {
    for (const [name, value] of Object.entries(table)) {
      const key = `${prefix}${name}`;
      const setting = byKey.get(key);
      if (setting !== undefined) {
        given.set(setting.path, givenValue(setting, value, { source: 'file', name: placeOf(key) }, base));
      } else if (isTable(value) && settings.some((candidate) => candidate.key.startsWith(`${key}.`))) {
        visit(value, `${key}.`);
      } else {
        problems.push({
          key,
          message: `${placeOf(key)}: there is no setting ${key}${didYouMean(nearestKey(key, name, settings))}`,
        });
      }
    }
  };
  visit(root, '');
  return { given, problems };
}

/** A right name in the wrong table is meant more often than a similar name in the right one. */
function nearestKey(key: string, name: string, settings: readonly Setting[]): string | null {
  const keys = settings.map((setting) => setting.key);
  const groups = keys.flatMap((known) => (known.includes('.') ? [known.slice(0, known.indexOf('.'))] : []));
  return keys.find((known) => known.endsWith(`.${name}`)) ?? nearestName(key, [...keys, ...groups]);
}

function didYouMean(name: string | null): string {
  return name === null ? '' : `; did you mean ${name}?`;
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function givenText(setting: Setting, text: string, origin: Origin, facts: HostFacts): GivenValue {
  const value = setting.kind === 'list' || setting.kind === 'path-list' ? splitList(text) : text.trim();
  return { ...givenValue(setting, value, origin, facts), shown: shownText(setting, JSON.stringify(text)) };
}

function givenValue(setting: Setting, value: unknown, origin: Origin, facts: HostFacts): GivenValue {
  return { value: toValue(setting, value, facts), shown: shownText(setting, JSON.stringify(value)), origin };
}

function shownText(setting: Setting, text: string): string {
  if (setting.secret === true) return '(hidden)';
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

/** What cannot be read as the kind asks stays as it is, for the schema to refuse. */
function toValue(setting: Setting, value: unknown, facts: HostFacts): unknown {
  switch (setting.kind) {
    case 'number':
      return typeof value === 'string' ? (parseQuantity(value, setting.unit) ?? value) : value;
    case 'boolean':
      if (value === 'true' || value === '1') return true;
      if (value === 'false' || value === '0') return false;
      return value;
    case 'path':
      return typeof value === 'string' && value !== '' ? toPath(value, facts) : value;
    case 'path-list':
      return Array.isArray(value)
        ? value.map((entry: unknown) => (typeof entry === 'string' && entry !== '' ? toPath(entry, facts) : entry))
        : value;
    case 'text':
    case 'choice':
    case 'list':
    case 'tables':
      return value;
  }
}

function splitList(text: string): string[] {
  return text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
}

function toPath(text: string, facts: HostFacts): string {
  if (text === '~' || text.startsWith('~/')) return join(facts.homeDir, text.slice(1));
  return isAbsolute(text) ? resolve(text) : resolve(facts.cwd, text);
}
