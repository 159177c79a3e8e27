// How the command line leaves: a number for scripts, a sentence for people.

export const exitCodes = {
  completed: 0,
  turnFailed: 1,
  usage: 2,
  unauthenticated: 4,
  unreachable: 5,
  requiresAction: 6,
  timedOut: 124,
  cancelled: 130,
} as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** Ends the command: the message goes to stderr, the code to the caller. */
export class CliError extends Error {
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'CliError';
    this.exitCode = exitCode;
  }
}

/** For the code of a turn as the wire has it; what we do not know is a failure. */
export function exitCodeOfTurn(exitCode: number): ExitCode {
  return Object.values(exitCodes).find((known) => known === exitCode) ?? exitCodes.turnFailed;
}
