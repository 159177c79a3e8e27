// A long-running command's life: started, then until a signal or its own end. The first signal drains,
// a second one kills.

import type { RunningPart } from '../app/running-part.ts';
import type { CliContext } from './cli-context.ts';
import { isServiceError } from '../core/errors.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import type { ExitCode } from './exit-codes.ts';

/** npm forwards the Ctrl-C that the terminal sends to its child as well: one key press, two signals. */
export const sameKeyPressMs = 250;
const forcedStopMs = 10_000;

export async function runUntilStopped<P extends RunningPart>(
  context: CliContext,
  start: () => Promise<P>,
  onReady: (part: P) => Promise<void>,
): Promise<ExitCode> {
  const { promise: stopAsked, resolve: askStop } = Promise.withResolvers<'stop'>();
  const { promise: killAsked, resolve: askKill } = Promise.withResolvers<'kill'>();
  let firstAtMs: number | null = null;
  const stopListening = context.onInterrupt(() => {
    const nowMs = context.clock.monotonicMs();
    if (firstAtMs === null) {
      firstAtMs = nowMs;
      askStop('stop');
    } else if (nowMs - firstAtMs >= sameKeyPressMs) {
      askKill('kill');
    }
  });

  try {
    const starting = start();
    const started = await Promise.race([starting, killAsked]);
    if (started === 'kill') {
      // It may still come up: this process ends right after, and with it whatever was started.
      starting.catch(() => {});
      return exitCodes.cancelled;
    }
    if (firstAtMs === null) await onReady(started);
    const ended = await Promise.race([started.done.then(() => 'done' as const), stopAsked]);
    if (ended === 'done') return exitCodes.completed;

    await context.stderr.write('stopping: running turns may end; press Ctrl-C again to end them now\n');
    const drained = started.stop().then(() => 'drained' as const);
    if ((await Promise.race([drained, killAsked])) === 'drained') return exitCodes.completed;
    drained.catch(() => {});
    await withDeadline(context, started.stop({ force: true }));
    return exitCodes.cancelled;
  } finally {
    stopListening();
  }
}

async function withDeadline(context: CliContext, stopping: Promise<void>): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const cancel = context.clock.after(forcedStopMs, resolve);
  try {
    await Promise.race([stopping, late]);
  } finally {
    cancel();
  }
}

/** What a person can put right: an address, a directory that is a file, read-only, full or somebody else's. */
const refusedByTheSystem = new Set([
  'EACCES',
  'EADDRNOTAVAIL',
  'EDQUOT',
  'EEXIST',
  'ENOSPC',
  'ENOTDIR',
  'EPERM',
  'EROFS',
]);

/** Codes whose message, at a start, says what is wrong and what to do. */
const saidInWords: ReadonlySet<string> = new Set([
  'agent_start_failed',
  'model_unavailable',
  'storage_full',
  'store_corrupt',
  'store_unavailable',
  'worker_unreachable',
]);

/** A start that fails because something else is there says what, with the owner's pid. */
export function explainStartFailure(error: unknown, ownerOfPort: (port: number) => number | null): unknown {
  if (!(error instanceof Error)) return error;
  if (error.name === 'DataDirInUse') {
    return new CliError(exitCodes.usage, `${error.message}; stop it, or choose another with --data-dir`, {
      cause: error,
    });
  }
  if (error.name === 'ForeignDataDir') {
    return new CliError(exitCodes.usage, `${error.message}; choose an empty or a new one with --data-dir`, {
      cause: error,
    });
  }
  // What this machine lacks, said by the part that found out: a person can act on it, a stack trace would hide it.
  if (isServiceError(error) && saidInWords.has(error.code))
    return new CliError(exitCodes.usage, error.message, { cause: error });
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    const { code, port, address } = cause as NodeJS.ErrnoException & { port?: number; address?: string };
    if (code === 'EADDRINUSE' && port !== undefined) {
      const pid = ownerOfPort(port);
      const owner = pid === null ? 'another process' : `process ${pid}`;
      const message = `port ${port} on ${address ?? 'this host'} is in use by ${owner}; choose another with --port, or --port 0 for a free one`;
      return new CliError(exitCodes.usage, message, { cause: error });
    }
    if (code !== undefined && refusedByTheSystem.has(code)) {
      return new CliError(exitCodes.usage, cause.message, { cause: error });
    }
  }
  return error;
}
