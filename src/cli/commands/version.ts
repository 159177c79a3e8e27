// `codex-fleet version`: what runs here.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fleetVersion } from '../../app/version.ts';
import type { CliContext } from '../cli-context.ts';
import { exitCodes } from '../exit-codes.ts';
import type { ExitCode } from '../exit-codes.ts';

export type Versions = { readonly 'codex-fleet': string; readonly codex: string; readonly node: string };

export function readVersions(): Versions {
  const require = createRequire(import.meta.url);
  return {
    'codex-fleet': fleetVersion,
    codex: versionIn(require.resolve('@openai/codex/package.json')),
    node: process.versions.node,
  };
}

export async function runVersion(context: CliContext, options: { readonly json?: boolean }): Promise<ExitCode> {
  const versions = readVersions();
  const lines = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  await context.stdout.write(options.json === true ? `${JSON.stringify(versions)}\n` : `${lines.join('\n')}\n`);
  return exitCodes.completed;
}

function versionIn(path: string): string {
  const { version } = JSON.parse(readFileSync(path, 'utf8')) as { version?: unknown };
  return typeof version === 'string' ? version : 'unknown';
}
