// `codex-fleet session-manager`: one of the managers of a cluster, as a process of its own.

import type { CliContext } from '../cli-context.ts';
import type { ExitCode } from '../exit-codes.ts';
import { findPortOwner } from '../port-owner.ts';
import { explainStartFailure, runUntilStopped } from '../run-until-stopped.ts';
import type { SettingFlags } from '../setting-options.ts';

export async function runSessionManager(context: CliContext, given: SettingFlags): Promise<ExitCode> {
  const { config } = context.loadConfig(given.flags, given.configFile, 'session-manager');
  const start = async () => {
    try {
      return await context.parts.startSessionManager(config);
    } catch (error) {
      throw explainStartFailure(error, findPortOwner);
    }
  };
  return await runUntilStopped(context, start, async (manager) => {
    await context.stdout.write(`session manager at ${manager.url}\nready\n`);
  });
}
