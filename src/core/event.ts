// The stored event and its cursor. Frozen: other versions of this program will read what we write.

import type { SessionId, TenantId, TurnId } from './ids.ts';

export type EventHeader = {
  readonly tenant: TenantId;
  readonly sessionId: SessionId;
  readonly turnId: TurnId | null;
  readonly epoch: number;
  /** Consecutive from 1 over the whole life of the session, across epochs. */
  readonly seq: number;
  readonly type: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** CRC-32 (IEEE) of the UTF-8 of body, a newline, and raw; as an unsigned number. */
  readonly checksum: number;
};

export type StoredEvent = {
  readonly version: 1;
  readonly header: EventHeader;
  /** The public event as JSON, envelope included: sent to clients as it is, never parsed on the way. */
  readonly body: string;
  /** The line that Codex wrote, also where the body had to be cut; null for events of our own, and for deltas, which are rebuilt. */
  readonly raw: string | null;
};

/** A place in a session's log, between two events. */
export type Cursor = { readonly epoch: number; readonly seq: number };

export function formatCursor(cursor: Cursor): string {
  return `${cursor.epoch}.${cursor.seq}`;
}

/** null for text that we never gave out. */
export function parseCursor(text: string): Cursor | null {
  const match = /^(0|[1-9]\d{0,14})\.(0|[1-9]\d{0,14})$/.exec(text);
  if (match === null) return null;
  return { epoch: Number(match[1]), seq: Number(match[2]) };
}

/** What every public event has; the rest depends on `type`. Wire names. */
export type EventEnvelope = {
  readonly seq: number;
  readonly cursor: string;
  readonly type: string;
  readonly session_id: SessionId;
  readonly turn_id: TurnId | null;
  readonly at: string;
};

/** An event before it has a place in the log: type and the fields beside the envelope's. */
export type EventDraft = {
  readonly type: string;
  readonly turnId: TurnId | null;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly raw: string | null;
};

export const terminalEventTypes = [
  'turn.completed',
  'turn.failed',
  'turn.cancelled',
  'turn.interrupted',
  'turn.timed_out',
] as const;

export function isTerminalEventType(type: string): boolean {
  return (terminalEventTypes as readonly string[]).includes(type);
}
