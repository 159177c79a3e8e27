// `codex-fleet up` with stores that kill it: the product's own command, started as a user starts it, but
// for the plan before its words.

import { startEmbedded } from '../../src/app/embedded.ts';
import { openStores } from '../../src/app/stores.ts';
import { createProcessContext } from '../../src/cli/process-context.ts';
import { runCli } from '../../src/cli/program.ts';
import type { CrashPlan } from './crash-plan.ts';
import { crashingStores } from './crashing-stores.ts';

const [planText = '', ...words] = process.argv.slice(2);
const plan = JSON.parse(planText) as CrashPlan;

function unused(): never {
  throw new Error('this process runs `up` alone');
}

const context = createProcessContext({
  startEmbedded: (config) =>
    startEmbedded(config, {
      openStores: async (...given) => crashingStores(await openStores(...given), plan),
    }),
  startWorker: unused,
  startGateway: unused,
  startSessionManager: unused,
  startModelProxy: unused,
  diagnose: unused,
  discoverFleet: unused,
});
process.exit(await runCli(context, words));
