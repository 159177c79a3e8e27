// A gateway of a cluster as the product composes it, in a process that can be asked for its CPU time.

import { startGateway } from '../../src/app/gateway.ts';
import type { RunningPart } from '../../src/app/running-part.ts';
import { loadConfigFromProcess } from '../../src/config/load-from-process.ts';
import { openClusterDir } from '../../src/app/cluster-dir.ts';
import type { ScriptedMemberJob, ScriptedMemberReady } from './scripted-cluster-facts.ts';
import { serveParent } from './serve-parent.ts';

let gateway: RunningPart | null = null;

serveParent(
  {
    start: async ({ flags }: ScriptedMemberJob): Promise<ScriptedMemberReady> => {
      const { config } = loadConfigFromProcess(flags);
      const dir = await openClusterDir(config);
      const { token } = dir;
      await dir.close();
      gateway = await startGateway(config);
      return { url: gateway.url, token };
    },
  },
  async () => gateway?.stop({ force: true }),
);
