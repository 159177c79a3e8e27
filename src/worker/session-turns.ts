// The turns of one session: one at a time and in order, each from its place in the queue to its recorded
// end. Does not know what the session does while none runs.

import { ServiceError } from '../core/errors.ts';
import type { TurnId } from '../core/ids.ts';
import type { TurnOutcome, TurnRecord } from '../core/turn.ts';
import { addUsage } from '../core/usage.ts';
import type { AgentEar } from './agent-ear.ts';
import type { Binding } from './binding.ts';
import type { HostParts } from './host-parts.ts';
import type { SessionRecorder } from './session-recorder.ts';
import type { SessionSlot, SlotRequest } from './session-slot.ts';
import type { SessionWriter } from './session-writer.ts';
import { runOnSlot } from './slot-turn.ts';
import { recordEnd } from './turn-end.ts';
import { neverStarted, stoppedBeforeStart, type StopReason } from './turn-outcomes.ts';
import { TurnPlaces } from './turn-places.ts';
import { type QueuedTurn, queuedTurn, TurnQueue } from './turn-queue.ts';

export type SessionTurnsOptions = {
  readonly parts: HostParts;
  readonly writer: SessionWriter;
  readonly recorder: SessionRecorder;
  readonly ear: AgentEar;
  readonly slot: SessionSlot;
  readonly bind: (request: Omit<SlotRequest, 'session'>) => Promise<Binding>;
  readonly modelOf: (turn: TurnRecord) => string;
  /** Something else uses the slot: turns wait for it. */
  readonly isHeld: () => boolean;
  readonly mayNotRecord: () => boolean;
  /** What the session is while it has no slot and nothing to do. */
  readonly restingStatus: () => 'hibernated' | 'failed';
  /** A turn begins: the session is not idle any more. */
  readonly onBegin: () => void;
  /** Called between two turns and after the last, when the end of one has been told. */
  readonly tendSlot: (hasMore: boolean) => Promise<void>;
  /** No turn runs or waits. */
  readonly onIdle: () => void;
};

export class SessionTurns {
  readonly #options: SessionTurnsOptions;
  readonly #queue = new TurnQueue();
  /** Taken and not yet recorded as ended, wherever they are. */
  readonly #unended = new Map<TurnId, QueuedTurn>();
  readonly #places: TurnPlaces;
  #active: QueuedTurn | null = null;
  /** The place of the active turn among all that wait for a slot; null once it has one. */
  #activePlace: number | null = null;

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

  /** One runs, or waits for a slot. */
  get hasActive(): boolean {
    return this.#active !== null && this.#unended.has(this.#active.id);
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
    if (isNext) void recorder.setStatus('queued');
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
    if (ended.status !== 'cancelled') throw new ServiceError('turn_ended', { status: ended.status });
  }

  /** Resolves when every turn has ended. */
  async stopAll(why: StopReason): Promise<void> {
    const entries = [...this.#unended.values()];
    for (const entry of entries) this.#requestStop(entry, why);
    await Promise.all(entries.map((entry) => entry.ended.promise));
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
    const outcome = await this.#outcomeOf(entry);
    await this.#end(entry, outcome);
    await this.#options.tendSlot(this.hasNext);
  }

  async #outcomeOf(entry: QueuedTurn): Promise<TurnOutcome> {
    const { modelOf, parts } = this.#options;
    const { ledger, logger } = parts;
    try {
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
    const { mayNotRecord, parts, writer } = this.#options;
    const wasRunning = entry.turn.startedAt !== null;
    if (!mayNotRecord()) {
      const settle = (ended: TurnRecord): Promise<void> => this.#settleSession(ended);
      entry.turn = await recordEnd({ parts, writer, turn: entry.turn, outcome, mayNotRecord, settle });
    }
    this.#unended.delete(entry.id);
    parts.ledger.count(wasRunning ? { running: -1 } : { waiting: -1 });
    entry.ended.resolve(entry.turn);
  }

  #settleSession(ended: TurnRecord): Promise<void> {
    const { modelOf, parts, recorder, restingStatus, slot } = this.#options;
    parts.metrics.countTurnUsage(modelOf(ended), ended.usage);
    // A turn cancelled in the queue says nothing about the one that runs.
    const isActive = this.#active === null || this.#active.id === ended.id;
    const status = this.hasNext ? 'queued' : slot.binding === null ? restingStatus() : 'idle';
    return recorder.change((session) => ({
      ...session,
      status: isActive ? status : session.status,
      usage: addUsage(session.usage, ended.usage),
      lastAccessedAt: parts.clock.now(),
    }));
  }
}
