// `codex-fleet sessions`: list, look at, steer, let rest, wake, erase. Following one is in session-logs.ts.

import * as api from '../../api/sessions.ts';
import { listSchema, type ListOf } from '../../api/list.ts';
import { turnSchema, type TurnResource } from '../../api/turns.ts';
import type { CliContext } from '../cli-context.ts';
import { CliError, exitCodes, type ExitCode } from '../exit-codes.ts';
import type { FleetClient } from '../fleet-client.ts';
import { readPrompt } from '../prompt-source.ts';
import { readAnswer } from '../read-answer.ts';
import { clientOfRunningFleet } from '../running-fleet.ts';
import type { SettingFlags } from '../setting-options.ts';
import { factLines, textTable } from '../table.ts';

export type SessionListOptions = { readonly limit?: string; readonly after?: string; readonly json?: boolean };

/** The latest turns, among which an error is looked for. */
const shownTurns = 20;

export async function runSessionsList(
  context: CliContext,
  options: SessionListOptions,
  given: SettingFlags,
): Promise<ExitCode> {
  const client = await clientOfRunningFleet(context, given);
  const query = new URLSearchParams({
    ...(options.limit === undefined ? {} : { limit: options.limit }),
    ...(options.after === undefined ? {} : { after: options.after }),
  });
  const answer = await client.call('GET', `/api/v1/sessions?${query.toString()}`);
  if (options.json === true) {
    await context.stdout.write(`${JSON.stringify(answer)}\n`);
    return exitCodes.completed;
  }
  const page = readAnswer(listSchema(api.sessionSchema), answer, client);
  const rows = page.data.map((session) => [
    session.id,
    session.alias ?? '-',
    session.status,
    session.model ?? '-',
    session.worker ?? '-',
    session.last_accessed_at,
    session.title ?? '',
  ]);
  await context.stdout.write(textTable(['ID', 'NAME', 'STATUS', 'MODEL', 'WORKER', 'LAST USED', 'TITLE'], rows));
  if (page.has_more) await context.stderr.write(`there are more: --after ${page.last_id ?? ''}\n`);
  return exitCodes.completed;
}

export async function runSessionsShow(
  context: CliContext,
  ref: string,
  options: { readonly json?: boolean },
  given: SettingFlags,
): Promise<ExitCode> {
  const client = await clientOfRunningFleet(context, given);
  const path = sessionPath(ref);
  const answer = await client.call('GET', path);
  const turnsAnswer = await client.call('GET', `${path}/turns?limit=${shownTurns}`);
  const session = readAnswer(api.sessionSchema, answer, client);
  const { lastTurn, lastFailed } = lookAt(readAnswer(listSchema(turnSchema), turnsAnswer, client));
  if (options.json === true) {
    const lastError =
      lastFailed === null ? null : { turn_id: lastFailed.id, at: lastFailed.ended_at, ...lastFailed.error };
    await context.stdout.write(`${JSON.stringify({ session: answer, last_turn: lastTurn, last_error: lastError })}\n`);
    return exitCodes.completed;
  }
  await context.stdout.write(
    factLines([
      ['id', session.id],
      ['name', session.alias ?? '-'],
      ['title', session.title ?? '-'],
      ['status', session.status],
      ['worker', session.worker ?? '-'],
      ['slot', session.slot ?? '-'],
      ['epoch', String(session.epoch)],
      ['model', session.model ?? 'the default'],
      ['sandbox', session.sandbox],
      ['approvals', session.approval_policy],
      [
        'snapshot',
        session.snapshot === null ? '-' : `${session.snapshot.taken_at}, up to event ${session.snapshot.last_seq}`,
      ],
      ['created', `${session.created_at} by ${session.created_by}`],
      ['last used', session.last_accessed_at],
      ['tokens', `${session.usage.input_tokens} in, ${session.usage.output_tokens} out`],
      ['last turn', lastTurn === null ? '-' : `${lastTurn.id} ${lastTurn.status}`],
      ['request id', lastTurn?.request_id ?? '-'],
      ['last error', lastFailed === null ? '-' : errorText(lastFailed)],
      ...Object.entries(session.metadata).map(([key, value]) => [`metadata ${key}`, value] as const),
    ]),
  );
  return exitCodes.completed;
}

/** Gives a prompt to the turn that runs. */
export async function runSessionsSteer(
  context: CliContext,
  ref: string,
  promptArgument: string | undefined,
  options: { readonly turn?: string; readonly json?: boolean },
  given: SettingFlags,
): Promise<ExitCode> {
  const prompt = await readPrompt(context.stdin, promptArgument);
  const client = await clientOfRunningFleet(context, given);
  const turns = `${sessionPath(ref)}/turns`;
  const turnId = options.turn ?? (await runningTurnOf(client, turns));
  if (turnId === null) throw new CliError(exitCodes.turnFailed, `no turn runs in session ${ref}`);
  const answer = await client.call('POST', `${turns}/${encodeURIComponent(turnId)}/steer`, { prompt });
  const turn = readAnswer(turnSchema, answer, client);
  await context.stdout.write(options.json === true ? `${JSON.stringify(answer)}\n` : `given to turn ${turn.id}\n`);
  return exitCodes.completed;
}

async function runningTurnOf(client: FleetClient, turnsPath: string): Promise<string | null> {
  for (const status of ['running', 'requires_action']) {
    const answer = await client.call('GET', `${turnsPath}?status=${status}&limit=1`);
    const [turn] = readAnswer(listSchema(turnSchema), answer, client).data;
    if (turn !== undefined) return turn.id;
  }
  return null;
}

/** Lets the process of a session go, or gives it one. */
export async function runSessionsMove(
  context: CliContext,
  refs: readonly string[],
  what: 'hibernate' | 'wake',
  options: { readonly json?: boolean },
  given: SettingFlags,
): Promise<ExitCode> {
  const client = await clientOfRunningFleet(context, given);
  for (const ref of refs) {
    const answer = await client.call('POST', `${sessionPath(ref)}/${what}`);
    const { id, status } = readAnswer(api.sessionSchema, answer, client);
    await context.stdout.write(options.json === true ? `${JSON.stringify(answer)}\n` : `${id} ${status}\n`);
  }
  return exitCodes.completed;
}

export async function runSessionsRemove(
  context: CliContext,
  refs: readonly string[],
  options: { readonly json?: boolean },
  given: SettingFlags,
): Promise<ExitCode> {
  const client = await clientOfRunningFleet(context, given);
  for (const ref of refs) {
    const answer = await client.call('DELETE', sessionPath(ref));
    const { id } = readAnswer(api.deletedSessionSchema, answer, client);
    await context.stdout.write(options.json === true ? `${JSON.stringify(answer)}\n` : `erased ${id}\n`);
  }
  return exitCodes.completed;
}

export function sessionPath(ref: string): string {
  return `/api/v1/sessions/${encodeURIComponent(ref)}`;
}

/** Its id, for a reference that may be a name. */
export async function sessionIdOf(client: FleetClient, ref: string): Promise<string> {
  return readAnswer(api.sessionSchema, await client.call('GET', sessionPath(ref)), client).id;
}

function lookAt(turns: ListOf<TurnResource>): { lastTurn: TurnResource | null; lastFailed: TurnResource | null } {
  return { lastTurn: turns.data[0] ?? null, lastFailed: turns.data.find(({ error }) => error !== null) ?? null };
}

function errorText({ id, ended_at, error }: TurnResource): string {
  return `${error?.code ?? ''}: ${error?.message ?? ''} (turn ${id}, ${ended_at ?? 'not ended'})`;
}
