// Which fleet answers an exec: the one that CODEX_FLEET_URL names, else the one that runs on the data
// directory, else one that is started for the call.

import type { RunningFleet } from '../app/embedded.ts';
import type { LoadedConfig } from '../config/load.ts';
import type { Config } from '../config/resolve.ts';
import type { CliContext } from './cli-context.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import { findPortOwner } from './port-owner.ts';
import { explainStartFailure } from './run-until-stopped.ts';
import { findRunningFleet, type FleetAddress } from './running-fleet.ts';
import type { SettingFlags } from './setting-options.ts';

export type ExecTarget = {
  readonly url: string;
  readonly token: string;
  /** What a person should know about it; null when there is nothing to say. */
  readonly notice: string | null;
  /** Ends what was started for the call. */
  close(options?: { force?: boolean }): Promise<void>;
};

export async function findTarget(context: CliContext, given: SettingFlags): Promise<ExecTarget> {
  // The port of a fleet made for one call is nobody's business, and the usual one may be taken.
  const readConfig = (): Config =>
    configForOneCall(context.loadConfig({ '--port': '0', ...given.flags }, given.configFile, 'embedded'));
  const found = await findRunningFleet(context, readConfig);
  if (found !== null) return existing(found, given);

  const config = readConfig();
  const fleet = await startUnlessTaken(() => context.parts.startEmbedded(config));
  if (fleet === null) {
    const other = await context.parts.discoverFleet(config.dataDir);
    if (other !== null) return existing(other, given);
    throw new CliError(exitCodes.unreachable, `a fleet that starts or stops holds ${config.dataDir}; try again`);
  }
  const model = config.model.provider === 'demo' ? 'the DEMO MODEL: no AI is connected' : config.model.name;
  return {
    url: fleet.url,
    token: fleet.token,
    notice: `no fleet runs on ${config.dataDir}; started one for this call, with ${model}`,
    close: (options) => fleet.stop(options),
  };
}

/** The log of a fleet that lives for one call interests nobody, unless someone said otherwise. */
function configForOneCall({ config, origins }: LoadedConfig): Config {
  return origins.get('log.level')?.source === 'default' ? { ...config, log: { ...config.log, level: 'warn' } } : config;
}

function existing({ url, token }: FleetAddress, { flags }: SettingFlags): ExecTarget {
  // The model goes with the request.
  const unused = Object.keys(flags).filter((flag) => flag !== '--data-dir' && flag !== '--model');
  const notice =
    unused.length === 0
      ? null
      : `a fleet runs already: ${unused.join(', ')} would say how to start one, and changed nothing`;
  return { url, token, notice, close: async () => {} };
}

/** null when another fleet took the data directory between looking and starting. */
async function startUnlessTaken(start: () => Promise<RunningFleet>): Promise<RunningFleet | null> {
  try {
    return await start();
  } catch (error) {
    if (error instanceof Error && error.name === 'DataDirInUse') return null;
    throw explainStartFailure(error, findPortOwner);
  }
}
