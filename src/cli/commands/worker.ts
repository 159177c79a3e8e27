// `codex-fleet worker`: a worker as a process of its own, with the door that a gateway calls.

import type { CliContext } from '../cli-context.ts';
import type { ExitCode } from '../exit-codes.ts';
import { findPortOwner } from '../port-owner.ts';
import { explainStartFailure, runUntilStopped } from '../run-until-stopped.ts';
import type { SettingFlags } from '../setting-options.ts';

export async function runWorker(context: CliContext, given: SettingFlags): Promise<ExitCode> {
  const { config } = context.loadConfig(given.flags, given.configFile, 'worker');
  const start = async () => {
    try {
      return await context.parts.startWorker(config);
    } catch (error) {
      throw explainStartFailure(error, findPortOwner);
    }
  };
  return await runUntilStopped(context, start, async (worker) => {
    await context.stdout.write(`worker ${config.worker.id} at ${worker.url}\nready\n`);
  });
}
