// What a person sees on stderr while a turn runs: a line for each thing that the agent did.

import type { EventOnWire } from '../api/events.ts';
import { printable } from './output.ts';

const maxLineCharacters = 160;

/** null for events that say nothing to a person. */
export function progressLine(event: EventOnWire): string | null {
  const text = describe(event);
  if (text === null) return null;
  const line = printable(text).replaceAll(/\s*\n\s*/g, ' ⏎ ');
  return line.length > maxLineCharacters ? `${line.slice(0, maxLineCharacters)}…` : line;
}

function describe(event: EventOnWire): string | null {
  switch (event.type) {
    case 'turn.queued':
      return typeof event['position'] === 'number' ? `queued (position ${event['position']})` : null;
    case 'turn.started':
      return `session ${event.session_id}`;
    case 'turn.requires_action':
      return 'waiting for a decision';
    case 'session.recovering':
      return 'the worker was lost; another one takes over';
    case 'warning':
      return `warning: ${textOf(event['message'])}`;
    case 'item.started':
      return describeStart(fieldsOf(event['item']));
    case 'item.completed':
      return describeEnd(fieldsOf(event['item']));
    default:
      return null;
  }
}

function describeStart(item: Readonly<Record<string, unknown>>): string | null {
  switch (item['type']) {
    case 'command_execution':
      return `$ ${textOf(item['command'])}`;
    case 'mcp_tool_call':
      return `tool ${textOf(item['server'])}.${textOf(item['tool'])}`;
    case 'web_search':
      return `search ${textOf(item['query'])}`;
    default:
      return null;
  }
}

function describeEnd(item: Readonly<Record<string, unknown>>): string | null {
  switch (item['type']) {
    case 'command_execution':
      return typeof item['exit_code'] === 'number' && item['exit_code'] !== 0
        ? `  exit code ${item['exit_code']}`
        : null;
    case 'file_change':
      return changesOf(item['changes']).join(', ');
    case 'error':
      return `error: ${textOf(item['message'])}`;
    default:
      return null;
  }
}

function changesOf(changes: unknown): string[] {
  if (!Array.isArray(changes)) return ['files changed'];
  return changes.map((change: unknown) => {
    const { kind, path } = fieldsOf(change);
    return `${textOf(kind)} ${textOf(path)}`.trim();
  });
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
