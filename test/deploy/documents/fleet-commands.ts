// The commands of codex-fleet and of the scripts that documents show, held against what these say of themselves by
// --help.

import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { runCli } from '../../../src/cli/program.ts';
import { createFakeCli } from '../../../src/testing/fake-cli-context.ts';
import { splitCommands } from '../commands/shell-commands.ts';
import { type Page, root } from './page.ts';

export type KnownCommand = {
  readonly commands: ReadonlySet<string>;
  /** By name, whether it takes a value. */
  readonly flags: ReadonlyMap<string, boolean>;
  /** The fewest words behind it, and the most. */
  readonly least: number;
  readonly most: number;
};
/** By path; the program itself is ''. */
export type KnownProgram = ReadonlyMap<string, KnownCommand>;

export async function readProgram(): Promise<KnownProgram> {
  const program = new Map<string, KnownCommand>();
  const visit = async (words: readonly string[]): Promise<void> => {
    const cli = createFakeCli({});
    await runCli(cli.context, [...words, '--help']);
    const command = readHelp(cli.stdout());
    program.set(words.join(' '), command);
    for (const name of command.commands) if (name !== 'help') await visit([...words, name]);
  };
  await visit([]);
  return program;
}

function readHelp(help: string): KnownCommand {
  const usage = /^Usage: ([^\n]+)/m.exec(help)?.[1] ?? '';
  const commands = /^Commands:\n((?: {2}[^\n]*\n)+)/m.exec(help)?.[1] ?? '';
  const flags = [...help.matchAll(/^ {2}(?:(-\w), )?(--[a-z][a-z-]*)( <[^>]+>)?/gm)];
  const least = usage.match(/<[a-z-]+(?:\.\.\.)?>/g)?.length ?? 0;
  const hasMore = usage.includes('...');
  return {
    commands: new Set([...commands.matchAll(/^ {2}([a-z][a-z-]*)/gm)].map(([, name = '']) => name)),
    flags: new Map(
      flags.flatMap(([, short, long = '', value]) =>
        [long, ...(short === undefined ? [] : [short])].map((name): [string, boolean] => [name, value !== undefined]),
      ),
    ),
    least,
    most: hasMore
      ? Number.POSITIVE_INFINITY
      : least + (usage.match(/\[(?!options\b|command\b)[a-z-]+\]/g)?.length ?? 0),
  };
}

/** The words behind `codex-fleet`, wherever a line has it: alone, in a pipeline, behind `kubectl exec … --`. */
export function fleetCommands(text: string): string[][] {
  return splitCommands(text).flatMap((words) => {
    const at = words.findIndex((word) => /^(?:\S*\/)?codex-fleet$/.test(word));
    const isRun = at === 0 || words[at - 1] === '--' || words.slice(0, at).every((word) => /^[A-Z_]+=/.test(word));
    return at === -1 || !isRun ? [] : [words.slice(at + 1)];
  });
}

/** In blocks whole commands; in a line what begins with the name, which may break off after any word. */
export function fleetFaults(page: Page, program: KnownProgram): string[] {
  const shown = page.blocks
    .filter(({ language }) => ['bash', 'sh', 'shell', 'console'].includes(language))
    .flatMap(({ code }) => fleetCommands(code))
    .flatMap((words) => faultsOf(words, program, true));
  const named = page.inline
    .filter((code) => code.startsWith('codex-fleet ') || code.includes(' -- codex-fleet '))
    .flatMap((code) => fleetCommands(code.replace(/[|…].*$/, '')))
    .flatMap((words) => faultsOf(words, program, false));
  return [...shown, ...named].map((fault) => `${page.file}: ${fault}`);
}

function faultsOf(words: readonly string[], program: KnownProgram, isWhole: boolean): string[] {
  const line = ['codex-fleet', ...words].join(' ');
  let depth = 0;
  while (program.has(words.slice(0, depth + 1).join(' ')) && depth < words.length) depth += 1;
  const command = program.get(words.slice(0, depth).join(' '));
  const rest = words.slice(depth);
  if (command === undefined) return [`there is no ${line}`];
  const faults: string[] = [];
  const values: string[] = [];
  for (let at = 0; at < rest.length; at += 1) {
    const word = rest[at] ?? '';
    const [name = '', value] = word.split('=', 2);
    if (!word.startsWith('-') || word === '-') values.push(word);
    else if (!command.flags.has(name)) faults.push(`${line}: there is no ${name}`);
    else if (command.flags.get(name) === true && value === undefined) at += 1;
  }
  if (command.commands.size > 0) {
    return isWhole || values.length > 0 ? [...faults, `there is no ${line}`] : faults;
  }
  if (values.length > command.most || (isWhole && values.length < command.least)) {
    return [...faults, `${line}: it takes ${command.least} to ${command.most} words, not ${values.length}`];
  }
  return faults;
}

/** Flags of the scripts of the bootstrap that there are not, and files of ours that commands name and nobody has. */
export function scriptFaults(page: Page, hasFile: (file: string) => boolean): string[] {
  const made = madeByReader(page);
  return page.blocks
    .filter(({ language }) => language === 'bash' || language === 'sh')
    .flatMap(({ code }) => splitCommands(code))
    .flatMap((words) => {
      const script = words.find((word) => /^deploy\/bootstrap\/(?:bootstrap|teardown)\.sh$/.test(word));
      const flags = script === undefined ? [] : words.filter((word) => word.startsWith('--'));
      return [
        ...flags
          .filter((flag) => !helpOf(script ?? '').has(flag.split('=')[0] ?? ''))
          .map((flag) => `${page.file}: ${script} has no ${flag}`),
        ...words
          .flatMap((word) => /(?:^|=)(deploy\/[\w./-]+)$/.exec(word)?.[1] ?? [])
          .filter((file) => !made.some((place) => file.startsWith(place)) && !hasFile(file))
          .map((file) => `${page.file}: there is no ${file}`),
      ];
    });
}

/** What a page has its reader copy to, and the directories of the files that it shows. */
function madeByReader({ blocks }: Page): string[] {
  return blocks.flatMap(({ code, language }) => {
    const shown = /^# (deploy\/\S+)\/[^/\s]+$/m.exec(code)?.[1];
    if (language === 'yaml') return shown === undefined ? [] : [shown];
    return splitCommands(code).flatMap((words) => (words[0] === 'cp' || words[0] === 'mkdir' ? words.slice(-1) : []));
  });
}

const helps = new Map<string, ReadonlySet<string>>();

function helpOf(script: string): ReadonlySet<string> {
  const known = helps.get(script);
  if (known !== undefined) return known;
  const { stdout } = spawnSync('bash', [path.join(root, script), '--help'], { encoding: 'utf8', timeout: 20_000 });
  const flags = new Set(['--help', ...[...stdout.matchAll(/(?<![\w-])--[a-z][a-z-]*/g)].map(([flag]) => flag)]);
  helps.set(script, flags);
  return flags;
}
