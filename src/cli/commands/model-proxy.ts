// `codex-fleet model-proxy`: a model proxy of a cluster, as a process of its own.

import type { CliContext } from '../cli-context.ts';
import type { ExitCode } from '../exit-codes.ts';
import { findPortOwner } from '../port-owner.ts';
import { explainStartFailure, runUntilStopped } from '../run-until-stopped.ts';
import type { SettingFlags } from '../setting-options.ts';

export async function runModelProxy(context: CliContext, given: SettingFlags): Promise<ExitCode> {
  const { config } = context.loadConfig(given.flags, given.configFile, 'model-proxy');
  const start = async () => {
    try {
      return await context.parts.startModelProxy(config);
    } catch (error) {
      throw explainStartFailure(error, findPortOwner);
    }
  };
  return await runUntilStopped(context, start, async (proxy) => {
    await context.stdout.write(`model-proxy at ${proxy.url}\ncontrol at ${proxy.controlUrl}\nready\n`);
  });
}
