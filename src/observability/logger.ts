// Logs as facts: a constant message, a stable `event`, the rest in fields; one JSON object a line,
// in the words of Cloud Logging (`severity`, `message`, `time`). Goes to stderr: stdout is for data.

import { pino } from 'pino';
import type { DestinationStream, Logger as PinoLogger } from 'pino';
import { prettyStream } from './pretty-log.ts';
import { redacted, redactFacts } from './redaction.ts';

/**
 * Usage: `logger.info({ event: 'slot_recycled', reason, turns }, 'Slot recycled')`. Narrow it with
 * `.child({ session_id, turn_id, slot_id, worker_id, request_id })`. An error goes in as `err`.
 * info: a state changed; warn: we degraded; error: a person must look.
 */
export type Logger = PinoLogger;

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

export type LogRole = 'embedded' | 'gateway' | 'worker' | 'session-manager' | 'model-proxy' | 'cli' | 'test';

export type LoggerOptions = {
  readonly level: LogLevel;
  readonly role: LogRole;
  /** Default: stderr. */
  readonly destination?: DestinationStream;
  /** Lines for a person at a terminal instead of JSON. */
  readonly pretty?: boolean;
  /** Fields named `prompt` are written, up to a length, instead of redacted. */
  readonly showPrompts?: boolean;
};

/** A stalled reader of stderr must not stall the agents: beyond this, lines are dropped. */
const maxBufferedBytes = 1024 * 1024;
/** A write for several lines, and never later than this: a turn logs four, and a write each was 0.8 ms of it. */
const stderrBatches = { maxLength: maxBufferedBytes, minLength: 4096, periodicFlush: 100 } as const;

const severities: Readonly<Record<string, string>> = {
  trace: 'DEBUG',
  debug: 'DEBUG',
  info: 'INFO',
  warn: 'WARNING',
  error: 'ERROR',
  fatal: 'CRITICAL',
};

/** A child's bindings bypass the walk through the facts, so the likely names are given to pino as well. */
const secretBindings = [
  'authorization',
  'cookie',
  'credential',
  'token',
  'access_token',
  'api_key',
  'apiKey',
  'secret',
  'password',
  'prompt',
];

const promptNames: ReadonlySet<string> = new Set(['prompt']);
const noNames: ReadonlySet<string> = new Set();

export function createLogger(options: LoggerOptions): Logger {
  const shown = options.showPrompts === true ? promptNames : noNames;
  const destination = options.destination ?? pino.destination({ ...stderrBatches, dest: 2, sync: false });
  return pino(
    {
      level: options.level,
      base: { role: options.role, pid: process.pid },
      messageKey: 'message',
      errorKey: 'err',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: {
        level: (label) => ({ severity: severities[label] ?? 'DEFAULT' }),
        log: (facts) => redactFacts(facts, shown),
      },
      // redactFacts has made plain objects of errors by the time serializers run.
      serializers: { err: (err: unknown) => err },
      redact: { paths: secretBindings.filter((name) => !shown.has(name)), censor: redacted },
    },
    options.pretty === true ? prettyStream(destination) : destination,
  );
}

/** For code that needs a logger and tests that do not read it. */
export function createSilentLogger(): Logger {
  return pino({ level: 'silent' });
}
