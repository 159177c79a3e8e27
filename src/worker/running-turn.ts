// One turn on a bound slot, from turn/start to its one outcome: what Codex said, or why it could not
// say it. Decides nothing about queues, records or terminal events.

import type { AgentProcess } from '../codex/agent-process.ts';
import type { Clock } from '../core/clock.ts';
import type { EndReason, TurnError, TurnOutcome } from '../core/turn.ts';
import { errorRegister, isServiceError } from '../core/errors.ts';
import { noUsage } from '../core/usage.ts';
import type { TurnTranslator } from '../protocol/translate.ts';
import type { TurnStartParams } from '../protocol/generated/v2/TurnStartParams.ts';

export type StopReason = Extract<EndReason, 'user' | 'timeout' | 'drain' | 'worker_lost'>;

export type RunTurnOptions = {
  readonly agent: AgentProcess;
  readonly params: TurnStartParams;
  readonly translator: TurnTranslator;
  /** Resolves when the translator has an outcome. */
  readonly codexEnded: Promise<void>;
  /** Resolves when somebody wants the turn to end. */
  readonly stopRequested: Promise<StopReason>;
  readonly timeoutMs: number;
  readonly clock: Clock;
};

export type TurnRun = {
  readonly outcome: TurnOutcome;
  /** Whether commands of this turn may still be running, or Codex itself is gone. */
  readonly cageMustEnd: boolean;
};

/** How long Codex gets to end a turn by itself, before its cage is ended. */
const interruptGraceMs = 5_000;

type End =
  | { readonly by: 'codex' }
  | { readonly by: 'exit' }
  | { readonly by: 'refusal'; readonly error: unknown }
  | { readonly by: 'stop'; readonly reason: StopReason };

export async function runTurn(options: RunTurnOptions): Promise<TurnRun> {
  const { agent, clock, translator } = options;
  const timedOut = Promise.withResolvers<End>();
  const cancelTimer = clock.after(options.timeoutMs, () => timedOut.resolve({ by: 'stop', reason: 'timeout' }));
  const started = agent.calls.turnStart(options.params);
  const codexTurnId = started.then((answer) => answer.turn.id, () => null);
  try {
    const end = await Promise.race<End>([
      timedOut.promise,
      options.codexEnded.then((): End => ({ by: 'codex' })),
      agent.exited.then((): End => ({ by: 'exit' })),
      options.stopRequested.then((reason): End => ({ by: 'stop', reason })),
      started.then(() => new Promise<never>(() => {}), (error: unknown): End => ({ by: 'refusal', error })),
    ]);
    if (end.by === 'stop') await interrupt(options, await withinGrace(clock, codexTurnId));
    return { outcome: outcomeOf(end, translator), cageMustEnd: end.by !== 'codex' };
  } finally {
    cancelTimer();
  }
}

/** Asks Codex to end the turn, so that its rollout says so; the cage ends right after, whatever it answers. */
async function interrupt(options: RunTurnOptions, codexTurnId: string | null): Promise<void> {
  if (codexTurnId === null) return;
  const { agent, clock } = options;
  const asked = agent.calls.turnInterrupt({ threadId: options.params.threadId, turnId: codexTurnId });
  await Promise.race([withinGrace(clock, Promise.all([asked, options.codexEnded])), agent.exited]).catch(() => undefined);
}

async function withinGrace<T>(clock: Clock, awaited: Promise<T>): Promise<T | null> {
  const late = Promise.withResolvers<null>();
  const cancel = clock.after(interruptGraceMs, () => late.resolve(null));
  try {
    return await Promise.race([awaited, late.promise]);
  } finally {
    cancel();
  }
}

function outcomeOf(end: End, translator: TurnTranslator): TurnOutcome {
  const soFar = { finalMessage: translator.finalMessage, usage: translator.usage };
  switch (end.by) {
    case 'codex':
      return codexOutcome(translator, soFar);
    case 'exit':
      return { ...soFar, status: 'failed', reason: 'crash', error: errorOf('agent_crashed') };
    case 'refusal':
      return { ...soFar, status: 'failed', reason: 'crash', error: refusalError(end.error) };
    case 'stop':
      return { ...soFar, ...stopped(end.reason) };
  }
}

function codexOutcome(translator: TurnTranslator, soFar: Pick<TurnOutcome, 'finalMessage' | 'usage'>): TurnOutcome {
  const ended = translator.outcome;
  if (ended === null) return { ...soFar, status: 'failed', reason: 'crash', error: errorOf('internal') };
  // Codex calls a turn completed whose rollout it could not write: the next one would not know of it.
  if (translator.transcriptProblem !== null) return { ...soFar, status: 'failed', reason: 'crash', error: errorOf('storage_full') };
  switch (ended.status) {
    case 'completed':
      return { ...soFar, status: 'completed', reason: null, error: null };
    case 'failed':
      return { ...soFar, status: 'failed', reason: 'model', error: ended.error };
    case 'interrupted':
      return { ...soFar, status: 'interrupted', reason: 'crash', error: ended.error };
  }
}

/** How a turn that somebody ended is recorded; for one that never started, too. */
export function stopped(reason: StopReason): Pick<TurnOutcome, 'status' | 'reason' | 'error'> {
  switch (reason) {
    case 'user':
      return { status: 'cancelled', reason, error: errorOf('turn_cancelled') };
    case 'timeout':
      return { status: 'timed_out', reason, error: errorOf('turn_timed_out') };
    case 'drain':
      return { status: 'interrupted', reason, error: errorOf('draining') };
    case 'worker_lost':
      return { status: 'interrupted', reason, error: errorOf('worker_lost') };
  }
}

export function neverStarted(error: unknown): TurnOutcome {
  const nothing = { finalMessage: '', usage: noUsage, error: refusalError(error) };
  return isServiceError(error, 'queue_timed_out')
    ? { ...nothing, status: 'timed_out', reason: 'queue_timeout' }
    : { ...nothing, status: 'failed', reason: 'crash' };
}

export function errorOf(code: keyof typeof errorRegister): TurnError {
  return { code, message: errorRegister[code].title };
}

function refusalError(error: unknown): TurnError {
  return isServiceError(error) ? { code: error.code, message: error.message } : errorOf('turn_failed');
}
