// One session on this worker: its turns and commands, its slot, its idleness. The only writer of the
// session's events while it holds the lease. Does not choose slots and does not keep leases.

import type { CommandRequest, CommandResult, SessionKey } from '../contracts/worker-link.ts';
import { within } from '../core/deadline.ts';
import { ServiceError } from '../core/errors.ts';
import type { TurnId } from '../core/ids.ts';
import type { SessionRecord } from '../core/session.ts';
import type { TurnRecord } from '../core/turn.ts';
import { AgentEar } from './agent-ear.ts';
import type { Binding } from './binding.ts';
import type { HostParts } from './host-parts.ts';
import { effectiveSandbox } from './effective-sandbox.ts';
import { recoverSession } from './recover-session.ts';
import { runSessionCommand } from './session-command.ts';
import { SessionRecorder } from './session-recorder.ts';
import { SessionSlot, type SlotRequest } from './session-slot.ts';
import { SessionTurns } from './session-turns.ts';
import type { SessionWriter } from './session-writer.ts';
import type { SlotEndReason } from './slot.ts';
import type { StopReason } from './turn-outcomes.ts';

/** After a stop was asked for: interrupting, ending the cage, recording. Then it stops without a record. */
const stopPatienceMs = 60_000;

export type HostOptions = {
  readonly parts: HostParts;
  readonly session: SessionRecord;
  readonly writer: SessionWriter;
  /** Nothing runs and no slot is bound: the host is not needed any more. */
  readonly onRestful: () => void;
  /** Another worker owns the session. */
  readonly onLost: () => void;
};

export class SessionHost {
  readonly #parts: HostParts;
  readonly #writer: SessionWriter;
  readonly #onRestful: () => void;
  readonly #turns: SessionTurns;
  readonly #slot: SessionSlot;
  readonly #recorder: SessionRecorder;
  #command: { readonly abort: AbortController; readonly done: Promise<unknown> } | null = null;
  /** Said in the log, and not taken back since. */
  #isHibernated: boolean;
  #idleSinceMs: number | null = null;
  #cancelIdleTimer: () => void = () => {};
  #stopping: Promise<void> | null = null;
  #mayNotRecord = false;

  constructor({ onLost, onRestful, parts, session, writer }: HostOptions) {
    const { clock, logger, metrics, records } = parts;
    const ear = new AgentEar({ sessionId: session.id, writer, clock, metrics });
    this.#parts = parts;
    this.#writer = writer;
    this.#onRestful = onRestful;
    this.#isHibernated = session.status === 'hibernated';
    this.#recorder = new SessionRecorder({ records, clock, logger, session, onStale: onLost });
    this.#slot = new SessionSlot({
      parts,
      listener: {
        onNotification: (notification, line) => ear.hear(notification, line),
        onOvergrown: () => (this.#turns.hasActive ? this.#turns.overgrown() : void this.hibernate('memory')),
        onDue: (reason) => void this.hibernate(reason),
      },
      onExit: () => this.#agentExited(),
    });
    this.#turns = new SessionTurns({
      parts,
      writer,
      recorder: this.#recorder,
      ear,
      slot: this.#slot,
      bind: (request) => this.#bind(request),
      modelOf: (turn) => this.#modelOf(turn),
      isHeld: () => this.#command !== null,
      mayNotRecord: () => this.#mayNotRecord,
      restingStatus: () => this.#restingStatus(),
      onBegin: () => this.#cancelIdleTimer(),
      tendSlot: (hasMore) => this.#tendSlot(hasMore),
      onIdle: () => this.#becameIdle(),
    });
  }

  get key(): SessionKey {
    const { tenant, id } = this.#recorder.session;
    return { tenant, sessionId: id };
  }

  get isBusy(): boolean {
    return this.#turns.isBusy || this.#command !== null;
  }

  /** null while no slot is bound. */
  get slotId(): string | null {
    return this.#slot.binding?.slot.id ?? null;
  }

  /** Since when it is bound with nothing to do; null while busy or unbound. */
  get idleSinceMs(): number | null {
    return this.#slot.binding === null || this.isBusy ? null : this.#idleSinceMs;
  }

  /** Why it can take no more turns; null while it can. */
  get failure(): ServiceError | null {
    return this.#slot.failure;
  }

  has(id: TurnId): boolean {
    return this.#turns.has(id);
  }

  /** Takes a turn whose record exists; the same turn again is the same one. */
  enqueue(turn: TurnRecord): void {
    this.#turns.enqueue(turn);
  }

  /** After a takeover, before anything else is asked: gives every open turn an owner or an end. */
  async recover(): Promise<void> {
    const { session } = this.#recorder;
    this.#isHibernated = true;
    await recoverSession(
      {
        parts: this.#parts,
        writer: this.#writer,
        mayNotRecord: () => this.#mayNotRecord,
        enqueue: (turn) => this.enqueue(turn),
      },
      session,
    );
    if (!this.isBusy) await this.#recorder.setStatus('hibernated');
  }

  /** Lets a host go that was made for nothing but a recovery. */
  restIfIdle(): void {
    this.#becameIdle();
  }

  /** Resolves with the ended turn; null for a turn that this host does not have. */
  turnEnded(id: TurnId): Promise<TurnRecord> | null {
    return this.#turns.turnEnded(id);
  }

  /** Resolves when the turn has ended as cancelled. */
  async cancel(id: TurnId): Promise<void> {
    await this.#turns.cancel(id);
  }

  async runCommand(request: CommandRequest): Promise<CommandResult> {
    if (this.isBusy || this.#stopping !== null) throw new ServiceError('session_busy');
    const abort = new AbortController();
    const done = this.#runCommand(request, abort.signal);
    this.#command = { abort, done };
    this.#parts.ledger.count({ running: 1 });
    try {
      return await done;
    } finally {
      this.#command = null;
      this.#parts.ledger.count({ running: -1 });
      this.#becameIdle();
      this.#turns.pump();
    }
  }

  async #runCommand(request: CommandRequest, signal: AbortSignal): Promise<CommandResult> {
    const { clock, isolation, limits } = this.#parts;
    const binding = await this.#bind({
      model: null,
      timeoutMs: limits.commandQueueTimeoutMs,
      onPlace: () => {},
      signal,
    });
    const { policy } = this.#recorder.session;
    const sandbox = effectiveSandbox(policy.sandbox, isolation);
    return await runSessionCommand(binding, sandbox, request, clock, (reason) => this.#unbind(reason));
  }

  /** Lets the slot go; the session's files rest until the next turn. Only when nothing runs. */
  async hibernate(reason: SlotEndReason = 'hibernated'): Promise<void> {
    if (this.isBusy || this.#slot.binding === null || this.#stopping !== null) return;
    await this.#rest(reason);
    this.#becameIdle();
  }

  async #rest(reason: SlotEndReason): Promise<void> {
    this.#isHibernated = true;
    this.#writer.write({ type: 'session.hibernated', turnId: null, fields: {}, raw: null });
    await this.#unbind(reason);
    // A turn that came meanwhile has said otherwise already.
    if (!this.#turns.hasNext && !this.#turns.hasActive) await this.#recorder.setStatus(this.#restingStatus());
  }

  /** Ends what runs and what waits, then lets the slot go. Called again, it is the same stop. */
  stop(why: StopReason, slotReason: SlotEndReason = 'drain'): Promise<void> {
    this.#stopping ??= this.#stop(why, slotReason);
    return this.#stopping;
  }

  /** The right to write is gone: end the work at once, record nothing. Also in the middle of a stop. */
  async abandon(): Promise<void> {
    this.#recordNothing();
    const stopped = this.stop('worker_lost', 'lost');
    await this.#unbind('lost');
    await stopped;
  }

  async #stop(why: StopReason, slotReason: SlotEndReason): Promise<void> {
    const command = this.#command;
    const turnsEnded = this.#turns.stopAll(why);
    command?.abort.abort();
    if (command !== null) await this.#unbind(slotReason);
    await this.#patiently(Promise.all([turnsEnded, command?.done.catch(() => undefined)]));
    await this.#unbind(slotReason);
    await this.#patiently(this.#recorder.settled().then(() => this.#writer.flushed()));
    this.#recordNothing();
  }

  async #patiently(work: Promise<unknown>): Promise<void> {
    if ((await within(this.#parts.clock, stopPatienceMs, work, 'late')) !== 'late') return;
    this.#parts.logger.error(
      { event: 'session_stop_late', session_id: this.key.sessionId },
      'a session was stopped before all was recorded',
    );
    this.#recordNothing();
  }

  #recordNothing(): void {
    this.#mayNotRecord = true;
    this.#writer.close();
    this.#recorder.close();
  }

  async #bind(request: Omit<SlotRequest, 'session'>): Promise<Binding> {
    const binding = await this.#slot.bind({ ...request, session: this.#recorder.session });
    if (!this.#isHibernated) return binding;
    this.#isHibernated = false;
    this.#writer.write({ type: 'session.woken', turnId: null, fields: {}, raw: null });
    // A turn says `running` itself; a command has no state of its own.
    if (!this.#turns.hasActive) void this.#recorder.setStatus('idle');
    return binding;
  }

  /** Between two turns: a slot that has done enough is replaced, one that others need more is given up. */
  async #tendSlot(hasMore: boolean): Promise<void> {
    const { pool } = this.#parts;
    const slot = this.#slot.binding?.slot;
    if (slot === undefined || this.#stopping !== null) return;
    const reason = pool.dueReason(slot) ?? (hasMore && pool.shouldYield(slot) ? 'preempted' : null);
    if (reason !== null) await this.#rest(reason);
  }

  #unbind(reason: SlotEndReason): Promise<void> {
    this.#cancelIdleTimer();
    return this.#slot.unbind(reason);
  }

  // A Codex that ends while nothing runs is no failure of a turn: the next one gets another slot.
  #agentExited(): void {
    if (!this.isBusy) void this.#unbind('crashed').then(() => this.#becameIdle());
  }

  #modelOf(turn: TurnRecord): string {
    return turn.model ?? this.#recorder.session.model ?? this.#parts.defaultModel;
  }

  #restingStatus(): 'hibernated' | 'failed' {
    return this.#slot.failure === null ? 'hibernated' : 'failed';
  }

  #becameIdle(): void {
    if (this.isBusy) return;
    if (this.#slot.binding === null) {
      this.#onRestful();
      return;
    }
    const { clock, limits, pool } = this.#parts;
    this.#idleSinceMs = clock.monotonicMs();
    this.#cancelIdleTimer();
    this.#cancelIdleTimer = clock.after(limits.hibernateAfterMs, () => void this.hibernate());
    pool.sessionIdles();
  }
}
