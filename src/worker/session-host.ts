// One session on this worker: its turns one at a time, its slot, its idleness. The only writer of the
// session's events while it holds the lease. Does not choose slots and does not keep leases.

import type { CommandRequest, CommandResult, SessionKey } from '../contracts/worker-link.ts';
import { ServiceError } from '../core/errors.ts';
import type { TurnId } from '../core/ids.ts';
import type { SessionRecord } from '../core/session.ts';
import type { TurnOutcome, TurnRecord } from '../core/turn.ts';
import { addUsage } from '../core/usage.ts';
import { AgentEar } from './agent-ear.ts';
import type { Binding } from './binding.ts';
import { within } from './deadline.ts';
import type { HostParts } from './host-parts.ts';
import { runSessionCommand } from './session-command.ts';
import { SessionRecorder } from './session-recorder.ts';
import { SessionSlot, type SlotRequest } from './session-slot.ts';
import type { SessionWriter } from './session-writer.ts';
import type { SlotEndReason } from './slot.ts';
import { runOnSlot } from './slot-turn.ts';
import { recordEnd } from './turn-end.ts';
import { neverStarted, stoppedBeforeStart, type StopReason } from './turn-outcomes.ts';
import { TurnPlaces } from './turn-places.ts';
import { type QueuedTurn, queuedTurn, TurnQueue } from './turn-queue.ts';

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
  readonly #queue = new TurnQueue();
  readonly #places: TurnPlaces;
  readonly #slot: SessionSlot;
  readonly #ear: AgentEar;
  readonly #recorder: SessionRecorder;
  #active: QueuedTurn | null = null;
  /** The place of the active turn among all that wait for a slot; null once it has one. */
  #activePlace: number | null = null;
  #command: { readonly abort: AbortController; readonly done: Promise<unknown> } | null = null;
  /** Said in the log, and not taken back since. */
  #isHibernated: boolean;
  #idleSinceMs: number | null = null;
  #cancelIdleTimer: () => void = () => {};
  #stopping: Promise<void> | null = null;
  #mayNotRecord = false;

  constructor({ onLost, onRestful, parts, session, writer }: HostOptions) {
    const { clock, logger, metrics, records } = parts;
    this.#parts = parts;
    this.#writer = writer;
    this.#onRestful = onRestful;
    this.#isHibernated = session.status === 'hibernated';
    this.#recorder = new SessionRecorder({ records, clock, logger, session, onStale: onLost });
    this.#ear = new AgentEar({ sessionId: session.id, writer, clock, metrics });
    this.#places = new TurnPlaces({ clock, records, logger, writer, waiting: () => this.#waiting() });
    this.#slot = new SessionSlot({
      parts,
      listener: {
        onNotification: (notification, line) => this.#ear.hear(notification, line),
        onOvergrown: () => (this.#active === null ? void this.hibernate('memory') : this.#active.overgrown.resolve()),
        onDue: (reason) => void this.hibernate(reason),
      },
      onExit: () => this.#agentExited(),
    });
  }

  get key(): SessionKey {
    const { tenant, id } = this.#recorder.session;
    return { tenant, sessionId: id };
  }

  get isBusy(): boolean {
    return this.#active !== null || this.#queue.length > 0 || this.#command !== null;
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
    return this.#find(id) !== null;
  }

  /** Takes a turn whose record exists; the same turn again is the same one. */
  enqueue(turn: TurnRecord): void {
    if (this.has(turn.id)) return;
    const { clock, ledger, pool } = this.#parts;
    const ahead = this.#waiting();
    const isNext = this.#active === null && this.#command === null && this.#queue.length === 0;
    const needsSlot = isNext && this.#slot.binding === null;
    const place = needsSlot ? pool.placeOfNewcomer(turn.tenant) : ahead.firstPlace + ahead.entries.length;
    const entry = queuedTurn(turn, { place, atMs: clock.monotonicMs() });
    this.#queue.push(entry);
    ledger.count({ waiting: 1 });
    this.#places.entered(entry);
    if (isNext) void this.#recorder.setStatus('queued');
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
      this.#pump();
    }
  }

  async #runCommand(request: CommandRequest, signal: AbortSignal): Promise<CommandResult> {
    const { clock, limits } = this.#parts;
    const model = this.#modelOf(null);
    const binding = await this.#bind({ model, timeoutMs: limits.commandQueueTimeoutMs, onPlace: () => {}, signal });
    const { policy } = this.#recorder.session;
    return await runSessionCommand(binding, policy, request, clock, (reason) => this.#unbind(reason));
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
    if (this.#queue.length === 0 && !(this.#active !== null && this.#active.turn.endedAt === null)) {
      await this.#recorder.setStatus(this.#restingStatus());
    }
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
    const entries = [...(this.#active === null ? [] : [this.#active]), ...this.#queue.entries()];
    for (const entry of entries) this.#requestStop(entry, why);
    const command = this.#command;
    command?.abort.abort();
    if (command !== null) await this.#unbind(slotReason);
    await this.#patiently(
      Promise.all([...entries.map((entry) => entry.ended.promise), command?.done.catch(() => undefined)]),
    );
    await this.#unbind(slotReason);
    await this.#patiently(this.#recorder.settled().then(() => this.#writer.flushed()));
    this.#places.stop();
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

  #find(id: TurnId): QueuedTurn | null {
    return this.#active?.id === id ? this.#active : this.#queue.find(id);
  }

  /** The turns that wait, in order, and where the first of them stands. */
  #waiting(): { entries: readonly QueuedTurn[]; firstPlace: number } {
    const queued = this.#queue.entries();
    if (this.#active === null || this.#activePlace === null) return { entries: queued, firstPlace: 1 };
    return { entries: [this.#active, ...queued], firstPlace: this.#activePlace };
  }

  #requestStop(entry: QueuedTurn, reason: StopReason): void {
    entry.stopReason ??= reason;
    entry.stop.resolve(reason);
    entry.abort.abort();
    if (!this.#queue.remove(entry)) return;
    void this.#end(entry, stoppedBeforeStart(reason)).finally(() => this.#becameIdle());
    this.#places.changed();
  }

  #pump(): void {
    if (this.#active !== null || this.#command !== null) return;
    const next = this.#queue.shift();
    if (next === null) return;
    this.#active = next;
    this.#cancelIdleTimer();
    this.#places.changed();
    void this.#runNext(next).finally(() => {
      this.#active = null;
      this.#becameIdle();
      this.#pump();
    });
  }

  async #runNext(entry: QueuedTurn): Promise<void> {
    const outcome = await this.#outcomeOf(entry);
    await this.#end(entry, outcome);
    await this.#tendSlot();
  }

  async #outcomeOf(entry: QueuedTurn): Promise<TurnOutcome> {
    const { ledger, logger } = this.#parts;
    try {
      return await runOnSlot(
        {
          parts: this.#parts,
          slot: this.#slot,
          ear: this.#ear,
          writer: this.#writer,
          recorder: this.#recorder,
          bind: (turn) => this.#bindFor(turn),
          modelOf: ({ turn }) => this.#modelOf(turn),
          onStarted: () => ledger.count({ waiting: -1, running: 1 }),
        },
        entry,
      );
    } catch (error) {
      if (entry.stopReason !== null) return stoppedBeforeStart(entry.stopReason);
      logger.error({ event: 'turn_not_started', turn_id: entry.id, err: error }, 'a turn could not be started');
      return neverStarted(error);
    }
  }

  async #bindFor(entry: QueuedTurn): Promise<Binding> {
    const onPlace = (place: number): void => {
      this.#activePlace = place;
      this.#places.changed();
    };
    const { id, turn, abort } = entry;
    try {
      return await this.#bind({
        model: this.#modelOf(turn),
        timeoutMs: turn.queueTimeoutMs,
        onPlace,
        signal: abort.signal,
      });
    } finally {
      if (this.#active?.id === id) this.#activePlace = null;
    }
  }

  async #bind(request: Omit<SlotRequest, 'session'>): Promise<Binding> {
    const binding = await this.#slot.bind({ ...request, session: this.#recorder.session });
    if (this.#isHibernated) this.#writer.write({ type: 'session.woken', turnId: null, fields: {}, raw: null });
    this.#isHibernated = false;
    return binding;
  }

  /** Between two turns: a slot that has done enough is replaced, one that others need more is given up. */
  async #tendSlot(): Promise<void> {
    const { pool } = this.#parts;
    const slot = this.#slot.binding?.slot;
    if (slot === undefined || this.#stopping !== null) return;
    const hasMore = this.#queue.length > 0;
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

  #modelOf(turn: TurnRecord | null): string {
    return turn?.model ?? this.#recorder.session.model ?? this.#parts.defaultModel;
  }

  async #end(entry: QueuedTurn, outcome: TurnOutcome): Promise<void> {
    const wasRunning = entry.turn.startedAt !== null;
    if (!this.#mayNotRecord) {
      entry.turn = await recordEnd({
        parts: this.#parts,
        writer: this.#writer,
        turn: entry.turn,
        outcome,
        mayNotRecord: () => this.#mayNotRecord,
        settle: (ended) => this.#settleSession(ended),
      });
    }
    this.#parts.ledger.count(wasRunning ? { running: -1 } : { waiting: -1 });
    entry.ended.resolve(entry.turn);
  }

  #settleSession(ended: TurnRecord): Promise<void> {
    const { clock } = this.#parts;
    // A turn cancelled in the queue says nothing about the one that runs.
    const isActive = this.#active === null || this.#active.id === ended.id;
    const status = this.#queue.length > 0 ? 'queued' : this.#slot.binding === null ? this.#restingStatus() : 'idle';
    return this.#recorder.change((session) => ({
      ...session,
      status: isActive ? status : session.status,
      usage: addUsage(session.usage, ended.usage),
      lastAccessedAt: clock.now(),
    }));
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
