// Whether a command is one that the tools know: each word of its path, each flag, each value of a flag that takes
// one of some; that nothing is retired; that no preview is asked for what is generally available.

import { flagsLast } from './flags-last.ts';
import type { Flag, Known, KnownTools } from './known.ts';
import { retired } from './retired.ts';

/** A flag of a newer gcloud than the one whose table is at hand. */
export type NewerFlag = {
  readonly command: string;
  readonly flag: string;
  readonly takes: 'bool' | 'value';
  readonly since: string;
  readonly source: string;
};

const tracks = new Set(['alpha', 'beta']);

export function pathOf(words: readonly string[], known: Known): string[] {
  const path: string[] = [];
  for (const word of words) {
    if (known.nodes[path.join(' ')]?.commands.includes(word) !== true) break;
    path.push(word);
  }
  return path;
}

/** Its faults, in sentences; none: it is known. */
export function faultsOfCommand(words: readonly string[], tools: KnownTools, newer: readonly NewerFlag[]): string[] {
  const [tool = '', ...given] = words;
  const line = words.join(' ');
  const outdated = retired
    .filter(({ pattern }) => pattern.test(line))
    .map(({ what, since, instead }) => `${what} is retired (${since}): ${instead}`);
  if (tool !== 'gcloud' && tool !== 'kubectl') return outdated;
  const known = tools[tool];
  const rest = flagsLast(given, known.globals);
  const path = pathOf(rest, known);
  const node = known.nodes[path.join(' ')];
  const after = rest.slice(path.length);
  if (node === undefined || (node.commands.length > 0 && !isHelpAlone(after) && !isRunnable(tool, path))) {
    return [...outdated, `there is no ${[tool, ...path, after[0] ?? ''].join(' ')}`];
  }
  const mine = newer.filter(({ command }) => command === [tool, ...path].join(' '));
  const flags: Readonly<Record<string, Flag>> = {
    ...known.globals,
    ...node.flags,
    ...Object.fromEntries(mine.map(({ flag, takes }) => [flag, takes])),
  };
  return [...outdated, ...faultsOfFlags(after, flags), ...preview(tool, path, after, tools)];
}

function isHelpAlone(after: readonly string[]): boolean {
  return after.length === 1 && (after[0] === '--help' || after[0] === '-h');
}

/** kubectl has commands below commands that run themselves, such as `kubectl create -f`. */
function isRunnable(tool: string, path: readonly string[]): boolean {
  return tool === 'kubectl' && path.length > 0;
}

function faultsOfFlags(after: readonly string[], flags: Readonly<Record<string, Flag>>): string[] {
  const faults: string[] = [];
  for (let at = 0; at < after.length; at += 1) {
    const word = after[at] ?? '';
    // What follows is another program's.
    if (word === '--') break;
    if (!word.startsWith('-') || word === '-') continue;
    const [name, value] = word.startsWith('--')
      ? splitOnce(word)
      : [word.slice(0, 2), word.slice(2) === '' ? undefined : word.slice(2)];
    const positive = name.startsWith('--no-') ? `--${name.slice('--no-'.length)}` : name;
    const flag = flags[name] ?? (flags[positive] === 'bool' ? 'bool' : undefined);
    if (flag === undefined) {
      faults.push(`it has no flag ${name}`);
      continue;
    }
    if (flag === 'bool') {
      if (value !== undefined && !/^(true|false)$/.test(value) && name.startsWith('--'))
        faults.push(`${name} takes no value`);
      continue;
    }
    const given = value ?? after[(at += 1)];
    if (given === undefined) faults.push(`${name} wants a value`);
    else if (typeof flag !== 'string' && !isPlaceholder(given)) {
      const isOne = given
        .split(',')
        .every((each) => flag.some((choice) => choice.toLowerCase() === each.toLowerCase()));
      if (!isOne) faults.push(`${name} takes one of ${flag.join(', ')}, not ${given}`);
    }
  }
  return faults;
}

function splitOnce(word: string): [string, string | undefined] {
  const at = word.indexOf('=');
  return at === -1 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}

/** What a reader of a document puts in: a variable, or words in capitals. */
function isPlaceholder(value: string): boolean {
  return /^[$<{[(]|^[A-Z][A-Z_-]*$/.test(value);
}

/** A preview of what is generally available with all that is asked of it. */
function preview(tool: string, path: readonly string[], after: readonly string[], tools: KnownTools): string[] {
  if (tool !== 'gcloud' || !tracks.has(path[0] ?? '')) return [];
  const stable = path.slice(1);
  const node = tools.gcloud.nodes[stable.join(' ')];
  if (node === undefined || node.commands.length > 0) return [];
  const flags = { ...tools.gcloud.globals, ...node.flags };
  return faultsOfFlags(after, flags).length === 0
    ? [`gcloud ${stable.join(' ')} is generally available: no ${path[0]}`]
    : [];
}
