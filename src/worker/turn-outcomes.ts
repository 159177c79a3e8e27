// What is recorded of a turn, by how it ended: the one place that chooses status, reason and error.

import { CodexRefused } from '../codex/connection-errors.ts';
import { type ErrorCode, errorRegister, isServiceError } from '../core/errors.ts';
import type { EndReason, TurnError, TurnOutcome, TurnRecord } from '../core/turn.ts';
import { noUsage, turnBudgetUsedUp } from '../core/usage.ts';
import type { TurnTranslator } from '../protocol/translate.ts';

export type StopReason = Extract<EndReason, 'user' | 'timeout' | 'drain' | 'storage' | 'worker_lost'>;

type Verdict = Pick<TurnOutcome, 'status' | 'reason' | 'error'>;

const overloadedCode = -32001;

export function codexOutcome(translator: TurnTranslator): Verdict {
  const ended = translator.outcome;
  if (ended === null) return crashed('internal');
  // Codex calls a turn completed whose rollout it could not write: the next one would not know of it.
  if (translator.transcriptProblem !== null)
    return { status: 'failed', reason: 'storage', error: errorOf('storage_full') };
  switch (ended.status) {
    case 'completed':
      return { status: 'completed', reason: null, error: null };
    case 'failed':
      return { status: 'failed', reason: isOverBudget(ended.error) ? 'budget' : 'model', error: ended.error };
    case 'interrupted':
      return { status: 'interrupted', reason: 'crash', error: ended.error };
  }
}

function isOverBudget(error: TurnError | null): boolean {
  return error?.message.includes(turnBudgetUsedUp) === true;
}

/** How a turn that somebody ended is recorded; for one that never started, too. */
export function stopped(reason: StopReason): Verdict {
  switch (reason) {
    case 'user':
      return { status: 'cancelled', reason, error: errorOf('turn_cancelled') };
    case 'timeout':
      return { status: 'timed_out', reason, error: errorOf('turn_timed_out') };
    case 'drain':
      return { status: 'interrupted', reason, error: errorOf('draining') };
    case 'storage':
      return { status: 'failed', reason, error: errorOf('storage_full') };
    case 'worker_lost':
      return { status: 'interrupted', reason, error: errorOf('worker_lost') };
  }
}

export function crashed(code: ErrorCode): Verdict {
  return { status: 'failed', reason: 'crash', error: errorOf(code) };
}

export function refused(error: unknown): Verdict {
  const reason = isServiceError(error, 'model_unavailable') ? 'model' : 'crash';
  return { status: 'failed', reason, error: refusalError(error) };
}

/** What becomes of a turn whose work could not be kept: it is not completed, whatever Codex says. */
export function notKept(outcome: TurnOutcome, error: unknown): TurnOutcome {
  if (outcome.status !== 'completed') return outcome;
  const code = isServiceError(error) ? error.code : 'internal';
  return { ...outcome, status: 'failed', reason: 'storage', error: errorOf(code) };
}

const crashCodes: readonly string[] = [
  'agent_crashed',
  'agent_garbled',
  'agent_unresponsive',
  'agent_overgrown',
] satisfies ErrorCode[];

/** The Codex process ended with the turn, or had to be ended. */
export function hasCrashed({ error, startedAt }: TurnRecord): boolean {
  return startedAt !== null && error !== null && crashCodes.includes(error.code);
}

export function neverStarted(error: unknown): TurnOutcome {
  const nothing = { finalMessage: '', usage: noUsage };
  return isServiceError(error, 'queue_timed_out')
    ? { ...nothing, status: 'timed_out', reason: 'queue_timeout', error: errorOf('queue_timed_out') }
    : { ...nothing, ...refused(error) };
}

export function stoppedBeforeStart(reason: StopReason): TurnOutcome {
  return { finalMessage: '', usage: noUsage, ...stopped(reason) };
}

export function errorOf(code: ErrorCode): TurnError {
  return { code, message: errorRegister[code].title };
}

function refusalError(error: unknown): TurnError {
  if (isServiceError(error)) return { code: error.code, message: error.message };
  if (error instanceof CodexRefused) {
    if (error.code === overloadedCode) return errorOf('agent_unresponsive');
    return { code: 'turn_failed', message: `Codex refused ${error.method}: ${error.message}` };
  }
  return errorOf('turn_failed');
}
