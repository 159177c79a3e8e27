// Brings one turn onto a slot and through it: a binding whose credential is served, the record that
// says `running`, the run itself, and what becomes of the slot after it.

import { toIsolation } from '../api/isolation.ts';
import type { Clock } from '../core/clock.ts';
import { isServiceError, ServiceError } from '../core/errors.ts';
import { startedTurn, type TurnOutcome, type TurnRecord } from '../core/turn.ts';
import { buildTurnStart } from '../protocol/policy.ts';
import type { JsonValue } from '../protocol/generated/serde_json/JsonValue.ts';
import type { AgentEar } from './agent-ear.ts';
import type { ApprovalDesk } from './approval-desk.ts';
import type { Binding } from './binding.ts';
import type { HostParts } from './host-parts.ts';
import { effectiveSandbox } from './effective-sandbox.ts';
import { runTurn, type TurnRun } from './running-turn.ts';
import type { SessionRecorder } from './session-recorder.ts';
import type { SessionSnapshots } from './session-snapshots.ts';
import type { SessionSlot } from './session-slot.ts';
import type { SessionWriter } from './session-writer.ts';
import type { QueuedTurn } from './turn-queue.ts';

export type SlotTurnParts = {
  readonly parts: HostParts;
  readonly slot: SessionSlot;
  readonly ear: AgentEar;
  readonly approvals: ApprovalDesk;
  readonly writer: SessionWriter;
  readonly recorder: SessionRecorder;
  readonly snapshots: SessionSnapshots;
  /** A slot with the session in it, or the reason why there is none. */
  readonly bind: (entry: QueuedTurn) => Promise<Binding>;
  readonly modelOf: (entry: QueuedTurn) => string;
  readonly onStarted: () => void;
};

const recordsPatienceMs = 15_000;
const lookAgainMs = 250;

/** Rejects when the turn never started. */
export async function runOnSlot(deps: SlotTurnParts, entry: QueuedTurn): Promise<TurnOutcome> {
  // What was changed between two turns holds from this one on.
  await deps.recorder.refresh();
  const bound = await freeBinding(deps, entry);
  // Beside each other: the proxy serves nothing before Codex is told of the turn.
  const [granted, begun] = await Promise.allSettled([grant(deps, entry, bound), beginTurn(deps, entry)]);
  if (granted.status === 'rejected') throw granted.reason;
  let binding = granted.value;
  try {
    if (begun.status === 'rejected') throw begun.reason;
    const running = begun.value;
    let run = await runGranted(deps, entry, running, binding);
    if (run.wasNeverTaken) {
      // It had died while nothing was asked of it; Codex says turn/started before it asks the model anything.
      binding = await grant(deps, entry, await freeBinding(deps, entry));
      run = await runGranted(deps, entry, running, binding);
    }
    return run.outcome;
  } finally {
    entry.run = null;
    deps.ear.endTurn();
    // Unless the cage ended: the grant is revoked with it. Not in front of what is to be told now.
    if (deps.slot.binding === binding) {
      const isTold = new Promise<void>((resolve) => setImmediate(resolve));
      binding.turnEnding = isTold.then(() => endGrantedTurn(deps, binding, entry));
    }
  }
}

async function beginTurn(deps: SlotTurnParts, entry: QueuedTurn): Promise<TurnRecord> {
  const { modelOf, onStarted, parts, recorder, writer } = deps;
  if (entry.stopReason !== null) throw new ServiceError('turn_cancelled');
  deps.snapshots.turnBegins();
  const base = recorder.session.snapshot;
  const nowMs = parts.clock.now();
  const running = await patiently(parts.clock, entry, () =>
    recorder.begin({
      turn: entry.turn,
      changeTurn: (turn) => {
        // An earlier attempt whose answer was lost had done it.
        if (turn.status === 'running' && turn.startedAt === nowMs) return turn;
        const started = startedTurn(turn, nowMs);
        return started === null ? null : { ...started, base };
      },
      settleSession: (session) => ({
        ...session,
        status: 'running',
        start: session.start ?? base ?? 'empty',
        lastAccessedAt: nowMs,
      }),
    }),
  );
  if (running === null) throw new ServiceError('turn_ended');
  entry.turn = running;
  entry.trace?.began();
  onStarted();
  parts.metrics.queueWaitSeconds.observe(Math.max(0, (running.startedAt ?? 0) - running.createdAt) / 1000);
  const fields = { model: modelOf(entry), isolation: toIsolation(parts.isolation) };
  writer.write({ type: 'turn.started', turnId: entry.id, fields, raw: null });
  return running;
}

/** An accepted turn waits for records that are away for a moment: another process may hold their file. */
async function patiently<T>(clock: Clock, entry: QueuedTurn, work: () => Promise<T>): Promise<T> {
  const giveUpAtMs = clock.monotonicMs() + recordsPatienceMs;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const isPassing = isServiceError(error, 'store_unavailable') && entry.stopReason === null;
      if (!isPassing || clock.monotonicMs() >= giveUpAtMs) throw error;
      await new Promise<void>((resolve) => clock.after(lookAgainMs, resolve));
    }
  }
}

async function runGranted(
  deps: SlotTurnParts,
  entry: QueuedTurn,
  running: TurnRecord,
  binding: Binding,
): Promise<TurnRun> {
  const { approvals, ear, modelOf, parts, recorder, slot } = deps;
  const { clock, isolation, limits, logger } = parts;
  const heard = ear.beginTurn(running, entry.trace);
  entry.run = { binding, codexTurnId: () => heard.translator.codexTurnId };
  binding.slot.turns++;
  const { session } = recorder;
  const run = await runTurn({
    agent: binding.agent,
    params: buildTurnStart({
      sessionId: session.id,
      prompt: running.prompt,
      approvals: session.policy.approvals,
      model: modelOf(entry),
      effort: running.effort,
      outputSchema: running.outputSchema as JsonValue | null,
      workspacePath: binding.agent.paths.ws,
      sandbox: effectiveSandbox(session.policy.sandbox, isolation),
      network: false,
    }),
    heard,
    lastHeardMs: () => ear.lastHeardMs,
    onReconciled: (turn) => ear.catchUp(session.id, turn),
    stopRequested: entry.stop.promise,
    overgrown: entry.overgrown.promise,
    waiting: approvals,
    timeoutMs: running.timeoutMs,
    silenceMs: limits.silenceMs,
    clock,
  });
  if (run.outcome.reason === 'crash' || run.outcome.reason === 'budget') {
    const facts = {
      session_id: session.id,
      turn_id: entry.id,
      slot_id: binding.slot.id,
      code: run.outcome.error?.code,
    };
    logger.warn({ event: 'turn_crashed', ...facts }, 'a turn ended with its Codex process');
  }
  if (run.endCage !== null) await slot.unbind(run.endCage);
  return run;
}

/** A binding whose last turn the model proxy knows to have ended. */
async function freeBinding({ bind, slot }: SlotTurnParts, entry: QueuedTurn): Promise<Binding> {
  await slot.binding?.turnEnding;
  return await bind(entry);
}

/** The binding, its credential served for this turn; another one where the model proxy has forgotten it. */
async function grant({ bind, parts, slot }: SlotTurnParts, entry: QueuedTurn, binding: Binding): Promise<Binding> {
  try {
    await parts.grants.beginTurn(binding.grantId, entry.id, entry.trace?.traceparent);
    return binding;
  } catch (error) {
    if (!isServiceError(error, 'grant_not_found')) throw error;
    await slot.unbind('unresponsive');
  }
  const again = await bind(entry);
  await parts.grants.beginTurn(again.grantId, entry.id, entry.trace?.traceparent);
  return again;
}

// How the turn ended is known, and is told without waiting for this: a proxy that does not answer costs
// the binding, nothing else.
async function endGrantedTurn({ parts, slot }: SlotTurnParts, binding: Binding, entry: QueuedTurn): Promise<void> {
  try {
    await parts.grants.endTurn(binding.grantId, entry.id);
  } catch (error) {
    parts.logger.warn(
      { event: 'grant_turn_not_ended', turn_id: entry.id, err: error },
      'the model proxy could not be told that a turn ended',
    );
    await slot.unbind('unresponsive');
  }
}
