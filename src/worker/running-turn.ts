// One turn on a bound slot, from turn/start to its one outcome: what Codex said, or why it could not
// say it. Decides nothing about queues, records or terminal events.

import type { AgentExit, AgentProcess } from '../codex/agent-process.ts';
import { within } from '../core/deadline.ts';
import type { Clock } from '../core/clock.ts';
import { isServiceError } from '../core/errors.ts';
import type { TurnOutcome } from '../core/turn.ts';
import type { Turn } from '../protocol/generated/v2/Turn.ts';
import type { TurnStartParams } from '../protocol/generated/v2/TurnStartParams.ts';
import type { HeardTurn } from './agent-ear.ts';
import { PausableTimer, type TurnWaiting } from './pausable-timer.ts';
import { SilenceWatch } from './silence-watch.ts';
import type { SlotEndReason } from './slot.ts';
import { codexOutcome, crashed, errorOf, refused, stopped, type StopReason } from './turn-outcomes.ts';

export type { StopReason } from './turn-outcomes.ts';

export type RunTurnOptions = {
  readonly agent: AgentProcess;
  readonly params: TurnStartParams;
  readonly heard: HeardTurn;
  readonly lastHeardMs: () => number;
  /** Codex's account of a turn whose end was not heard. */
  readonly onReconciled: (turn: Turn) => void;
  /** Resolves when somebody wants the turn to end. */
  readonly stopRequested: Promise<StopReason>;
  /** Resolves when the process holds more memory than it may. */
  readonly overgrown: Promise<void>;
  /** While a person is waited for, the turn does not run, and its silence means nothing. */
  readonly waiting: TurnWaiting;
  /** Of running. */
  readonly timeoutMs: number;
  /** Without a word from Codex for so long, it is asked how the turn stands. */
  readonly silenceMs: number;
  readonly clock: Clock;
};

export type TurnRun = {
  readonly outcome: TurnOutcome;
  /** Why the cage must end: commands of the turn may still be running in it, or Codex is gone. */
  readonly endCage: SlotEndReason | null;
  /** The process was gone before it took the turn: nothing was done, and another can do it. */
  readonly wasNeverTaken: boolean;
};

/** How long Codex gets to end a turn by itself, before its cage is ended. */
const interruptGraceMs = 5_000;

type End =
  | { readonly by: 'codex' }
  | { readonly by: 'exit'; readonly exit: AgentExit }
  | { readonly by: 'refusal'; readonly error: unknown }
  | { readonly by: 'silence' }
  | { readonly by: 'overgrown' }
  | { readonly by: 'stop'; readonly reason: StopReason };

export async function runTurn(options: RunTurnOptions): Promise<TurnRun> {
  const { agent, clock, heard, params, waiting } = options;
  const ourEnd = Promise.withResolvers<End>();
  const timeout = new PausableTimer(clock, options.timeoutMs, () => ourEnd.resolve({ by: 'stop', reason: 'timeout' }));
  let waitedUntilMs = 0;
  const endListening = waiting.onWaitingChange((isWaiting) => {
    waitedUntilMs = clock.monotonicMs();
    if (isWaiting) timeout.pause();
    else timeout.run();
  });
  if (!waiting.isWaiting) timeout.run();
  const started = agent.calls.turnStart(params);
  let codexTurnId: string | null = null;
  const startAnswered = started.then(
    (answer) => (codexTurnId = answer.turn.id),
    () => null,
  );
  const watch = new SilenceWatch({
    agent,
    clock,
    threadId: params.threadId,
    codexTurnId: () => codexTurnId ?? heard.translator.codexTurnId,
    silenceMs: options.silenceMs,
    lastHeardMs: () => (waiting.isWaiting ? clock.monotonicMs() : Math.max(waitedUntilMs, options.lastHeardMs())),
    onEnded: options.onReconciled,
    onUnresponsive: () => ourEnd.resolve({ by: 'silence' }),
  });
  const exited = agent.exited.then((exit): End => ({ by: 'exit', exit }));
  try {
    const end = await Promise.race<End>([
      ourEnd.promise,
      heard.codexEnded.then((): End => ({ by: 'codex' })),
      exited,
      options.stopRequested.then((reason): End => ({ by: 'stop', reason })),
      options.overgrown.then((): End => ({ by: 'overgrown' })),
      started.then(never, (error: unknown) =>
        // The call fails before the exit is known; how it exited says more.
        isServiceError(error, 'agent_crashed') ? exited : ({ by: 'refusal', error } satisfies End),
      ),
    ]);
    watch.stop();
    if (end.by === 'stop' && end.reason !== 'worker_lost')
      await interrupt(options, await within(clock, interruptGraceMs, startAnswered, null));
    const wasTaken = codexTurnId !== null || heard.translator.codexTurnId !== null;
    return { ...runOf(end, heard), wasNeverTaken: end.by === 'exit' && end.exit.reason === 'exited' && !wasTaken };
  } finally {
    watch.stop();
    endListening();
    timeout.stop();
  }
}

function never(): Promise<never> {
  return new Promise<never>(() => {});
}

/** Asks Codex to end the turn, so that its rollout says so; the cage ends right after, whatever it answers. */
async function interrupt({ agent, clock, heard, params }: RunTurnOptions, codexTurnId: string | null): Promise<void> {
  if (codexTurnId === null) return;
  const asked = agent.calls.turnInterrupt({ threadId: params.threadId, turnId: codexTurnId }, interruptGraceMs);
  const ended = Promise.all([asked, heard.codexEnded]);
  await Promise.race([within(clock, interruptGraceMs, ended, null), agent.exited]).catch(() => undefined);
}

function runOf(end: End, { translator }: HeardTurn): Omit<TurnRun, 'wasNeverTaken'> {
  const soFar = { finalMessage: translator.finalMessage, usage: translator.usage };
  switch (end.by) {
    case 'codex':
      return { outcome: { ...soFar, ...codexOutcome(translator) }, endCage: null };
    case 'exit':
      return {
        outcome: { ...soFar, ...crashed(end.exit.reason === 'garbled' ? 'agent_garbled' : 'agent_crashed') },
        endCage: 'crashed',
      };
    case 'refusal': {
      const outcome = { ...soFar, ...refused(end.error) };
      return { outcome, endCage: outcome.error?.code === 'agent_unresponsive' ? 'unresponsive' : 'crashed' };
    }
    case 'silence':
      return { outcome: { ...soFar, ...crashed('agent_unresponsive') }, endCage: 'unresponsive' };
    case 'overgrown':
      return {
        outcome: { ...soFar, status: 'failed', reason: 'budget', error: errorOf('agent_overgrown') },
        endCage: 'memory',
      };
    case 'stop':
      return { outcome: { ...soFar, ...stopped(end.reason) }, endCage: cageEnds[end.reason] };
  }
}

const cageEnds: Readonly<Record<StopReason, SlotEndReason>> = {
  user: 'cancelled',
  timeout: 'timed_out',
  drain: 'drain',
  storage: 'cancelled',
  worker_lost: 'lost',
};
