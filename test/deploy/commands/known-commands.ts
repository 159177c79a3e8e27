// What gcloud and kubectl know: from the installed tools, and from known-commands.json, which has what was found at
// the commands that this repository uses, for machines that lack the tools.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { flagsLast } from './flags-last.ts';
import type { Flag, Known, KnownTools, Node } from './known.ts';

export const knownFile = path.join(import.meta.dirname, 'known-commands.json');

export function readKnown(): KnownTools {
  return JSON.parse(readFileSync(knownFile, 'utf8')) as KnownTools;
}

function findTool(name: string): string | null {
  const found = spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).stdout.trim();
  return found === '' ? null : realpathSync(found);
}

// The SDK's own table of what can be completed: reading it takes a second, and asking gcloud itself one per command.
const reader = `
import json, sys
sys.path.insert(0, sys.argv[1])
from gcloud_completions import STATIC_COMPLETION_CLI_TREE as tree
def flag(value): return 'value' if value == 'dynamic' else value
def flags(node): return {name: flag(value) for name, value in node['flags'].items()}
nodes = {}
for words in json.load(sys.stdin):
    node, path = tree, []
    while True:
        nodes[' '.join(path)] = {'flags': flags(node) if path else {}, 'commands': sorted(node['commands'])}
        if not words or words[0] not in node['commands']: break
        path.append(words[0]); node = node['commands'][words[0]]; words = words[1:]
json.dump({'globals': flags(tree), 'nodes': nodes}, sys.stdout)
`;

/** null where it is not installed, or is one without its table (a distribution's package). */
export function askGcloud(commands: readonly (readonly string[])[]): Known | null {
  const tool = findTool('gcloud');
  if (tool === null) return null;
  const sdk = path.dirname(path.dirname(tool));
  const table = path.join(sdk, 'data/cli');
  if (!existsSync(path.join(table, 'gcloud_completions.py'))) return null;
  const bundled = path.join(sdk, 'platform/bundledpythonunix/bin/python3');
  const answer = spawnSync(existsSync(bundled) ? bundled : 'python3', ['-B', '-c', reader, table], {
    encoding: 'utf8',
    input: JSON.stringify(commands),
    maxBuffer: 64 * 1024 * 1024,
  });
  if (answer.status !== 0) return null;
  const found = JSON.parse(answer.stdout) as Omit<Known, 'version'>;
  return { version: readFileSync(path.join(sdk, 'VERSION'), 'utf8').trim(), ...found };
}

/** null where it is not installed. One call for each command that is used: there is no table. */
export function askKubectl(commands: readonly (readonly string[])[]): Known | null {
  if (findTool('kubectl') === null) return null;
  const ask = (words: readonly string[]): string =>
    spawnSync('kubectl', [...words], {
      encoding: 'utf8',
      env: { PATH: '/usr/bin:/bin:/usr/local/bin', HOME: '/nonexistent' },
    }).stdout;
  const version = /Client Version: (\S+)/.exec(ask(['version', '--client']))?.[1] ?? 'unknown';
  const nodes: Record<string, Node> = {};
  const visit = (words: readonly string[]): Node => {
    const at = words.join(' ');
    const known = nodes[at];
    if (known !== undefined) return known;
    const help = ask([...words, '--help']);
    const node = { flags: flagsIn(help), commands: commandsIn(help) };
    nodes[at] = node;
    return node;
  };
  const globals = flagsIn(ask(['options']));
  for (const given of commands) {
    const words = flagsLast(given, globals);
    let at: string[] = [];
    for (;;) {
      const next = words[at.length];
      if (next === undefined || !visit(at).commands.includes(next)) break;
      at = [...at, next];
      visit(at);
    }
  }
  return { version, globals, nodes };
}

/** Lines such as `    -f, --filename=[]:` */
function flagsIn(help: string): Record<string, Flag> {
  const lines = [...help.matchAll(/^ {4}(?:(-\w), )?(--[a-z][a-z0-9-]*)=(.*):$/gm)];
  return Object.fromEntries(
    lines.flatMap(([, short, long = '', value = '']) => {
      const flag: Flag = value === 'true' || value === 'false' ? 'bool' : 'value';
      return short === undefined
        ? [[long, flag]]
        : [
            [long, flag],
            [short, flag],
          ];
    }),
  );
}

/** Lines below a heading such as `Available Commands:` */
function commandsIn(help: string): string[] {
  return [...help.matchAll(/^[A-Z][^\n]*Commands[^\n]*:\n((?: {2}\S[^\n]*\n)+)/gm)]
    .flatMap(([, block = '']) => block.split('\n').map((line) => line.trim().split(/\s/)[0] ?? ''))
    .filter((name) => name !== '');
}
