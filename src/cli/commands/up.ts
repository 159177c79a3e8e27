// `codex-fleet up`: the whole fleet in this process, until it is told to stop.

import type { CliContext } from '../cli-context.ts';
import type { ExitCode } from '../exit-codes.ts';
import { findPortOwner } from '../port-owner.ts';
import { explainStartFailure, runUntilStopped } from '../run-until-stopped.ts';
import type { SettingFlags } from '../setting-options.ts';

export async function runUp(context: CliContext, given: SettingFlags): Promise<ExitCode> {
  const { config } = context.loadConfig(given.flags, given.configFile, 'embedded');
  const start = async () => {
    try {
      return await context.parts.startEmbedded(config);
    } catch (error) {
      throw explainStartFailure(error, findPortOwner);
    }
  };
  return await runUntilStopped(context, start, async (fleet) => {
    await context.stdout.write(`${[...fleet.firstScreen, 'ready'].join('\n')}\n`);
  });
}
