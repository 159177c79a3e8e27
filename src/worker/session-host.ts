// One session on this worker: its turns and commands, its slot, its idleness. The only writer of the
// session's events while it holds the lease. Does not choose slots and does not keep leases.

import type { CommandRequest, CommandResult, SessionKey } from '../contracts/worker-link.ts';
import { within } from '../core/deadline.ts';
import { ServiceError } from '../core/errors.ts';
import type { TurnId } from '../core/ids.ts';
import type { SessionRecord, SessionStatus } from '../core/session.ts';
import type { TurnRecord } from '../core/turn.ts';
import { AgentEar } from './agent-ear.ts';
import { ApprovalDesk } from './approval-desk.ts';
import type { Binding } from './binding.ts';
import type { HostParts } from './host-parts.ts';
import { effectiveSandbox } from './effective-sandbox.ts';
import { killedWarning } from './killed-command.ts';
import { adoptOpenTurns, recoverSession, type RecoveryParts } from './recover-session.ts';
import { runSessionCommand } from './session-command.ts';
import { SessionNotices } from './session-notices.ts';
import { SessionRecorder } from './session-recorder.ts';
import { SessionSnapshots } from './session-snapshots.ts';
import { SessionSlot, type SlotRequest } from './session-slot.ts';
import { SessionTurns } from './session-turns.ts';
import { isBarred, refusalOf } from './session-usability.ts';
import type { SessionWriter } from './session-writer.ts';
import type { SlotEndReason } from './slot.ts';
import type { StopReason } from './turn-outcomes.ts';

/** After a stop was asked for: interrupting, ending the cage, recording. Then it stops without a record. */
const stopPatienceMs = 60_000;
/** For what is still to be told outside; what is not by then is told by whoever takes the session next. */
const noticePatienceMs = 5_000;
/** A session that is older has been told of. */
const createdNoticeMs = 3_600_000;

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
  readonly #ear: AgentEar;
  readonly #slot: SessionSlot;
  readonly #recorder: SessionRecorder;
  readonly #notices: SessionNotices;
  readonly #snapshots: SessionSnapshots;
  readonly #approvals: ApprovalDesk;
  /** What uses the slot and is no turn: a command, a change of files. */
  #work: { readonly abort: AbortController; readonly done: Promise<unknown> } | null = null;
  /** Said in the log, and not taken back since. */
  #isDraining = false;
  #isHibernated: boolean;
  #idleSinceMs: number | null = null;
  #cancelIdleTimer: () => void = () => {};
  #stopping: Promise<void> | null = null;
  readonly #recordsNothing = Promise.withResolvers<void>();
  #mayNotRecord = false;

  constructor({ onLost, onRestful, parts, session, writer }: HostOptions) {
    const { clock, logger, metrics, records } = parts;
    const ear = new AgentEar({ sessionId: session.id, writer, clock, metrics });
    this.#ear = ear;
    this.#parts = parts;
    this.#writer = writer;
    this.#onRestful = onRestful;
    // queued: let go with turns that wait.
    this.#isHibernated = session.status === 'hibernated' || session.status === 'queued';
    this.#recorder = new SessionRecorder({
      ...{ records, clock, logger, session },
      mayLogBeLost: parts.mayLogBeLost,
      onStale: onLost,
    });
    this.#notices = new SessionNotices({
      outbox: parts.outbox,
      session: () => this.#recorder.session,
      lastSeq: () => writer.lastSeq,
      onTold: (turnId) => this.#recorder.told(turnId),
      clock,
      logger,
    });
    this.#snapshots = new SessionSnapshots({
      parts,
      recorder: this.#recorder,
      writer,
      binding: () => this.#slot.binding,
    });
    this.#approvals = new ApprovalDesk({
      records,
      writer,
      notices: this.#notices,
      clock,
      logger,
      session: () => this.#recorder.session,
      onWaiting: (isWaiting) => void this.#recorder.setStatus(isWaiting ? 'requires_action' : 'running'),
      onCancel: (turnId) => this.#turns.requestStop(turnId, 'user'),
    });
    this.#slot = new SessionSlot({
      parts,
      makeReady: () => this.#snapshots.makeReady(),
      restMark: () => this.#snapshots.restMark(),
      listener: {
        onNotification: (notification, line) => {
          this.#approvals.hear(notification);
          ear.hear(notification, line);
        },
        onServerRequest: (request, signal) => this.#approvals.ask(request, signal, this.#turns.running),
        onOvergrown: () => (this.#turns.hasActive ? this.#turns.overgrown() : void this.hibernate('memory')),
        onCommandKilled: (killed) => writer.write(killedWarning(killed, this.#turns.running?.id ?? null)),
        onDue: (reason) => void this.hibernate(reason),
      },
      onExit: () => this.#agentExited(),
    });
    this.#turns = new SessionTurns({
      parts,
      writer,
      recorder: this.#recorder,
      notices: this.#notices,
      ear,
      slot: this.#slot,
      snapshots: this.#snapshots,
      refusal: () => this.failure,
      onGivenUp: onLost,
      approvals: this.#approvals,
      bind: (request) => this.#bind(request),
      modelOf: (turn) => this.#modelOf(turn),
      isHeld: () => this.#work !== null,
      mayNotRecord: () => this.#mayNotRecord,
      restingStatus: () => this.#restingStatus(),
      onBegin: () => this.#cancelIdleTimer(),
      tendSlot: (hasMore) => this.#tendSlot(hasMore),
      onIdle: () => this.#becameIdle(),
    });
    // Again after a crash before it was said; said twice it is the same.
    const isYoung = clock.now() - session.createdAt < createdNoticeMs;
    if (isYoung || writer.lastSeq === 1) this.#notices.sessionCreated();
  }

  get key(): SessionKey {
    const { tenant, id } = this.#recorder.session;
    return { tenant, sessionId: id };
  }

  get isBusy(): boolean {
    return this.#turns.isBusy || this.#work !== null;
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
    return this.#slot.failure ?? this.#writer.failure ?? refusalOf(this.#recorder.session, this.#parts.limits);
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
    this.#isHibernated = true;
    if (!this.#isBarred) void this.#recorder.setStatus('recovering');
    await recoverSession(this.#recovery());
    if (!this.isBusy && !this.#isBarred) await this.#recorder.setStatus(this.#restingStatus());
  }

  /** Turns that a lost process accepted, and that nobody was told to run. */
  async adoptOpenTurns(): Promise<void> {
    await adoptOpenTurns(this.#recovery());
  }

  #recovery(): RecoveryParts {
    return {
      parts: this.#parts,
      writer: this.#writer,
      recorder: this.#recorder,
      notices: this.#notices,
      snapshots: this.#snapshots,
      approvals: this.#approvals,
      mayNotRecord: () => this.#mayNotRecord,
      enqueue: (turn) => this.enqueue(turn),
      isInHand: (turnId) => this.has(turnId),
    };
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

  /** Whoever waits for this approval looks at its record. */
  approvalSettled(approvalId: string): void {
    this.#approvals.settled(approvalId);
  }

  /**
   * Begins nothing any more and is let go once nothing runs. What waits goes on waiting, for another worker;
   * a turn that waits for a person ends: that may take a day.
   */
  beginDrain(): void {
    this.#isDraining = true;
    this.#turns.leaveWaiting();
    const turn = this.#turns.running;
    if (turn !== null && this.#approvals.isWaiting) this.#turns.requestStop(turn.id, 'drain');
    this.#becameIdle();
  }

  /** Ends the turn that runs as soon as an item of it is whole, and at the latest after so long. */
  async handOver(withinMs: number): Promise<void> {
    const turn = this.#turns.running;
    if (turn === null) return;
    await within(this.#parts.clock, withinMs, Promise.race([this.#ear.nextBoundary(), this.turnEnded(turn.id)]), null);
    this.#turns.requestStop(turn.id, 'drain');
  }

  /** Gives text to the turn that runs. */
  async steer(id: TurnId, steerId: string, text: string): Promise<void> {
    await this.#turns.steer(id, steerId, text);
  }

  async runCommand(request: CommandRequest): Promise<CommandResult> {
    return await this.#whileHeld(async (signal) => {
      const binding = await this.#bindForWork(signal, null);
      const { policy } = this.#recorder.session;
      const sandbox = effectiveSandbox(policy.sandbox, this.#parts.isolation);
      this.#snapshots.touched();
      binding.toolsUsed();
      const unbind = (reason: SlotEndReason): Promise<void> => this.#unbind(reason);
      const result = await runSessionCommand(binding, sandbox, request, this.#parts.clock, unbind);
      await this.#keep();
      return result;
    });
  }

  /** Changes files of the workspace while nothing runs in it; durable when it resolves. */
  async changeFiles<T>(change: (ws: string) => Promise<T>): Promise<T> {
    return await this.#whileHeld(async (signal) => {
      const binding = await this.#bindForWork(signal, null);
      this.#snapshots.touched();
      const result = await change(binding.places.ws);
      await this.#keep();
      return result;
    });
  }

  /** Sees that the log has what was written, also while nothing is. */
  confirmLog(): void {
    void this.#writer.confirmed();
  }

  /** Where the workspace is while a slot has it. */
  get liveWorkspace(): string | null {
    return this.#slot.binding?.places.ws ?? null;
  }

  /** Binds a slot and loads the session's thread; lets a session go on that was quarantined or had failed. */
  async wake(): Promise<void> {
    if (this.#isBarred) {
      this.#slot.forgetFailure();
      await this.#recorder.write((session) => ({ ...session, status: 'hibernated', crashes: 0 }));
    }
    if (this.failure !== null) throw this.failure;
    if (this.isBusy) return;
    const { model } = this.#recorder.session;
    try {
      await this.#whileHeld((signal) => this.#bindForWork(signal, model ?? this.#parts.defaultModel));
      await this.#recorder.setStatus('idle');
    } catch (error) {
      if (this.#slot.failure !== null) await this.#recorder.setStatus('failed');
      throw error;
    }
  }

  async #whileHeld<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.isBusy || this.#stopping !== null) throw new ServiceError('session_busy');
    const abort = new AbortController();
    const done = work(abort.signal);
    this.#work = { abort, done };
    this.#cancelIdleTimer();
    this.#parts.ledger.count({ running: 1 });
    try {
      return await done;
    } finally {
      this.#work = null;
      this.#parts.ledger.count({ running: -1 });
      this.#becameIdle();
      this.#turns.pump();
    }
  }

  #bindForWork(signal: AbortSignal, model: string | null): Promise<Binding> {
    const timeoutMs = this.#parts.limits.commandQueueTimeoutMs;
    return this.#bind({ model, timeoutMs, onPlace: () => {}, signal });
  }

  /** What was done beside the turns is durable before it is acknowledged. */
  async #keep(): Promise<void> {
    const ref = await this.#snapshots.take(null, 'thorough');
    if (ref.object !== this.#recorder.session.snapshot?.object)
      await this.#recorder.write((session) => ({ ...session, snapshot: ref, lastAccessedAt: this.#parts.clock.now() }));
    if (this.#recorder.session.snapshot?.object !== ref.object) throw new ServiceError('stale_epoch');
    await this.#snapshots.taken(ref);
  }

  /** Room for others: ends what runs, lets the slot go. What waits goes on waiting. */
  giveWay(why: StopReason): void {
    this.#turns.stopActive(why);
    void this.hibernate('preempted');
  }

  /** As `hibernate`, asked for by somebody who is to hear of it. */
  async hibernateNow(): Promise<void> {
    if (this.isBusy) throw new ServiceError('session_busy');
    await this.hibernate();
  }

  /** Lets the slot go; the session's files rest until the next turn. Only when nothing runs. */
  async hibernate(reason: SlotEndReason = 'hibernated'): Promise<void> {
    const canRest = (): boolean => !this.isBusy && this.#slot.binding !== null && this.#stopping === null;
    if (!canRest()) return;
    if (this.#snapshots.isBehind) await this.#keepBeforeRest();
    if (!canRest()) return;
    await this.#rest(reason);
    this.#becameIdle();
  }

  /** What a failed attempt left, or a command that still runs goes on with. */
  async #keepBeforeRest(): Promise<void> {
    await this.#whileHeld(() => this.#keep()).catch((error: unknown) =>
      this.#parts.logger.warn(
        { event: 'session_rests_uncommitted', session_id: this.key.sessionId, err: error },
        'a session rests with files that no snapshot holds',
      ),
    );
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
    const work = this.#work;
    const turnsEnded = this.#turns.stopAll(why);
    work?.abort.abort();
    if (work !== null) await this.#unbind(slotReason);
    await this.#patiently(Promise.all([turnsEnded, work?.done.catch(() => undefined)]));
    await this.#unbind(slotReason);
    if (slotReason === 'erased') this.#writer.write({ type: 'session.deleted', turnId: null, fields: {}, raw: null });
    await this.#patiently(this.#letGo(slotReason === 'erased'));
    this.#recordNothing();
  }

  /** The record says that nobody holds the session: whoever takes it next has nothing to recover. */
  async #letGo(isErased: boolean): Promise<void> {
    await this.#recorder.settled();
    await this.#writer.flushed();
    await within(this.#parts.clock, noticePatienceMs, this.#notices.settled(), undefined);
    if (!isErased && !this.#mayNotRecord) await this.#snapshots.sealRest();
    await this.#snapshots.clear();
    await this.#parts.snapshots.forget(this.key, this.#parts.files.restingPlace(this.key).index);
    if (this.#mayNotRecord) return;
    await this.#recorder.change((session) => ({
      ...session,
      worker: null,
      status: this.#statusWithoutUs(session),
    }));
  }

  /** `queued` tells whoever takes it next that older turns come before the one that it was taken for. */
  #statusWithoutUs({ status }: SessionRecord): SessionStatus {
    if (this.#isBarred) return status;
    if (this.#turns.hasLeft) return 'queued';
    return status === 'idle' || status === 'queued' ? 'hibernated' : status;
  }

  async #patiently(work: Promise<unknown>): Promise<void> {
    const done = Promise.race([work, this.#recordsNothing.promise]);
    if ((await within(this.#parts.clock, stopPatienceMs, done, 'late')) !== 'late') return;
    this.#parts.logger.error(
      { event: 'session_stop_late', session_id: this.key.sessionId },
      'a session was stopped before all was recorded',
    );
    this.#recordNothing();
  }

  #recordNothing(): void {
    this.#mayNotRecord = true;
    this.#recordsNothing.resolve();
    this.#approvals.close();
    this.#notices.close();
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

  #restingStatus(): SessionStatus {
    return this.#slot.failure === null ? 'hibernated' : 'failed';
  }

  get #isBarred(): boolean {
    return isBarred(this.#recorder.session);
  }

  #becameIdle(): void {
    if (this.isBusy) return;
    if (this.#slot.binding === null || this.#isDraining) {
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
