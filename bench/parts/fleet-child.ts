// The whole fleet as `npm start` composes it, with the demo model, in a process that can be asked for
// its CPU time and its memory.

import { startEmbedded } from '../../src/app/embedded.ts';
import type { RunningFleet } from '../../src/app/embedded.ts';
import { loadConfigFromProcess } from '../../src/config/load-from-process.ts';
import { serveParent } from './serve-parent.ts';

export type FleetJob = { readonly flags: Readonly<Record<string, string>> };
export type FleetReady = { readonly url: string; readonly token: string };

let fleet: RunningFleet | null = null;

serveParent(
  {
    start: async ({ flags }: FleetJob): Promise<FleetReady> => {
      fleet = await startEmbedded(loadConfigFromProcess(flags).config);
      return { url: fleet.url, token: fleet.token };
    },
  },
  async () => fleet?.stop({ force: true }),
);
