// `codex-fleet config`: what is in effect and where it came from, or whether it is in order.

import { effectiveSettings, type EffectiveSetting } from '../../config/effective.ts';
import type { CliContext } from '../cli-context.ts';
import { exitCodes, type ExitCode } from '../exit-codes.ts';
import type { SettingFlags } from '../setting-options.ts';
import { textTable } from '../table.ts';

export type ConfigShowOptions = { readonly origin?: boolean; readonly json?: boolean };

export async function runConfigShow(
  context: CliContext,
  options: ConfigShowOptions,
  given: SettingFlags,
): Promise<ExitCode> {
  const loaded = context.loadConfig(given.flags, given.configFile);
  const settings = effectiveSettings(loaded);
  await context.stdout.write(
    options.json === true
      ? `${JSON.stringify({ file: loaded.file, settings }, null, 2)}\n`
      : linesOf(settings, options.origin === true),
  );
  return exitCodes.completed;
}

/** Throws ConfigProblems, like every command that starts something. */
export async function runConfigCheck(context: CliContext, given: SettingFlags): Promise<ExitCode> {
  const { file } = context.loadConfig(given.flags, given.configFile);
  await context.stdout.write(`the configuration is in order (${file === null ? 'no file was read' : file})\n`);
  return exitCodes.completed;
}

function linesOf(settings: readonly EffectiveSetting[], withOrigin: boolean): string {
  if (!withOrigin) return settings.map(({ key, value }) => `${key} = ${valueText(value)}\n`).join('');
  return textTable(
    ['SETTING', 'VALUE', 'FROM'],
    settings.map(({ key, value, origin }) => [
      key,
      valueText(value),
      origin.source === 'default' ? 'default' : origin.name,
    ]),
  );
}

/** As the file would have it; null, which TOML has not, means unset. */
function valueText(value: unknown): string {
  return value === null ? '(unset)' : JSON.stringify(value);
}
