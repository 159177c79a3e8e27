// `codex-fleet gateway`: one of the gateways of a cluster, as a process of its own.

import type { CliContext } from '../cli-context.ts';
import type { ExitCode } from '../exit-codes.ts';
import { findPortOwner } from '../port-owner.ts';
import { explainStartFailure, runUntilStopped } from '../run-until-stopped.ts';
import type { SettingFlags } from '../setting-options.ts';

export async function runGateway(context: CliContext, given: SettingFlags): Promise<ExitCode> {
  const { config } = context.loadConfig(given.flags, given.configFile, 'gateway');
  const start = async () => {
    try {
      return await context.parts.startGateway(config);
    } catch (error) {
      throw explainStartFailure(error, findPortOwner);
    }
  };
  return await runUntilStopped(context, start, async (gateway) => {
    await context.stdout.write(`gateway at ${gateway.url}\nready\n`);
  });
}
