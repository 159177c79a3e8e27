// One prompt's life (design D7): queued → running ⇄ requires_action → exactly one end.
// Pure steps on a record; who stores it and who tells the client is not decided here.

import type { SessionId, TenantId, TurnId } from './ids.ts';
import type { SnapshotRef } from './session.ts';
import { noUsage, type Usage } from './usage.ts';

export const terminalStatuses = ['completed', 'failed', 'cancelled', 'interrupted', 'timed_out'] as const;
export type TerminalStatus = (typeof terminalStatuses)[number];
export const turnStatuses = ['queued', 'running', 'requires_action', ...terminalStatuses] as const;
export type TurnStatus = (typeof turnStatuses)[number];

/** Why a turn ended otherwise than by completing. */
export const endReasons = [
  'user',
  'timeout',
  'worker_lost',
  'drain',
  'budget',
  'crash',
  'model',
  'queue_timeout',
  'storage',
] as const;
export type EndReason = (typeof endReasons)[number];

export type TurnError = { readonly code: string; readonly message: string };

/** Text given to a turn while it runs. */
export type Steer = {
  /** Derived from the Idempotency-Key where there is one: the same steer twice is given once. */
  readonly id: string;
  readonly text: string;
  readonly at: number;
};

export const reasoningEfforts = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh'] as const;
export type ReasoningEffort = (typeof reasoningEfforts)[number];

export type TurnRecord = {
  readonly tenant: TenantId;
  readonly id: TurnId;
  readonly sessionId: SessionId;
  readonly revision: number;
  readonly status: TurnStatus;
  readonly reason: EndReason | null;
  readonly prompt: string;
  /** null: the session's, else the fleet's. */
  readonly model: string | null;
  /** null: the model's own. */
  readonly effort: ReasoningEffort | null;
  /** A JSON Schema that the final message must fit; null: text. */
  readonly outputSchema: Readonly<Record<string, unknown>> | null;
  /** The turn that this one goes on with, after an interruption; null for a prompt of a client's. */
  readonly continues: TurnId | null;
  /** How many interruptions in a row led here; absent for a prompt of a client's. */
  readonly continuation?: number;
  readonly steers: readonly Steer[];
  /** Counts `running` only. */
  readonly timeoutMs: number;
  /** The longest wait for a slot. */
  readonly queueTimeoutMs: number;
  /** Hash of the request that made it, to recognise a repeated Idempotency-Key. */
  readonly requestHash: string | null;
  /** 1 is next; null once it runs. */
  readonly queuePosition: number | null;
  readonly finalMessage: string;
  readonly error: TurnError | null;
  readonly usage: Usage;
  /** What the session stood at when the turn began to run: what a diff of the turn is against. */
  readonly base: SnapshotRef | null;
  readonly createdAt: number;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  /** The job that it is an attempt of. */
  readonly jobId?: string;
  /** The X-Request-Id of the request that made it, where one did. */
  readonly requestId?: string;
  /** W3C trace context of that request, where it is traced. */
  readonly traceparent?: string;
};

/** What is true of a turn that has just been asked for. */
export const newTurn = {
  revision: 1,
  status: 'queued',
  reason: null,
  continues: null,
  steers: [],
  queuePosition: null,
  finalMessage: '',
  error: null,
  usage: noUsage,
  base: null,
  startedAt: null,
  endedAt: null,
} as const;

export type TurnOutcome = {
  readonly status: TerminalStatus;
  readonly reason: EndReason | null;
  readonly finalMessage: string;
  readonly error: TurnError | null;
  readonly usage: Usage;
};

export function isTerminal(status: TurnStatus): status is TerminalStatus {
  return (terminalStatuses as readonly string[]).includes(status);
}

/** Ended by who could not hand it to a worker: one that a worker ended has begun, or has a reason. */
export function wasNeverTaken({ reason, startedAt, status }: TurnRecord): boolean {
  return status === 'failed' && startedAt === null && reason === null;
}

/** null when the turn is not waiting: someone else started or ended it first. */
export function startedTurn(turn: TurnRecord, nowMs: number): TurnRecord | null {
  if (turn.status !== 'queued') return null;
  return { ...turn, status: 'running', startedAt: nowMs, queuePosition: null };
}

/** null when the turn does not run. */
export function pausedTurn(turn: TurnRecord): TurnRecord | null {
  return turn.status === 'running' ? { ...turn, status: 'requires_action' } : null;
}

/** null when the turn does not wait for a person. */
export function resumedTurn(turn: TurnRecord): TurnRecord | null {
  return turn.status === 'requires_action' ? { ...turn, status: 'running' } : null;
}

/** null when the turn has ended already: an end is never overwritten. */
export function endedTurn(turn: TurnRecord, outcome: TurnOutcome, nowMs: number): TurnRecord | null {
  if (isTerminal(turn.status)) return null;
  return { ...turn, ...outcome, queuePosition: null, endedAt: nowMs };
}

/** Time spent running, in whole milliseconds; 0 for a turn that never started. */
export function executionTimeMs(turn: TurnRecord, nowMs: number): number {
  return turn.startedAt === null ? 0 : Math.max(0, Math.round((turn.endedAt ?? nowMs) - turn.startedAt));
}

/** The seed's exit code for a turn; null while it has not ended. */
export function exitCode(status: TurnStatus): number | null {
  switch (status) {
    case 'completed':
      return 0;
    case 'failed':
    case 'interrupted':
      return 1;
    case 'timed_out':
      return 124;
    case 'cancelled':
      return 130;
    case 'queued':
    case 'running':
    case 'requires_action':
      return null;
  }
}
