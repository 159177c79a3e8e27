// The turns of one session: one at a time and in order, each from its place in the queue to its recorded
// end. Does not know what the session does while none runs.

import { maxSteers } from '../api/limits.ts';
import { CodexRefused } from '../codex/connection-errors.ts';
import { isServiceError, ServiceError } from '../core/errors.ts';
import type { TurnId } from '../core/ids.ts';
import type { SessionRecord, SessionStatus, SnapshotRef } from '../core/session.ts';
import { isTerminal, type TurnOutcome, type TurnRecord } from '../core/turn.ts';
import { addUsage } from '../core/usage.ts';
import type { AgentEar } from './agent-ear.ts';
import type { ApprovalDesk } from './approval-desk.ts';
import type { Binding } from './binding.ts';
import type { HostParts } from './host-parts.ts';
import type { SessionNotices } from './session-notices.ts';
import type { SessionRecorder } from './session-recorder.ts';
import { buildTurnSteer } from '../protocol/policy.ts';
import { continuationOf } from './continuation.ts';
import { changeTurn } from './record-changes.ts';
import { answered } from './store-answer.ts';
import type { SessionSnapshots } from './session-snapshots.ts';
import type { SessionSlot, SlotRequest } from './session-slot.ts';
import type { SessionWriter } from './session-writer.ts';
import { runOnSlot } from './slot-turn.ts';
import { recordEnd } from './turn-end.ts';
import { hasCrashed, neverStarted, notKept, stoppedBeforeStart, type StopReason } from './turn-outcomes.ts';
import { TurnPlaces } from './turn-places.ts';
import { TurnTrace } from './turn-trace.ts';
import { type QueuedTurn, queuedTurn, TurnQueue } from './turn-queue.ts';

export type SessionTurnsOptions = {
  readonly parts: HostParts;
  readonly writer: SessionWriter;
  readonly recorder: SessionRecorder;
  readonly notices: SessionNotices;
  readonly ear: AgentEar;
  readonly slot: SessionSlot;
  readonly snapshots: SessionSnapshots;
  readonly bind: (request: Omit<SlotRequest, 'session'>) => Promise<Binding>;
  readonly modelOf: (turn: TurnRecord) => string;
  /** Something else uses the slot: turns wait for it. */
  readonly isHeld: () => boolean;
  readonly mayNotRecord: () => boolean;
  /** Why no turn may begin any more; null while one may. */
  readonly refusal: () => ServiceError | null;
  readonly approvals: ApprovalDesk;
  /** What the session is while it has no slot and nothing to do. */
  readonly restingStatus: () => SessionStatus;
  /** A turn begins: the session is not idle any more. */
  readonly onBegin: () => void;
  /** Called between two turns and after the last, when the end of one has been told. */
  readonly tendSlot: (hasMore: boolean) => Promise<void>;
  /** The store was away for too long for the end of a turn: the session is given up, for whoever takes it next. */
  readonly onGivenUp: () => void;
  /** No turn runs or waits. */
  readonly onIdle: () => void;
};

/** In a row; then the session takes no turn until somebody says that it may. */
const crashesToQuarantine = 2;

export class SessionTurns {
  readonly #options: SessionTurnsOptions;
  readonly #queue = new TurnQueue();
  /** Taken and not yet recorded as ended, wherever they are. */
  readonly #unended = new Map<TurnId, QueuedTurn>();
  readonly #places: TurnPlaces;
  #active: QueuedTurn | null = null;
  /** The place of the active turn among all that wait for a slot; null once it has one. */
  #activePlace: number | null = null;
  #keepingLate: Promise<void> = Promise.resolve();
  #leavesQueued = false;
  #hasLeft = false;

  constructor(options: SessionTurnsOptions) {
    const { clock, logger, records } = options.parts;
    this.#options = options;
    this.#places = new TurnPlaces({ clock, records, logger, writer: options.writer, waiting: () => this.#waiting() });
  }

  get isBusy(): boolean {
    return this.#active !== null || this.#unended.size > 0;
  }

  /** Whether one waits that nobody has begun with. */
  get hasNext(): boolean {
    return this.#queue.length > 0;
  }

  /** Turns go on waiting, in their records, for whoever takes the session next. */
  get hasLeft(): boolean {
    return this.#hasLeft;
  }

  /** One runs, or waits for a slot. */
  get hasActive(): boolean {
    return this.#active !== null && this.#unended.has(this.#active.id);
  }

  /** The turn that is in Codex's hands. */
  get running(): TurnRecord | null {
    return this.#active?.run === null ? null : (this.#active?.turn ?? null);
  }

  /** Ends it as soon as it can be ended; harmless for one that is not here. */
  requestStop(id: TurnId, reason: StopReason): void {
    const entry = this.#unended.get(id);
    if (entry !== undefined) this.#requestStop(entry, reason);
  }

  /** Ends the one that runs or is next to; those behind it go on waiting. */
  stopActive(reason: StopReason): void {
    if (this.#active !== null) this.#requestStop(this.#active, reason);
  }

  has(id: TurnId): boolean {
    return this.#unended.has(id);
  }

  /** Takes a turn whose record exists; the same turn again is the same one. */
  enqueue(turn: TurnRecord): void {
    if (this.has(turn.id)) return;
    const { isHeld, parts, recorder, slot } = this.#options;
    const ahead = this.#waiting();
    const isNext = this.#active === null && !isHeld() && this.#queue.length === 0;
    const needsSlot = isNext && slot.binding === null;
    const place = needsSlot ? parts.pool.placeOfNewcomer(turn.tenant) : ahead.firstPlace + ahead.entries.length;
    const entry = queuedTurn(turn, { place, atMs: parts.clock.monotonicMs() });
    this.#unended.set(entry.id, entry);
    this.#queue.push(entry);
    parts.ledger.count({ waiting: 1 });
    this.#places.entered(entry);
    // One that begins at once says `running` in a moment.
    if (needsSlot) void recorder.setStatus('queued');
    this.pump();
  }

  /** Resolves with the ended turn; null for a turn that is not here. */
  turnEnded(id: TurnId): Promise<TurnRecord> | null {
    return this.#unended.get(id)?.ended.promise ?? null;
  }

  async cancel(id: TurnId): Promise<void> {
    const entry = this.#unended.get(id);
    if (entry === undefined) throw new ServiceError('turn_ended');
    this.#requestStop(entry, 'user');
    const ended = await entry.ended.promise;
    // The session was lost on the way: whoever has it now ends the turn.
    if (!isTerminal(ended.status)) throw new ServiceError('worker_lost', { status: ended.status });
    if (ended.status !== 'cancelled') throw new ServiceError('turn_ended', { status: ended.status });
  }

  /** Gives text to the turn that runs, once for each `steerId`. Rejects with `turn_not_running`. */
  async steer(id: TurnId, steerId: string, text: string): Promise<void> {
    const entry = this.#unended.get(id);
    if (entry === undefined) throw new ServiceError('turn_not_running');
    const mine = entry.steering.then(() => this.#steer(entry, steerId, text));
    entry.steering = mine.catch(() => undefined);
    await mine;
  }

  async #steer(entry: QueuedTurn, steerId: string, text: string): Promise<void> {
    const { parts, recorder } = this.#options;
    const expectedTurnId = entry.run?.codexTurnId() ?? null;
    if (entry.run === null || expectedTurnId === null || entry.stopReason !== null)
      throw new ServiceError('turn_not_running');
    const { calls } = entry.run.binding.agent;
    let isGiven = false;
    // Written down first: what a crash leaves is that it may have been given, never that it was given unknown.
    const noted = await changeTurn(parts, entry.turn, (turn) => {
      isGiven = turn.steers.some((steer) => steer.id === steerId);
      if (isGiven) return null;
      if (turn.steers.length >= maxSteers)
        throw new ServiceError('turn_not_running', { steers: turn.steers.length, limit: maxSteers });
      return { ...turn, steers: [...turn.steers, { id: steerId, text, at: parts.clock.now() }] };
    });
    if (isGiven) return;
    if (noted === null) throw new ServiceError('turn_not_running');
    entry.turn = noted;
    try {
      await calls.turnSteer(buildTurnSteer({ sessionId: recorder.session.id, expectedTurnId, text }));
    } catch (error) {
      if (!(error instanceof CodexRefused)) throw error;
      const without = await changeTurn(parts, entry.turn, (turn) => ({
        ...turn,
        steers: turn.steers.filter((steer) => steer.id !== steerId),
      }));
      if (without !== null) entry.turn = without;
      throw new ServiceError('turn_not_running', {}, { cause: error });
    }
  }

  /** Accepted is accepted: what has not begun is begun by whoever comes next. Where nobody can, it goes on here. */
  leaveWaiting(): void {
    if (!this.#options.parts.outlivesUs) return;
    this.#leavesQueued = true;
    for (const entry of [...this.#unended.values()]) {
      if (entry.turn.startedAt === null) this.#requestStop(entry, 'drain');
    }
  }

  /** Resolves when every turn has ended. */
  async stopAll(why: StopReason): Promise<void> {
    const entries = [...this.#unended.values()];
    this.#leavesQueued = why === 'drain' && this.#options.parts.outlivesUs;
    for (const entry of entries) this.#requestStop(entry, why);
    await Promise.all(entries.map((entry) => entry.ended.promise));
    await this.#keepingLate;
    this.#places.stop();
  }

  /** The process that runs the active turn has grown too large. */
  overgrown(): void {
    this.#active?.overgrown.resolve();
  }

  pump(): void {
    const { isHeld, onBegin, onIdle } = this.#options;
    if (this.#active !== null || isHeld()) return;
    const next = this.#queue.shift();
    if (next === null) return;
    this.#active = next;
    onBegin();
    this.#places.changed();
    void this.#runNext(next).finally(() => {
      this.#active = null;
      onIdle();
      this.pump();
    });
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
    void this.#end(entry, stoppedBeforeStart(reason)).finally(this.#options.onIdle);
    this.#places.changed();
  }

  async #runNext(entry: QueuedTurn): Promise<void> {
    const { modelOf, parts } = this.#options;
    const { clock, tracing } = parts;
    const trace = new TurnTrace({ tracing, clock, turn: entry.turn, model: modelOf(entry.turn) });
    entry.trace = trace;
    const outcome = await this.#outcomeOf(entry);
    trace.ran();
    await this.#end(entry, outcome);
    trace.ended(entry.turn);
    await this.#options.tendSlot(this.hasNext);
  }

  async #outcomeOf(entry: QueuedTurn): Promise<TurnOutcome> {
    const { modelOf, parts, refusal } = this.#options;
    const { ledger, logger } = parts;
    try {
      const refused = refusal();
      if (refused !== null) throw refused;
      return await runOnSlot(
        {
          ...this.#options,
          bind: (turn) => this.#bindFor(turn),
          modelOf: ({ turn }) => modelOf(turn),
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

  async #bindFor({ abort, turn }: QueuedTurn): Promise<Binding> {
    const { bind, modelOf } = this.#options;
    const onPlace = (place: number): void => {
      this.#activePlace = place;
      this.#places.changed();
    };
    try {
      return await bind({ model: modelOf(turn), timeoutMs: turn.queueTimeoutMs, onPlace, signal: abort.signal });
    } finally {
      this.#activePlace = null;
    }
  }

  async #end(entry: QueuedTurn, outcome: TurnOutcome): Promise<void> {
    const { approvals, mayNotRecord, parts, recorder, snapshots, writer } = this.#options;
    const wasRunning = entry.turn.startedAt !== null;
    if (!wasRunning && this.#leavesQueued) return this.#leave(entry);
    const isAsync = recorder.session.policy.durability === 'async';
    if (!mayNotRecord()) {
      // Nobody can answer any more what it asked.
      if (wasRunning) await approvals.turnEnded(entry.id);
      const kept = wasRunning && !isAsync ? await this.#keep(entry, outcome) : { outcome, ref: null };
      const settle = (session: SessionRecord, ended: TurnRecord): SessionRecord =>
        this.#settled(session, ended, kept.ref);
      const turn = entry.turn;
      const goesOn = wasRunning && kept.outcome.reason === 'drain' && (await this.#handOver(turn));
      entry.turn = await recordEnd({
        ...{ parts, writer, recorder, notices: this.#options.notices, turn, mayNotRecord, settle },
        outcome: kept.outcome,
        goesOn,
        onGivenUp: this.#options.onGivenUp,
      });
      if (kept.ref !== null) await snapshots.taken(kept.ref);
      parts.metrics.countTurnUsage(this.#options.modelOf(entry.turn), entry.turn.usage);
      this.#tellQuarantine(entry.turn);
    }
    this.#unended.delete(entry.id);
    parts.ledger.count(wasRunning ? { running: -1 } : { waiting: -1 });
    entry.ended.resolve(entry.turn);
    if (wasRunning && isAsync && !mayNotRecord()) {
      this.#keepingLate = this.#keepLate(entry);
      await this.#keepingLate;
    }
  }

  /** Recorded before the end of the turn that it goes on with: no crash may lose that. */
  async #handOver(turn: TurnRecord): Promise<boolean> {
    const { parts, recorder } = this.#options;
    if (!parts.outlivesUs) return false;
    try {
      const next = await continuationOf(parts, turn, recorder.session.policy, 'drain');
      if (next === null) return false;
      await answered(parts.clock, parts.records.turns.create(next));
      this.#hasLeft = true;
      return true;
    } catch (error) {
      parts.logger.error(
        { event: 'turn_not_handed_over', turn_id: turn.id, err: error },
        'a turn that was to go on elsewhere could not be handed over',
      );
      return false;
    }
  }

  /** It goes on waiting, in its record. */
  #leave(entry: QueuedTurn): void {
    this.#hasLeft = true;
    this.#unended.delete(entry.id);
    this.#options.parts.ledger.count({ waiting: -1 });
    entry.ended.resolve(entry.turn);
  }

  /** The work of the turn, made durable; what cannot be is said in its outcome. */
  async #keep(entry: QueuedTurn, outcome: TurnOutcome): Promise<{ outcome: TurnOutcome; ref: SnapshotRef | null }> {
    const { mayNotRecord, slot, snapshots } = this.#options;
    if (slot.failure !== null) return { outcome: notKept(outcome, slot.failure), ref: null };
    try {
      return { outcome, ref: await snapshots.take(entry.id, 'ifUsed') };
    } catch (error) {
      if (mayNotRecord()) return { outcome, ref: null };
      this.#tellNotKept(entry, error, entry.id);
      // The slot's own files are room for what has to be recorded now.
      if (isServiceError(error, 'storage_full')) await slot.unbind('cancelled');
      return { outcome: notKept(outcome, error), ref: null };
    }
  }

  /** The session chose to hear of the end before this: a crash in between loses what the turn did. */
  async #keepLate(entry: QueuedTurn): Promise<void> {
    const { recorder, snapshots } = this.#options;
    try {
      const ref = await snapshots.take(entry.id, 'ifUsed');
      await recorder.write((session) => ({ ...session, snapshot: ref }));
      await snapshots.taken(ref);
    } catch (error) {
      // Its terminal event is the last one that names the turn.
      this.#tellNotKept(entry, error, null);
    }
  }

  #tellNotKept(entry: QueuedTurn, error: unknown, turnId: TurnId | null): void {
    const { parts, writer } = this.#options;
    parts.logger.error({ event: 'turn_not_kept', turn_id: entry.id, err: error }, 'the work of a turn was not kept');
    const details = isServiceError(error) ? error.code : 'internal';
    const message = `What the turn ${entry.id} did could not be made durable.`;
    writer.write({ type: 'warning', turnId, fields: { message, details }, raw: null });
  }

  #tellQuarantine(ended: TurnRecord): void {
    const { recorder, writer } = this.#options;
    if (recorder.session.status !== 'quarantined' || !hasCrashed(ended)) return;
    const fields = { crashes: recorder.session.crashes };
    writer.write({ type: 'session.quarantined', turnId: null, fields, raw: null });
  }

  #settled(session: SessionRecord, ended: TurnRecord, ref: SnapshotRef | null): SessionRecord {
    const { parts, restingStatus, slot } = this.#options;
    // A turn cancelled in the queue says nothing about the one that runs.
    const isActive = this.#active === null || this.#active.id === ended.id;
    const resting = slot.binding === null ? restingStatus() : 'idle';
    const crashes = hasCrashed(ended) ? session.crashes + 1 : ended.status === 'completed' ? 0 : session.crashes;
    const status = crashes >= crashesToQuarantine ? 'quarantined' : this.hasNext ? 'queued' : resting;
    return {
      ...session,
      status: isActive ? status : session.status,
      snapshot: ref ?? session.snapshot,
      crashes,
      usage: addUsage(session.usage, ended.usage),
      lastAccessedAt: parts.clock.now(),
    };
  }
}
