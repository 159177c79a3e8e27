// The model proxy's process: reads its settings from standard input, serves, and ends when that input
// ends, which it does however the process that started it ends.

import { createInterface } from 'node:readline';
import { MemoryGrantStore } from '../adapters/memory/memory-grant-store.ts';
import { readEnvironment } from '../config/host-facts.ts';
import { readModelKey } from '../config/model-key.ts';
import { createModelProxy } from '../model-proxy/model-proxy.ts';
import { createLogger } from '../observability/logger.ts';
import { createMetrics } from '../observability/metrics.ts';
import { SystemClock } from '../observability/system-clock.ts';
import type { ModelProxySettings } from './model-proxy-settings.ts';
import { openTracing } from './tracing.ts';

const input = createInterface({ input: process.stdin });
const [line] = await Promise.race([firstLine(), ended()]);
if (line === undefined) process.exit(1);
const settings = JSON.parse(line) as ModelProxySettings;

const clock = new SystemClock();
const tracing = await openTracing(settings, 'model-proxy');
const proxy = createModelProxy({
  dataAddress: { path: settings.dataSocket },
  controlAddress: { path: settings.controlSocket },
  controlCredential: settings.controlCredential,
  provider: {
    kind: settings.model.provider,
    baseUrl: settings.model.baseUrl,
    apiKey: readModelKey(settings.model, readEnvironment()),
    defaultModel: settings.model.name,
    models: [],
  },
  // It stands alone: its worker remembers its grants, and says them again when this process was killed.
  grantStore: new MemoryGrantStore(clock),
  clock,
  logger: createLogger({ level: settings.log.level, role: 'model-proxy', pretty: settings.log.format === 'pretty' }),
  tracing,
  metrics: createMetrics({ processMetrics: true }),
});

// The terminal sends its interrupt to every process in front; when to end is for our starter to say.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});
await proxy.listen();
process.stdout.write('ready\n');
await ended();
await proxy.stop();
await tracing.stop();
process.exit(0);

async function firstLine(): Promise<string[]> {
  return await new Promise((resolve) => input.once('line', (text) => resolve([text])));
}

async function ended(): Promise<string[]> {
  if (process.stdin.readableEnded) return [];
  return await new Promise((resolve) => input.once('close', () => resolve([])));
}
