// `codex-fleet sessions logs`: the events of a session so far, and with -f those to come.

import { eventPageSchema, type EventOnWire } from '../../api/events.ts';
import type { CliContext } from '../cli-context.ts';
import { exitCodes, type ExitCode } from '../exit-codes.ts';
import type { FleetClient } from '../fleet-client.ts';
import { printable } from '../output.ts';
import { readAnswer } from '../read-answer.ts';
import { clientOfRunningFleet } from '../running-fleet.ts';
import type { SettingFlags } from '../setting-options.ts';
import { progressLine } from '../turn-progress.ts';
import { followSession } from '../turn-stream.ts';
import { sessionIdOf, sessionPath } from './sessions.ts';

export type LogsOptions = { readonly follow?: boolean; readonly after?: string; readonly json?: boolean };

const pageSize = 500;

export async function runSessionLogs(
  context: CliContext,
  ref: string,
  options: LogsOptions,
  given: SettingFlags,
): Promise<ExitCode> {
  const client = await clientOfRunningFleet(context, given);
  const sessionId = await sessionIdOf(client, ref);
  const stop = new AbortController();
  const stopListening = context.onInterrupt(() => stop.abort());
  const write = async (event: EventOnWire, json: string): Promise<void> => {
    const text = options.json === true ? json : lineOf(event);
    if (text !== null) await context.stdout.write(`${text}\n`);
  };
  try {
    let cursor = options.after ?? null;
    for await (const event of eventsSoFar(client, sessionId, cursor)) {
      if (stop.signal.aborted) return exitCodes.completed;
      await write(event, JSON.stringify(event));
      ({ cursor } = event);
    }
    if (options.follow !== true) return exitCodes.completed;
    // Behind the last event; of a session that has none yet, from the start.
    const place = { sessionId, turnId: null, cursor };
    for await (const { event, json } of followSession({ client, place, clock: context.clock, signal: stop.signal })) {
      await write(event, json);
    }
    return exitCodes.completed;
  } catch (error) {
    // Ctrl-C is how following ends.
    if (stop.signal.aborted) return exitCodes.completed;
    throw error;
  } finally {
    stopListening();
  }
}

async function* eventsSoFar(client: FleetClient, sessionId: string, after: string | null): AsyncGenerator<EventOnWire> {
  let cursor = after;
  for (;;) {
    const query = new URLSearchParams({ limit: String(pageSize), ...(cursor === null ? {} : { after: cursor }) });
    const page = readAnswer(
      eventPageSchema,
      await client.call('GET', `${sessionPath(sessionId)}/events?${query.toString()}`),
      client,
    );
    yield* page.data;
    cursor = page.last_id;
    if (!page.has_more || cursor === null) return;
  }
}

/** Pieces of text are left out: the item that they make up comes whole. */
function lineOf(event: EventOnWire): string | null {
  if (event.type === 'item.delta' || event.type === 'item.updated') return null;
  const words = progressLine(event) ?? endOf(event) ?? answerOf(event);
  return `${event.at}   ${event.type.padEnd(20)}${words === null ? '' : `   ${words}`}`.trimEnd();
}

function endOf(event: EventOnWire): string | null {
  const why = event['stderr'];
  return event.type.startsWith('turn.') && typeof why === 'string' && why !== '' ? oneLine(why) : null;
}

function answerOf(event: EventOnWire): string | null {
  const item = event['item'] as { type?: unknown; text?: unknown } | undefined;
  if (event.type !== 'item.completed' || item?.type !== 'agent_message') return null;
  return typeof item.text === 'string' ? oneLine(item.text) : null;
}

function oneLine(text: string): string {
  return printable(text).replaceAll(/\s*\n\s*/g, ' ⏎ ');
}
