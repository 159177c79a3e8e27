// The settings as options of a command: made from the schema, so that help and configuration agree.

import { Option } from 'commander';
import type { Command } from 'commander';
import { describeSettings } from '../config/describe.ts';
import type { Flags } from '../config/sources.ts';

export type SettingFlags = { readonly flags: Flags; readonly configFile?: string };

/** Adds `--config` and an option for each setting whose flag the command takes. */
export function addSettingOptions(command: Command, takes: (flag: string) => boolean): void {
  command.option('--config <file>', 'a TOML file with settings (default: config.toml in the data directory)');
  for (const { flag, doc, defaultText, variables } of describeSettings()) {
    if (flag === null || !takes(flag)) continue;
    const text = `${doc} Default: ${defaultText}. Variable: ${variables.join(', ')}.`;
    command.addOption(new Option(`${flag} <value>`, text));
  }
}

/** What was given on the command line, by flag. */
export function givenSettings(command: Command): SettingFlags {
  const known = new Set(describeSettings().map(({ flag }) => flag));
  const values: Record<string, unknown> = command.opts();
  const flags: Record<string, string> = {};
  for (const option of command.options) {
    const value = values[option.attributeName()];
    if (option.long && known.has(option.long) && typeof value === 'string') flags[option.long] = value;
  }
  const configFile = values['config'];
  return typeof configFile === 'string' ? { flags, configFile } : { flags };
}
