// Writes deploy/bootstrap/bootstrap.sh, teardown.sh and the table of its README from the table of resources.
// `--check`: writes nothing, and fails when what is there is not what would be written.

import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Command, Look, Resource } from '../deploy/bootstrap/resource.ts';
import { resources } from '../deploy/bootstrap/resources.ts';

const root = path.dirname(import.meta.dirname);
const folder = path.join(root, 'deploy/bootstrap');
const begin = '<!-- resources: written by tools/generate-bootstrap.ts -->';
const end = '<!-- /resources -->';

/** Each `{name}` becomes the id of the resource of that name, whose id may name others. */
export function resolveWord(word: string, table: readonly Resource[]): string {
  return word.replaceAll(/\{([a-z][A-Za-z0-9-]*)\}/g, (_, name: string) => {
    const found = table.find((resource) => resource.name === name);
    if (found === undefined) throw new Error(`no resource is called ${name}`);
    return resolveWord(found.id, table);
  });
}

/** A word as bash reads it: `$NAME` stays a variable, everything else stands for itself. */
export function quoteWord(word: string): string {
  if (/^[A-Za-z0-9_./:=@,%+-]+$/.test(word)) return word;
  if (!/\$[A-Z]/.test(word)) return `'${word.replaceAll("'", "'\\''")}'`;
  const literal = word.replaceAll(/[\\"`]|\$(?![A-Z])/g, (sign) => `\\${sign}`);
  const named = literal.replaceAll(/\$([A-Z][A-Z_]*)([a-z0-9]?)/g, (_, name: string, next: string) =>
    next === '' ? `$${name}` : `\${${name}}${next}`,
  );
  return `"${named}"`;
}

/** The project is said in each command: what the account has set does not matter. */
function withProject(command: Command): string[] {
  const words: string[] = [];
  let tool = '';
  const close = (): void => {
    if (tool.startsWith('gcloud ') && !tool.startsWith('gcloud projects')) words.push('--project=$PROJECT');
  };
  command.forEach((word, index) => {
    if (index === 0 || command[index - 1] === '|') tool = `${word} ${command[index + 1] ?? ''}`;
    if (word === '|') close();
    words.push(word);
  });
  close();
  return words;
}

/** As the script has it. */
export function renderCommand(command: Command, table: readonly Resource[]): string {
  return withProject(command)
    .map((word) => quoteWord(resolveWord(word, table)))
    .join(' ');
}

function renderLook(look: Look, table: readonly Resource[]): string {
  if ('has' in look) return `has ${renderCommand(look.has, table)}`;
  if ('same' in look) return `same ${renderCommand(look.same, table)}`;
  const lines = look.lines.map((line) => `${quoteWord(resolveWord(line, table))} `).join('');
  return `shows ${lines}-- ${renderCommand(look.shows, table)}`;
}

function renderHead({ name, kind, id }: Resource, table: readonly Resource[]): string {
  return `step ${quoteWord(name)} ${quoteWord(kind)} ${quoteWord(resolveWord(id, table))}`;
}

function renderReads({ reads = [] }: Resource, table: readonly Resource[]): string[] {
  return reads.map(({ into, command }) => {
    const verb = into.includes('/') ? `save ${quoteWord(into)}` : `read_into ${into}`;
    return `${verb} ${renderCommand(command, table)}`;
  });
}

/** Where the script has it at all: its profile, and the option that asks for it. */
function guarded(resource: Resource, body: readonly string[]): string {
  const conditions = [
    ...(resource.profiles?.length === 1 ? [`$PROFILE == ${resource.profiles[0]}`] : []),
    ...(resource.when === undefined ? [] : [`-n $${resource.when}`]),
  ];
  if (conditions.length === 0) return body.join('\n');
  return [`if [[ ${conditions.join(' && ')} ]]; then`, ...indented(body), 'fi'].join('\n');
}

function indented(lines: readonly string[]): string[] {
  return lines.flatMap((line) => line.split('\n')).map((line) => `  ${line}`);
}

export function renderMaking(resource: Resource, table: readonly Resource[]): string {
  const { look, make, update, ready } = resource;
  const made = make.map((command) => `${look === null ? 'always' : 'change'} ${renderCommand(command, table)}`);
  const updated = (update ?? []).map((command) => `change ${renderCommand(command, table)}`);
  const body = [renderHead(resource, table)];
  if (look === null) body.push(...made);
  else body.push(`if ! ${renderLook(look, table)}; then`, ...indented(made));
  if (look !== null && updated.length > 0) {
    // In a dry run nothing is there, so that both are shown.
    body.push('fi', 'if ((update)); then', ...indented(updated));
  }
  if (look !== null) body.push('fi');
  if (ready !== undefined) {
    body.push(`await ${quoteWord(ready.line)} ${ready.minutes} ${renderCommand(ready.shows, table)}`);
  }
  body.push(...renderReads(resource, table));
  return guarded(resource, body);
}

/** null: it is not removed by itself. */
export function renderRemoving(resource: Resource, table: readonly Resource[]): string | null {
  const { look, removal } = resource;
  if ('kept' in removal || look === null) return null;
  const removed = removal.by.map((command) => `change ${renderCommand(command, table)}`);
  const present = renderLook(look, table);
  const act = [`if ${present} || ((dry_run)); then`, ...indented(removed), 'fi'];
  const needsCluster = removal.by.some(([tool]) => tool === 'kubectl');
  const guard = needsCluster
    ? ['if ((has_cluster)); then', ...indented(act), 'fi']
    : 'data' in removal
      ? [
          `if ! keeps_data ${quoteWord(removal.data)} ${quoteWord(resolveWord(resource.id, table))}; then`,
          ...indented(act),
          'fi',
        ]
      : act;
  return guarded(resource, [renderHead(resource, table), ...guard]);
}

function variablesOf(commands: readonly Command[]): Set<string> {
  return new Set(
    commands.flat().flatMap((word) => [...word.matchAll(/\$([A-Z][A-Z_]*)/g)].map(([, name = '']) => name)),
  );
}

/** What has to be known before anything is removed: what removals name, and a way into the cluster. */
function renderKnowing(table: readonly Resource[]): string[] {
  const removals = table.flatMap(({ look, removal }) => ('by' in removal && look !== null ? [removal.by, look] : []));
  const named = variablesOf(
    removals
      .flatMap((each) =>
        'has' in each
          ? [each.has]
          : 'shows' in each
            ? [each.shows, each.lines]
            : 'same' in each
              ? [each.same]
              : [...each],
      )
      .map((command) => command.map((word) => resolveWord(word, table))),
  );
  const reading = table.filter(({ reads = [] }) => reads.some(({ into }) => named.has(into)));
  const known = reading.map((resource) => {
    const body = [renderHead(resource, table)];
    const reads = renderReads(resource, table);
    if (resource.look === null) return guarded(resource, [...body, ...reads]);
    return guarded(resource, [
      ...body,
      `if ${renderLook(resource.look, table)} || ((dry_run)); then`,
      ...indented(reads),
      'fi',
    ]);
  });
  const cluster = table.find(({ name }) => name === 'cluster');
  const credentials = table.find(({ name }) => name === 'credentials');
  if (cluster?.look === null || cluster === undefined || credentials === undefined) return known;
  const enter = credentials.make.map((command) => `always ${renderCommand(command, table)}`);
  return [
    ...known,
    [
      'has_cluster=0',
      renderHead(credentials, table),
      `if ${renderLook(cluster.look, table)} || ((dry_run)); then`,
      '  has_cluster=1',
      ...indented(enter),
      'fi',
    ].join('\n'),
  ];
}

function header(purpose: string): string {
  return `#!/usr/bin/env bash
# ${purpose}
# Written by tools/generate-bootstrap.ts from the table in deploy/bootstrap/resources.ts and from parts/. Do not edit.
# shellcheck disable=SC2016 # what stands in single quotes is for awk
`;
}

function part(name: string): string {
  return readFileSync(path.join(folder, 'parts', name), 'utf8');
}

const line = `\n# ── The resources ${'─'.repeat(98)}\n`;

export function renderBootstrap(table: readonly Resource[]): string {
  const steps = table.map((resource) => renderMaking(resource, table));
  return [
    header('Makes what a fleet needs on Google Cloud: see --help and deploy/bootstrap/README.md.'),
    part('common.sh'),
    part('bootstrap-options.sh'),
    line,
    `${steps.join('\n\n')}\n`,
    part('bootstrap-end.sh'),
  ].join('');
}

export function renderTeardown(table: readonly Resource[]): string {
  const steps = table
    .toReversed()
    .map((resource) => renderRemoving(resource, table))
    .filter((step) => step !== null);
  return [
    header('Removes what bootstrap.sh made: see --help and deploy/bootstrap/README.md.'),
    part('common.sh'),
    part('teardown-options.sh'),
    line,
    `${[...renderKnowing(table), ...steps].join('\n\n')}\n`,
    part('teardown-end.sh'),
  ].join('');
}

/** The rows that people read; of the indexes, how many. */
export function renderTable(table: readonly Resource[]): string {
  const isIndex = ({ name }: Resource): boolean => /^(index|field|ttl)-/.test(name);
  const indexes = table.filter(isIndex);
  const rows = table
    .filter((resource) => !isIndex(resource) && resource.name !== 'project')
    .map((resource) => {
      const { id, kind, profiles, when, removal, costs } = resource;
      const named = resolveWord(id, table);
      const where = [...(profiles ?? []), ...(when === undefined ? [] : ['with `--dns-zone`'])].join(', ');
      const kept = 'data' in removal ? 'stays without `--delete-data`' : 'kept' in removal ? removal.kept : 'removed';
      return [
        resource.name,
        kind,
        kind === 'services of the project' ? named.replaceAll('.googleapis.com', '') : `\`${named}\``,
        where === '' ? 'both' : where,
        kept,
        costs,
      ];
    });
  const lines = [
    ['step', 'what', 'its name', 'profile', 'teardown', 'what it costs a month'],
    ['---', '---', '---', '---', '---', '---'],
    ...rows,
  ].map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`);
  return `${lines.join('\n')}\n\nBeside them, from [\`firestore.indexes.json\`](../firestore/firestore.indexes.json), ${indexes.length} indexes, exemptions and times to live; they go with the database.`;
}

export function renderReadme(text: string, table: readonly Resource[]): string {
  const [before = '', rest] = text.split(begin);
  const after = rest?.split(end)[1];
  if (after === undefined) throw new Error(`deploy/bootstrap/README.md lacks ${begin} and ${end}`);
  return `${before}${begin}\n${renderTable(table)}\n${end}${after}`;
}

/** Of each file, its path and what it should hold. */
export function renderFiles(table: readonly Resource[]): readonly { readonly file: string; readonly text: string }[] {
  const readme = path.join(folder, 'README.md');
  return [
    { file: path.join(folder, 'bootstrap.sh'), text: renderBootstrap(table) },
    { file: path.join(folder, 'teardown.sh'), text: renderTeardown(table) },
    { file: readme, text: renderReadme(readFileSync(readme, 'utf8'), table) },
  ];
}

function contentOf(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

function run(isCheck: boolean): number {
  const stale = renderFiles(resources).filter(({ file, text }) => contentOf(file) !== text);
  if (isCheck) {
    for (const { file } of stale) process.stderr.write(`${path.relative(root, file)} is stale\n`);
    if (stale.length > 0) process.stderr.write('run node tools/generate-bootstrap.ts\n');
    return stale.length > 0 ? 1 : 0;
  }
  for (const { file, text } of stale) writeFileSync(file, text, { mode: file.endsWith('.sh') ? 0o755 : 0o644 });
  return 0;
}

if (import.meta.main) process.exitCode = run(process.argv.includes('--check'));
