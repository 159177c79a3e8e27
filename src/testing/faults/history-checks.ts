// What must be true of whatever happened, whatever was broken meanwhile: pure functions on what clients
// saw and what the model was shown. Each answers what is wrong, in words; nothing when all is well.

import type { EventOnWire } from '../../api/events.ts';
import { isTerminalEventType, parseCursor } from '../../core/event.ts';
import type { OracleCall } from './oracle-model.ts';

/** A turn that a client was told of. */
export type AcceptedTurn = { readonly sessionId: string; readonly turnId: string; readonly prompt: string };

/** How a turn's record says that it ended. */
export type RecordedEnd = { readonly turnId: string; readonly status: string };

/** An event as it came, and its place. */
export type EventText = { readonly sessionId: string; readonly seq: number; readonly text: string };

export type SessionEvents = ReadonlyMap<string, readonly EventOnWire[]>;

/** Every accepted turn has one terminal event, the last of that turn, and its record says the same. */
export function exactlyOneTerminal(
  turns: readonly AcceptedTurn[],
  events: SessionEvents,
  ends: readonly RecordedEnd[],
): string[] {
  const problems: string[] = [];
  const statuses = new Map(ends.map(({ turnId, status }) => [turnId, status]));
  for (const { sessionId, turnId } of turns) {
    const own = (events.get(sessionId) ?? []).filter((event) => event.turn_id === turnId);
    const terminal = own.filter((event) => isTerminalEventType(event.type));
    if (terminal.length !== 1) problems.push(`turn ${turnId} has ${terminal.length} terminal events`);
    else if (own.at(-1) !== terminal[0]) problems.push(`turn ${turnId} goes on behind its end`);
    const status = statuses.get(turnId) ?? 'nothing';
    for (const { type } of terminal) {
      if (type !== `turn.${status}`) problems.push(`turn ${turnId} ended with ${type}, its record says ${status}`);
    }
  }
  return problems;
}

/** Each session's events are numbered from 1, one by one. */
export function seqsAreGapless(events: SessionEvents): string[] {
  const problems: string[] = [];
  for (const [sessionId, own] of events) {
    for (const [index, { seq }] of own.entries()) {
      if (seq === index + 1) continue;
      problems.push(`session ${sessionId} has event ${seq} where ${index + 1} belongs`);
      break;
    }
  }
  return problems;
}

export function epochsNeverDecrease(events: SessionEvents): string[] {
  const problems: string[] = [];
  for (const [sessionId, own] of events) {
    let highest = 0;
    for (const { cursor, seq } of own) {
      const place = parseCursor(cursor);
      if (place === null || place.seq !== seq) {
        problems.push(`session ${sessionId} has event ${seq} at cursor ${cursor}`);
      } else if (place.epoch < highest) {
        problems.push(`session ${sessionId} goes back from epoch ${highest} to ${place.epoch} at event ${seq}`);
      }
      highest = Math.max(highest, place?.epoch ?? 0);
    }
  }
  return problems;
}

/** Whatever was read once is read again, byte for byte. */
export function reReadsByteIdentical(first: readonly EventText[], again: readonly EventText[]): string[] {
  const later = new Map(again.map(({ sessionId, seq, text }) => [`${sessionId}/${seq}`, text]));
  return first.flatMap(({ sessionId, seq, text }) => {
    const reread = later.get(`${sessionId}/${seq}`);
    if (reread === text) return [];
    const how = reread === undefined ? 'is gone' : `was ${text} and is ${reread}`;
    return [`event ${seq} of session ${sessionId} ${how}`];
  });
}

/**
 * Each prompt was the newest message of the user in at most one turn's calls of the model, and so was each
 * prompt that nobody accepted. Prompts are unique in a history. `continuations`: how many turns went on
 * with a prompt because that was asked for.
 */
export function promptsAtMostOnce(
  calls: readonly OracleCall[],
  turns: readonly AcceptedTurn[],
  continuations: ReadonlyMap<string, number> = new Map(),
): string[] {
  const accepted = new Set(turns.map(({ prompt }) => prompt));
  if (accepted.size !== turns.length) return ['two accepted turns have the same prompt: the history proves nothing'];
  const codexTurns = new Map<string, Set<string>>();
  for (const { prompt, codexTurn } of calls) {
    codexTurns.set(prompt, (codexTurns.get(prompt) ?? new Set()).add(codexTurn));
  }
  return [...codexTurns].flatMap(([prompt, { size }]) => {
    if (!accepted.has(prompt)) return [`nobody accepted ${JSON.stringify(prompt)}, and the model was asked it`];
    return size > 1 + (continuations.get(prompt) ?? 0) ? [`${JSON.stringify(prompt)} ran in ${size} turns`] : [];
  });
}

/** What was put together from pieces of a stream is the log. */
export function concatenationEquals(log: readonly string[], stream: readonly string[]): string[] {
  const at = log.findIndex((text, index) => stream[index] !== text);
  if (at >= 0) return [`place ${at}: the log has ${log[at]}, the stream ${stream[at] ?? 'nothing'}`];
  return stream.length === log.length ? [] : [`the stream has ${stream.length - log.length} events more`];
}

/** A client that appends deltas and drops what is superseded, and nothing else. */
export function liveText(events: readonly EventOnWire[]): string {
  const texts = new Map<string, string>();
  for (const event of events) {
    const itemId = String(event['item_id']);
    if (event.type === 'item.delta' && event['kind'] === 'agent_message') {
      texts.set(itemId, (texts.get(itemId) ?? '') + String(event['delta']));
    }
    if (event.type === 'item.superseded') texts.delete(itemId);
  }
  return [...texts.values()].join('');
}

export function liveTextEquals(finalMessage: string, events: readonly EventOnWire[]): string[] {
  const live = liveText(events);
  if (live === finalMessage) return [];
  const doubled = live.length - finalMessage.length;
  return [`the live text has ${doubled} characters more than the final message: ${JSON.stringify(live)}`];
}

/** Of a session whose turns were all told to the model: each call shows all prompts before its own. */
export function remembersAll(calls: readonly OracleCall[], prompts: readonly string[]): string[] {
  return calls.flatMap((call) => {
    const at = prompts.indexOf(call.prompt);
    const missing = prompts.slice(0, Math.max(0, at)).filter((prompt) => !call.earlierPrompts.includes(prompt));
    return missing.map((prompt) => `${JSON.stringify(call.prompt)} was asked without ${JSON.stringify(prompt)}`);
  });
}
