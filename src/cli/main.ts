// The codex-fleet command. The composition roots are loaded by the commands that need them, so that
// `exec` against a running fleet starts as fast as Node does.

import { createProcessContext } from './process-context.ts';
import { runCli } from './program.ts';

const context = createProcessContext({
  startEmbedded: async (config) => (await import('../app/embedded.ts')).startEmbedded(config),
  startWorker: async (config) => (await import('../app/worker.ts')).startWorker(config),
  startGateway: async (config) => (await import('../app/gateway.ts')).startGateway(config),
  startSessionManager: async (config) => (await import('../app/session-manager.ts')).startSessionManager(config),
  startModelProxy: async (config) => (await import('../app/model-proxy.ts')).startModelProxy(config),
  diagnose: async (config, role) => (await import('../app/doctor.ts')).diagnose(config, role),
  discoverFleet: async (dataDir) => (await import('../app/data-dir.ts')).discoverFleet(dataDir),
});
const exitCode = await runCli(context, process.argv.slice(2));
// Whatever a kill has left running does not keep the process.
process.exit(exitCode);
