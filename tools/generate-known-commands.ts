// Writes test/deploy/commands/known-commands.json: what the installed gcloud and kubectl know of the commands that
// scripts and documents here use. Run it where both are installed, when a command or a tool is new.

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { askGcloud, askKubectl, knownFile } from '../test/deploy/commands/known-commands.ts';
import { usedCommands } from '../test/deploy/commands/used-commands.ts';

const used = usedCommands().map(({ words }) => words);
// The stable form of a preview, too: it is refused where there is one.
const asked = used.flatMap(([tool = '', ...rest]) =>
  tool === 'gcloud' ? [rest, ...(/^(alpha|beta)$/.test(rest[0] ?? '') ? [rest.slice(1)] : [])] : [],
);
const gcloud = askGcloud(asked);
const kubectl = askKubectl(used.flatMap(([tool, ...rest]) => (tool === 'kubectl' ? [rest] : [])));
if (gcloud === null || kubectl === null) {
  process.stderr.write('needs gcloud, with its own table of commands, and kubectl\n');
  process.exitCode = 1;
} else {
  writeFileSync(knownFile, `${JSON.stringify({ gcloud, kubectl })}\n`);
  const biome = path.join(path.dirname(import.meta.dirname), 'node_modules/@biomejs/biome/bin/biome');
  spawnSync(process.execPath, [biome, 'format', '--write', knownFile]);
}
