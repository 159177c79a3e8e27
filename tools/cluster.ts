// `npm run cluster`: a cluster on this machine, until Ctrl-C.

import { homedir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { LocalCluster, RedisMissing } from './local-cluster.ts';

const usage = `npm run cluster -- [--data-dir <dir>] [--port <port>] [--gateways 2] [--workers 3] [--managers 2]
                   [--redis-url redis://…] [--model-provider demo|openai|responses|ollama] [--model <name>]
                   [--base-url <url>] [--slots <n>] [--storage sqlite|google]
Every other setting is taken from the environment (docs/reference/config.md).`;

const options = {
  'data-dir': { type: 'string', default: path.join(homedir(), '.codex-fleet-cluster') },
  port: { type: 'string', default: '8080' },
  gateways: { type: 'string', default: '2' },
  workers: { type: 'string', default: '3' },
  managers: { type: 'string', default: '2' },
  'redis-url': { type: 'string' },
  'model-provider': { type: 'string' },
  model: { type: 'string' },
  'base-url': { type: 'string' },
  slots: { type: 'string' },
  storage: { type: 'string', default: 'sqlite' },
  help: { type: 'boolean', short: 'h' },
} as const;

function leave(code: number, message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(code);
}

function parsed(): ReturnType<typeof parseArgs<{ options: typeof options }>>['values'] {
  try {
    return parseArgs({ options, args: process.argv.slice(2) }).values;
  } catch (error) {
    return leave(2, `${error instanceof Error ? error.message : String(error)}\n${usage}`);
  }
}

const sameKeyPressMs = 250;
const values = parsed();
if (values.help === true) leave(0, usage);

function count(name: 'gateways' | 'workers' | 'managers' | 'port', least: number, most: number): number {
  const text = values[name] ?? '';
  const number = Number(text);
  if (text !== '' && Number.isInteger(number) && number >= least && number <= most) return number;
  return leave(2, `--${name} ${text}: must be a whole number from ${least} to ${most}`);
}

/** The words of a flag for the roles that know it. */
function given(name: 'model-provider' | 'model' | 'base-url' | 'slots'): string[] {
  const value = values[name];
  return value === undefined ? [] : [`--${name}`, value];
}

function storage(): 'sqlite' | 'google' {
  if (values.storage === 'sqlite' || values.storage === 'google') return values.storage;
  return leave(2, `--storage ${values.storage ?? ''}: must be sqlite or google`);
}

const model = [...given('model-provider'), ...given('model'), ...given('base-url')];

async function main(): Promise<void> {
  const cluster = await LocalCluster.start({
    dataDir: path.resolve(values['data-dir']),
    gateways: count('gateways', 1, 16),
    workers: count('workers', 1, 64),
    managers: count('managers', 1, 8),
    port: count('port', 0, 65_000),
    flags: { 'model-proxy': model, worker: given('slots') },
    env: process.env,
    storage: storage(),
    ...(values['redis-url'] === undefined ? {} : { redisUrl: values['redis-url'] }),
    onLine: (member, line) => process.stderr.write(`${member.padEnd(17)} ${line}\n`),
  });
  const { promise: stopAsked, resolve: askStop } = Promise.withResolvers<void>();
  let firstAtMs: number | null = null;
  const onSignal = (): void => {
    firstAtMs ??= performance.now();
    askStop();
    // npm repeats the Ctrl-C of the terminal: one key press, two signals. The next press does not wait.
    if (performance.now() - firstAtMs > sameKeyPressMs) void cluster.kill().then(() => process.exit(130));
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  for (const { url } of cluster.members('gateway')) {
    process.stdout.write(
      `curl -s ${url}/api/v1/exec -H 'Authorization: Bearer ${cluster.token}' -H 'Content-Type: application/json' -d '{"prompt": "say: hello"}'\n`,
    );
  }
  process.stdout.write('ready\n');
  await stopAsked;
  await cluster.stop();
}

await main().catch((error: unknown) => {
  if (error instanceof RedisMissing) leave(2, error.message);
  leave(1, error instanceof Error ? error.message : String(error));
});
