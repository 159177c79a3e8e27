// The model proxy as a process of its own beside the fleet: started, watched, started again when it
// dies. It alone gets the API key; it ends when its standard input does, whatever ends us.

import { type ChildProcess, spawn } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../observability/logger.ts';
import type { ModelProxySettings } from './model-proxy-settings.ts';

export type ModelProxyProcessOptions = {
  readonly settings: ModelProxySettings;
  /** The variables it may have; everything else of ours stays here. */
  readonly env: Readonly<Record<string, string>>;
  readonly clock: Clock;
  readonly logger: Logger;
};

export type ModelProxyProcess = { readonly pid: () => number | null; readonly stop: () => Promise<void> };

const startDeadlineMs = 10_000;
const stopGraceMs = 2_000;
const firstRestartMs = 100;
const longestRestartMs = 5_000;

const entry = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? './model-proxy-child.ts' : './model-proxy-child.js', import.meta.url),
);

export async function startModelProxyProcess(options: ModelProxyProcessOptions): Promise<ModelProxyProcess> {
  const { clock, logger } = options;
  let child = await startChild(options);
  let isStopping = false;
  let restartMs = firstRestartMs;
  let cancelRestart: () => void = () => {};

  const restart = async (): Promise<void> => {
    try {
      const started = await startChild(options);
      child = started;
      if (isStopping) await endChild(started, clock);
      restartMs = firstRestartMs;
      watch();
    } catch (error) {
      logger.error({ event: 'model_proxy_not_restarted', err: error }, 'the model proxy could not be started again');
      if (!isStopping) scheduleRestart();
    }
  };
  const scheduleRestart = (): void => {
    cancelRestart = clock.after(restartMs, () => void restart());
    restartMs = Math.min(longestRestartMs, restartMs * 2);
  };
  const watch = (): void => {
    child.once('exit', (code, signal) => {
      if (isStopping) return;
      // Its grants are gone with it; the link to it remembers them, and says them to the next one.
      logger.error({ event: 'model_proxy_exited', code, signal }, 'the model proxy ended; it is started again');
      scheduleRestart();
    });
  };
  watch();

  const stop = async (): Promise<void> => {
    isStopping = true;
    cancelRestart();
    await endChild(child, clock);
  };
  let stopping: Promise<void> | null = null;
  return { pid: () => child.pid ?? null, stop: () => (stopping ??= stop()) };
}

async function startChild(options: ModelProxyProcessOptions): Promise<ChildProcess> {
  const { clock, env, settings } = options;
  await Promise.all([rm(settings.dataSocket, { force: true }), rm(settings.controlSocket, { force: true })]);
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', entry], {
    env: { ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
    // A process group of its own: an interrupt at the terminal is for us to act on, also while it starts.
    detached: true,
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const cancelDeadline = clock.after(startDeadlineMs, () =>
    reject(new Error(`the model proxy was not ready within ${startDeadlineMs} ms`)),
  );
  child.once('error', reject);
  child.once('exit', (code, signal) =>
    reject(new Error(`the model proxy ended at its start (${signal ?? `exit code ${code}`})`)),
  );
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => {
    if (line === 'ready') resolve();
  });
  child.stdin.on('error', reject);
  child.stdin.write(`${JSON.stringify(settings)}\n`);
  try {
    await promise;
    return child;
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  } finally {
    cancelDeadline();
    lines.removeAllListeners('line');
    child.stdout.resume();
  }
}

async function endChild(child: ChildProcess, clock: Clock): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.stdin?.end();
  const cancel = clock.after(stopGraceMs, () => child.kill('SIGKILL'));
  await exited;
  cancel();
}
