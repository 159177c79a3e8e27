// Which fleet a command that only asks talks to: the one that CODEX_FLEET_URL names, else the one that
// runs on the data directory. Starts none.

import type { Config } from '../config/resolve.ts';
import type { CliContext } from './cli-context.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import { FleetClient } from './fleet-client.ts';
import type { SettingFlags } from './setting-options.ts';

export type FleetAddress = { readonly url: string; readonly token: string };

/** null when none is named and none runs. The settings are read only where they are needed. */
export async function findRunningFleet(context: CliContext, readConfig: () => Config): Promise<FleetAddress | null> {
  const url = context.env['CODEX_FLEET_URL'] ?? '';
  const token = context.env['CODEX_FLEET_TOKEN'] ?? '';
  const named = url === '' ? null : checkedUrl(url);
  if (named !== null && token !== '') return { url: named.href, token };
  const found = await context.parts.discoverFleet(readConfig().dataDir);
  if (named === null) return found === null ? null : { url: new URL(found.url).href, token: found.token };
  if (found !== null && new URL(found.url).origin === named.origin) return { url: named.href, token: found.token };
  throw new CliError(exitCodes.unauthenticated, 'CODEX_FLEET_URL is set, but CODEX_FLEET_TOKEN is not');
}

export async function clientOfRunningFleet(context: CliContext, given: SettingFlags): Promise<FleetClient> {
  let dataDir = '';
  const fleet = await findRunningFleet(context, () => {
    const { config } = context.loadConfig(given.flags, given.configFile);
    dataDir = config.dataDir;
    return config;
  });
  if (fleet !== null) return new FleetClient({ ...fleet, clock: context.clock });
  throw new CliError(
    exitCodes.unreachable,
    `no fleet runs on ${dataDir}; start one with \`codex-fleet up\`, or name one by CODEX_FLEET_URL and CODEX_FLEET_TOKEN`,
  );
}

function checkedUrl(text: string): URL {
  const url = URL.parse(text);
  if (url !== null && (url.protocol === 'http:' || url.protocol === 'https:')) return url;
  throw new CliError(
    exitCodes.usage,
    `CODEX_FLEET_URL: got ${JSON.stringify(text)}; allowed: an http:// or https:// URL`,
  );
}
