// One session on this worker: its turns one at a time, its binding, its idleness. The only writer of
// the session's events while it holds the lease. Does not choose slots and does not keep leases.

import type { CommandRequest, CommandResult, SessionKey } from '../contracts/worker-link.ts';
import { isServiceError, ServiceError } from '../core/errors.ts';
import type { TurnId } from '../core/ids.ts';
import type { SessionRecord, SessionStatus } from '../core/session.ts';
import { addUsage } from '../core/usage.ts';
import { startedTurn, type TurnOutcome, type TurnRecord } from '../core/turn.ts';
import { buildTurnStart } from '../protocol/policy.ts';
import { TurnTranslator } from '../protocol/translate.ts';
import type { Binding } from './binding.ts';
import { runSessionCommand } from './session-command.ts';
import { neverStarted, runTurn, type StopReason, stopped } from './running-turn.ts';
import { SessionSlot } from './session-slot.ts';
import type { SessionWriter } from './session-writer.ts';
import type { AgentListener, SlotEndReason } from './slot.ts';
import type { SlotWait } from './slot-pool.ts';
import { recordEnd } from './turn-end.ts';
import type { HostParts } from './host-parts.ts';
import { changeSession, changeTurn } from './record-changes.ts';

type QueuedTurn = {
  readonly id: TurnId;
  turn: TurnRecord;
  readonly ended: PromiseWithResolvers<TurnRecord>;
  readonly stop: PromiseWithResolvers<StopReason>;
  /** Ends the wait for a slot; set while it waits for one. */
  cancelWait: ((reason: ServiceError) => void) | null;
  stopReason: StopReason | null;
};

export class SessionHost {
  readonly #parts: HostParts;
  readonly #writer: SessionWriter;
  readonly #queue: QueuedTurn[] = [];
  #session: SessionRecord;
  #active: QueuedTurn | null = null;
  #commandRuns = false;
  readonly #slot: SessionSlot;
  #translator: TurnTranslator;
  #onCodexEnded: () => void = () => {};
  #idleSinceMs: number | null = null;
  #cancelIdleTimer: () => void = () => {};
  #recording: Promise<void> = Promise.resolve();
  #lost = false;

  readonly #onRestful: () => void;

  /** `onRestful` is called when nothing runs and no slot is bound: the host is not needed any more. */
  constructor(parts: HostParts, session: SessionRecord, writer: SessionWriter, onRestful: () => void) {
    this.#parts = parts;
    this.#onRestful = onRestful;
    this.#session = session;
    this.#writer = writer;
    this.#translator = new TurnTranslator({ sessionId: session.id, turnId: null });
    const onNotification: AgentListener['onNotification'] = (notification, line) => {
      for (const draft of this.#translator.feed(notification, line)) {
        // An item too large for an event is whole in its record, where GET …/items/{id} finds it.
        this.#writer.write(draft.wholeItem === undefined ? draft : { ...draft, raw: draft.wholeItem.raw });
      }
      if (this.#translator.outcome !== null) this.#onCodexEnded();
    };
    this.#slot = new SessionSlot({ parts, listener: { onNotification }, onExit: () => this.#agentExited() });
  }

  get key(): SessionKey {
    return { tenant: this.#session.tenant, sessionId: this.#session.id };
  }

  /** Turns that wait here, the running one not counted. */
  get waitingTurns(): number {
    return this.#queue.length + (this.#active !== null && this.#active.turn.status === 'queued' ? 1 : 0);
  }

  get isBusy(): boolean {
    return this.#active !== null || this.#queue.length > 0 || this.#commandRuns;
  }

  /** Since when it is bound with nothing to do; null while busy or unbound. */
  get idleSinceMs(): number | null {
    return !this.#slot.isBound || this.isBusy ? null : this.#idleSinceMs;
  }

  /** Takes a turn whose record exists; the same turn again is the same one. */
  enqueue(turn: TurnRecord): void {
    if (this.#find(turn.id) !== null) return;
    const entry: QueuedTurn = {
      id: turn.id,
      turn,
      ended: Promise.withResolvers(),
      stop: Promise.withResolvers(),
      cancelWait: null,
      stopReason: null,
    };
    this.#queue.push(entry);
    this.#writer.write({ type: 'turn.queued', turnId: turn.id, fields: { position: this.#queue.length }, raw: null });
    if (this.#active === null) void this.#setStatus('queued');
    this.#pump();
  }

  /** Resolves with the ended turn; null for a turn that this host does not have. */
  turnEnded(id: TurnId): Promise<TurnRecord> | null {
    return this.#find(id)?.ended.promise ?? null;
  }

  async cancel(id: TurnId): Promise<void> {
    const entry = this.#find(id);
    if (entry === null) throw new ServiceError('turn_ended');
    this.#requestStop(entry, 'user');
    const ended = await entry.ended.promise;
    if (ended.status !== 'cancelled') throw new ServiceError('turn_ended', { status: ended.status });
  }

  async runCommand(request: CommandRequest): Promise<CommandResult> {
    if (this.isBusy) throw new ServiceError('session_busy');
    this.#commandRuns = true;
    try {
      const binding = await this.#bind(this.#modelOf(null), this.#parts.limits.commandQueueTimeoutMs, () => {});
      return await runSessionCommand(binding, this.#session.policy, request, this.#parts.clock, (reason) => this.unbind(reason));
    } finally {
      this.#commandRuns = false;
      this.#becameIdle();
      this.#pump();
    }
  }

  /** Lets the slot go; the session's files rest until the next turn. Only when nothing runs. */
  async hibernate(): Promise<void> {
    if (this.isBusy || !this.#slot.isBound) return;
    this.#writer.write({ type: 'session.hibernated', turnId: null, fields: {}, raw: null });
    await this.unbind('hibernated');
    await this.#setStatus('hibernated');
    this.#becameIdle();
  }

  unbind(reason: SlotEndReason): Promise<void> {
    this.#cancelIdleTimer();
    return this.#slot.unbind(reason);
  }

  /** Ends what runs and what waits, then lets the slot go. */
  async stop(why: StopReason, slotReason: SlotEndReason = 'drain'): Promise<void> {
    const entries = this.#active === null ? [...this.#queue] : [this.#active, ...this.#queue];
    for (const entry of entries) this.#requestStop(entry, why);
    await Promise.all(entries.map((entry) => entry.ended.promise));
    await this.unbind(slotReason);
    await this.#recording;
    await this.#writer.flushed();
  }

  /** The right to write is gone: end the work at once, record nothing. */
  async abandon(): Promise<void> {
    this.#lost = true;
    await this.stop('worker_lost');
  }

  #find(id: TurnId): QueuedTurn | null {
    if (this.#active?.id === id) return this.#active;
    return this.#queue.find((entry) => entry.id === id) ?? null;
  }

  #requestStop(entry: QueuedTurn, reason: StopReason): void {
    entry.stopReason ??= reason;
    entry.stop.resolve(reason);
    entry.cancelWait?.(new ServiceError('turn_cancelled'));
    const place = this.#queue.indexOf(entry);
    if (place === -1) return;
    this.#queue.splice(place, 1);
    void this.#end(entry, { ...neverStarted(null), ...stopped(reason) });
  }

  #pump(): void {
    if (this.#active !== null || this.#commandRuns) return;
    const next = this.#queue.shift();
    if (next === undefined) return;
    this.#active = next;
    this.#cancelIdleTimer();
    void this.#runNext(next).finally(() => {
      this.#active = null;
      this.#becameIdle();
      this.#pump();
    });
  }

  async #runNext(entry: QueuedTurn): Promise<void> {
    const { logger } = this.#parts;
    let outcome: TurnOutcome;
    try {
      outcome = await this.#runOnSlot(entry);
    } catch (error) {
      if (entry.stopReason !== null) outcome = { ...neverStarted(null), ...stopped(entry.stopReason) };
      else {
        logger.error({ event: 'turn_not_started', turn_id: entry.id, err: error }, 'a turn could not be started');
        outcome = neverStarted(error);
      }
    }
    await this.#end(entry, outcome);
  }

  async #runOnSlot(entry: QueuedTurn): Promise<TurnOutcome> {
    const waitedMs = this.#parts.clock.now() - entry.turn.createdAt;
    const binding = await this.#grantedBinding(entry, Math.max(0, entry.turn.queueTimeoutMs - waitedMs));
    const translator = new TurnTranslator({ sessionId: this.#session.id, turnId: entry.id });
    this.#translator = translator;
    const codexEnded = new Promise<void>((resolve) => {
      this.#onCodexEnded = resolve;
    });
    const running = await changeTurn(this.#parts.records, entry.turn, (turn) => startedTurn(turn, this.#parts.clock.now()));
    if (running === null) throw new ServiceError('turn_ended');
    entry.turn = running;
    this.#parts.metrics.queueWaitSeconds.observe(((running.startedAt ?? 0) - running.createdAt) / 1000);
    this.#writer.write({ type: 'turn.started', turnId: entry.id, fields: { model: this.#modelOf(running), isolation: this.#parts.isolation }, raw: null });
    void this.#setStatus('running');
    const run = await runTurn({
      agent: binding.agent,
      params: buildTurnStart({
        sessionId: this.#session.id,
        prompt: running.prompt,
        model: this.#modelOf(running),
        workspacePath: binding.agent.paths.ws,
        sandbox: this.#session.policy.sandbox,
        network: false,
      }),
      translator,
      codexEnded,
      stopRequested: entry.stop.promise,
      timeoutMs: running.timeoutMs,
      clock: this.#parts.clock,
    });
    if (run.cageMustEnd) await this.unbind(run.outcome.reason === 'crash' ? 'crashed' : 'cancelled');
    else await this.#endGrantedTurn(binding, entry.id);
    return run.outcome;
  }

  // How the turn ended is known: a proxy that does not answer must not change it, only cost the binding.
  async #endGrantedTurn(binding: Binding, turnId: TurnId): Promise<void> {
    try {
      await this.#parts.grants.endTurn(binding.grantId, turnId);
    } catch (error) {
      this.#parts.logger.warn({ event: 'grant_turn_not_ended', turn_id: turnId, err: error }, 'the model proxy could not be told that a turn ended');
      await this.unbind('unresponsive');
    }
  }

  /** A binding whose credential is served for this turn; made again when the model proxy has forgotten it. */
  async #grantedBinding(entry: QueuedTurn, timeoutMs: number): Promise<Binding> {
    const binding = await this.#bindFor(entry, timeoutMs);
    try {
      await this.#parts.grants.beginTurn(binding.grantId, entry.id);
      return binding;
    } catch (error) {
      if (!isServiceError(error, 'grant_not_found')) throw error;
      await this.unbind('unresponsive');
    }
    const again = await this.#bindFor(entry, timeoutMs);
    await this.#parts.grants.beginTurn(again.grantId, entry.id);
    return again;
  }

  async #bindFor(entry: QueuedTurn, timeoutMs: number): Promise<Binding> {
    try {
      const binding = await this.#bind(this.#modelOf(entry.turn), timeoutMs, (cancel) => {
        entry.cancelWait = cancel;
      });
      if (entry.stopReason !== null) throw new ServiceError('turn_cancelled');
      return binding;
    } finally {
      entry.cancelWait = null;
    }
  }

  async #bind(model: string, timeoutMs: number, onWait: (cancel: SlotWait['cancel']) => void): Promise<Binding> {
    const wasBound = this.#slot.isBound;
    const binding = await this.#slot.bind(this.#session, model, timeoutMs, onWait);
    if (!wasBound && this.#session.status === 'hibernated') {
      this.#writer.write({ type: 'session.woken', turnId: null, fields: {}, raw: null });
    }
    return binding;
  }

  // A Codex that ends while nothing runs is no failure of a turn: the next one gets another slot.
  #agentExited(): void {
    if (!this.isBusy) void this.unbind('crashed').then(() => this.#becameIdle());
  }

  #modelOf(turn: TurnRecord | null): string {
    return turn?.model ?? this.#session.model ?? this.#parts.defaultModel;
  }

  async #end(entry: QueuedTurn, outcome: TurnOutcome): Promise<void> {
    if (!this.#lost) {
      const settle = (ended: TurnRecord): Promise<void> => this.#settleSession(ended);
      entry.turn = await recordEnd({ parts: this.#parts, writer: this.#writer, turn: entry.turn, outcome, settle });
    }
    entry.ended.resolve(entry.turn);
  }

  async #settleSession(ended: TurnRecord): Promise<void> {
    const status: SessionStatus = this.#queue.length > 0 ? 'queued' : this.#slot.isBound ? 'idle' : 'hibernated';
    await this.#changeSession((session) => ({
      ...session,
      status,
      usage: addUsage(session.usage, ended.usage),
      lastAccessedAt: this.#parts.clock.now(),
    }));
  }

  async #setStatus(status: SessionStatus): Promise<void> {
    await this.#changeSession((session) => ({ ...session, status, lastAccessedAt: this.#parts.clock.now() }));
  }

  // One after the other, in the order of asking: a late 'running' must not overwrite an 'idle'.
  #changeSession(change: (session: SessionRecord) => SessionRecord): Promise<void> {
    this.#recording = this.#recording.then(async () => {
      if (this.#lost) return;
      try {
        this.#session = (await changeSession(this.#parts.records, this.#session, change)) ?? this.#session;
      } catch (error) {
        this.#parts.logger.warn(
          { event: 'session_not_recorded', session_id: this.#session.id, err: error },
          'a change of a session could not be recorded',
        );
      }
    });
    return this.#recording;
  }

  #becameIdle(): void {
    if (this.isBusy) return;
    if (!this.#slot.isBound) {
      this.#onRestful();
      return;
    }
    this.#idleSinceMs = this.#parts.clock.monotonicMs();
    this.#cancelIdleTimer();
    this.#cancelIdleTimer = this.#parts.clock.after(this.#parts.limits.hibernateAfterMs, () => void this.hibernate());
  }
}
