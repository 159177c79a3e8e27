// `codex-fleet exec`: one prompt, its progress on stderr, its answer on stdout, its fate as exit code.

import { readFile } from 'node:fs/promises';
import { terminalEventFields } from '../../api/events.ts';
import type { EventOnWire } from '../../api/events.ts';
import { parseQuantity } from '../../config/units.ts';
import { aliasRule, isAlias } from '../../core/ids.ts';
import { isTerminalEventType } from '../../core/event.ts';
import type { CliContext } from '../cli-context.ts';
import { CliError, exitCodeOfTurn, exitCodes } from '../exit-codes.ts';
import type { ExitCode } from '../exit-codes.ts';
import { findTarget } from '../exec-target.ts';
import type { ExecTarget } from '../exec-target.ts';
import { FleetClient } from '../fleet-client.ts';
import type { ExecCall } from '../fleet-client.ts';
import { Interruption } from '../interruption.ts';
import { printable } from '../output.ts';
import { readPrompt } from '../prompt-source.ts';
import type { SettingFlags } from '../setting-options.ts';
import { progressLine } from '../turn-progress.ts';
import { followTurn } from '../turn-stream.ts';

export type ExecOptions = {
  readonly session?: string;
  readonly timeout?: string;
  readonly json?: boolean;
  readonly effort?: string;
  readonly onBusy?: string;
  readonly outputSchema?: string;
};

export async function runExec(
  context: CliContext,
  promptArgument: string | undefined,
  options: ExecOptions,
  given: SettingFlags,
): Promise<ExitCode> {
  const session = options.session;
  if (session !== undefined && !isAlias(session)) {
    throw new CliError(exitCodes.usage, `--session: got ${JSON.stringify(session)}; allowed: ${aliasRule}`);
  }
  const timeoutMs = options.timeout === undefined ? undefined : parseTimeout(options.timeout);
  const { effort, onBusy } = options;
  // Ctrl-C cancels the turn: it must be one of this call's own.
  if (onBusy !== undefined && onBusy !== 'queue' && onBusy !== 'reject') {
    const allowed = 'queue, reject; a running turn is steered by `codex-fleet sessions steer`';
    throw new CliError(exitCodes.usage, `--on-busy: got ${JSON.stringify(onBusy)}; allowed: ${allowed}`);
  }
  const outputSchema = options.outputSchema === undefined ? undefined : await readOutputSchema(options.outputSchema);
  const prompt = await readPrompt(context.stdin, promptArgument);
  const model = given.flags['--model'];
  const call: ExecCall = {
    prompt,
    ...(session === undefined ? {} : { session_id: session }),
    ...(timeoutMs === undefined ? {} : { timeout_ms: timeoutMs }),
    ...(model === undefined ? {} : { model }),
    ...(effort === undefined ? {} : { effort }),
    ...(outputSchema === undefined ? {} : { output_schema: outputSchema }),
    ...(onBusy === undefined ? {} : { on_busy: onBusy }),
  };

  const interruption = new Interruption(context);
  try {
    const target = await interruption.race(findTarget(context, given));
    if (target === null) return exitCodes.cancelled;
    try {
      if (target.notice !== null) await context.stderr.write(`codex-fleet: ${target.notice}\n`);
      return await runTurn(context, target, call, options.json === true, interruption);
    } finally {
      await target.close({ force: interruption.isAsked });
    }
  } finally {
    interruption.close();
  }
}

async function runTurn(
  context: CliContext,
  target: ExecTarget,
  call: ExecCall,
  asJson: boolean,
  interruption: Interruption,
): Promise<ExitCode> {
  const { clock, stdout, stderr } = context;
  const client = new FleetClient({ url: target.url, token: target.token, clock });
  const showsProgress = stderr.isTerminal && !asJson;
  const events = followTurn({ client, call, clock, signal: interruption.signal });
  try {
    for await (const { event, json } of events) {
      if (event.turn_id !== null) interruption.cancelBy(() => client.cancelTurn(event.session_id, event.turn_id ?? ''));
      if (asJson) await stdout.write(`${json}\n`);
      const line = showsProgress ? progressLine(event) : null;
      if (line !== null) await stderr.write(`${dim(context, line)}\n`);
      if (event.turn_id !== null && isTerminalEventType(event.type)) {
        const exitCode = await reportEnd(context, event, asJson);
        return interruption.isAsked ? exitCodes.cancelled : exitCode;
      }
      if (event.type === 'turn.requires_action') {
        await stderr.write(`codex-fleet: session ${event.session_id} waits for a decision\n`);
        return exitCodes.requiresAction;
      }
    }
  } catch (error) {
    if (interruption.isAsked) return exitCodes.cancelled;
    throw error;
  }
  throw new CliError(exitCodes.unreachable, 'the events ended without an end of the turn');
}

async function reportEnd({ stdout, stderr }: CliContext, event: EventOnWire, asJson: boolean): Promise<ExitCode> {
  const answer = terminalEventFields.stdout.safeParse(event['stdout']).data ?? '';
  const why = terminalEventFields.stderr.safeParse(event['stderr']).data ?? '';
  const exitCode = terminalEventFields.exit_code.safeParse(event['exit_code']).data ?? exitCodes.turnFailed;
  if (!asJson && answer !== '') {
    const text = stdout.isTerminal ? printable(answer) : answer;
    await stdout.write(text.endsWith('\n') ? text : `${text}\n`);
  }
  if (exitCode !== 0) {
    const how = event.type.slice('turn.'.length).replace('_', ' ');
    await stderr.write(`codex-fleet: turn ${how}${why === '' ? '' : `: ${printable(why)}`}\n`);
  }
  return exitCodeOfTurn(exitCode);
}

/** What is in the file; whether it is a schema that can be used is the fleet's to say. */
export async function readOutputSchema(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    const why = cause instanceof SyntaxError ? 'it is not valid JSON' : 'it cannot be read';
    throw new CliError(exitCodes.usage, `--output-schema: got ${JSON.stringify(path)}; ${why}`, { cause });
  }
}

/** Seconds, or with a unit. */
export function parseTimeout(text: string): number {
  const timeoutMs = /^\d+$/.test(text) ? Number(text) * 1000 : parseQuantity(text, 'ms');
  if (timeoutMs !== null && timeoutMs >= 1) return timeoutMs;
  throw new CliError(
    exitCodes.usage,
    `--timeout: got ${JSON.stringify(text)}; allowed: seconds, or a duration such as 1500ms, 90s, 5m, 2h`,
  );
}

function dim(context: CliContext, line: string): string {
  return (context.env['NO_COLOR'] ?? '') === '' ? `\u001b[2m${line}\u001b[22m` : line;
}
