// A worker: hosts sessions on slots and does what a gateway asks of it. Owns who is hosted and who is
// let go; what happens within a session is its host's, what happens within a process the slot's.

import type { EventLog } from '../contracts/event-log.ts';
import type { Lease, SessionDirectory } from '../contracts/session-directory.ts';
import type { CommandRequest, CommandResult, SessionKey, TurnKey, WorkerLink, WorkerStatus } from '../contracts/worker-link.ts';
import { ServiceError } from '../core/errors.ts';
import type { WorkerId } from '../core/ids.ts';
import type { SessionRecord } from '../core/session.ts';
import { isTerminal, type TurnRecord } from '../core/turn.ts';
import { seedRollout } from '../protocol/rollout.ts';
import type { HostParts } from './host-parts.ts';
import type { LeaseKeeper } from './lease-keeper.ts';
import { SessionHost } from './session-host.ts';
import { SessionWriter } from './session-writer.ts';

export type WorkerOptions = {
  readonly id: WorkerId;
  readonly parts: Omit<HostParts, 'acquireSlot'>;
  readonly log: EventLog;
  readonly directory: SessionDirectory;
  readonly leases: LeaseKeeper;
  readonly codexVersion: string;
  readonly slotLimit: number;
  /** The most turns that may wait on this worker, over all sessions. */
  readonly queueLimit: number;
  /** Most events that may wait for a log that does not answer, per session. */
  readonly maxPendingEvents: number;
};

type Hosted = { readonly host: SessionHost; readonly lease: Lease };

export class Worker implements WorkerLink {
  readonly #options: WorkerOptions;
  readonly #hosted = new Map<string, Promise<Hosted>>();
  readonly #ready = new Map<string, Hosted>();
  /** Sessions being let go: whoever takes one again waits until its last event is written. */
  readonly #closing = new Map<string, Promise<void>>();
  readonly #startedAt: number;
  #state: WorkerStatus['state'] = 'starting';
  #stopping: Promise<void> | null = null;
  #isHurried = false;

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.#startedAt = options.parts.clock.now();
  }

  async start(): Promise<void> {
    await this.#options.parts.pool.start();
    this.#options.leases.start();
    this.#state = 'ready';
  }

  async startTurn(key: TurnKey): Promise<void> {
    this.#refuseWhenStopping();
    if (this.#waitingTurns() >= this.#options.queueLimit) {
      throw new ServiceError('queue_full', { waiting: this.#waitingTurns(), limit: this.#options.queueLimit });
    }
    const turn = await this.#options.parts.records.turns.get(key.tenant, key.turnId);
    if (turn === null || turn.sessionId !== key.sessionId) throw new ServiceError('turn_not_found');
    if (isTerminal(turn.status)) return;
    const host = await this.#hostToUse(key);
    host.enqueue(turn);
  }

  async cancelTurn(key: TurnKey): Promise<void> {
    const hosted = await this.#hosted.get(placeOf(key));
    if (hosted === undefined) throw new ServiceError('turn_ended');
    await hosted.host.cancel(key.turnId);
  }

  /** The turn as it ended; null when this worker does not have it. */
  async turnEnded(key: TurnKey): Promise<TurnRecord | null> {
    const hosted = await this.#hosted.get(placeOf(key));
    return (await hosted?.host.turnEnded(key.turnId)) ?? null;
  }

  async runCommand(request: CommandRequest): Promise<CommandResult> {
    this.#refuseWhenStopping();
    const host = await this.#hostToUse(request.key);
    return await host.runCommand(request);
  }

  async eraseSession(key: SessionKey): Promise<void> {
    const hosted = await this.#hosted.get(placeOf(key));
    if (hosted !== undefined) await this.#letGo(hosted, () => hosted.host.stop('user', 'erased'));
    await this.#options.parts.files.erase(key);
  }

  async status(): Promise<WorkerStatus> {
    const { starting, idle, bound } = this.#options.parts.pool.counts();
    return {
      id: this.#options.id,
      state: this.#state,
      slots: { limit: this.#options.slotLimit, starting, idle, bound },
      busySessions: [...this.#ready.values()].filter(({ host }) => host.isBusy).length,
      waitingTurns: this.#waitingTurns(),
      isolation: this.#options.parts.isolation,
      codexVersion: this.#options.codexVersion,
      startedAt: this.#startedAt,
    };
  }

  /** Unbinds the session that has been idle for longest; false when every bound one is busy. */
  releaseLongestIdle(): boolean {
    let longest: SessionHost | null = null;
    for (const { host } of this.#ready.values()) {
      if (host.idleSinceMs !== null && (longest === null || host.idleSinceMs < (longest.idleSinceMs ?? Infinity))) longest = host;
    }
    if (longest === null) return false;
    void longest.hibernate();
    return true;
  }

  /** Takes nothing new, lets turns end until the deadline, ends the rest, stops every process. */
  stop(deadlineMs: number): Promise<void> {
    this.#stopping ??= this.#stop(deadlineMs);
    return this.#stopping;
  }

  /** Makes a stop that waits for turns wait no longer. */
  hurry(): void {
    this.#isHurried = true;
  }

  async #stop(deadlineMs: number): Promise<void> {
    this.#state = 'draining';
    await this.#quietOrLate(deadlineMs);
    const hosted = await Promise.all(this.#hosted.values());
    await Promise.all(hosted.map((one) => this.#letGo(one, () => one.host.stop('drain'))));
    this.#options.leases.stop();
    await this.#options.parts.pool.stop();
    this.#state = 'stopped';
  }

  async #quietOrLate(deadlineMs: number): Promise<void> {
    const { clock } = this.#options.parts;
    const endMs = clock.monotonicMs() + deadlineMs;
    const isQuiet = (): boolean => [...this.#ready.values()].every(({ host }) => !host.isBusy);
    while (!isQuiet() && !this.#isHurried && clock.monotonicMs() < endMs) await new Promise<void>((resolve) => clock.after(25, resolve));
  }

  #refuseWhenStopping(): void {
    if (this.#stopping !== null) throw new ServiceError('draining');
  }

  #waitingTurns(): number {
    let waiting = 0;
    for (const { host } of this.#ready.values()) waiting += host.waitingTurns;
    return waiting;
  }

  /** A host that is not on its way out; the caller gives it work before anything else can happen. */
  async #hostToUse(key: SessionKey): Promise<SessionHost> {
    for (;;) {
      const hosted = await this.#host(key);
      this.#refuseWhenStopping();
      if (this.#ready.get(placeOf(key)) === hosted) return hosted.host;
    }
  }

  #host(key: SessionKey): Promise<Hosted> {
    const place = placeOf(key);
    const standing = this.#hosted.get(place);
    if (standing !== undefined) return standing;
    const taking = (this.#closing.get(place) ?? Promise.resolve()).then(() => this.#takeSession(key));
    this.#hosted.set(place, taking);
    taking.then(
      (hosted) => this.#ready.set(place, hosted),
      () => this.#hosted.delete(place),
    );
    return taking;
  }

  /** Takes the right to write the session: the lease first, then the epoch in its record. */
  async #takeSession(key: SessionKey): Promise<Hosted> {
    const { leases, log, id, parts } = this.#options;
    const found = await parts.records.sessions.get(key.tenant, key.sessionId);
    if (found === null) throw new ServiceError('session_not_found');
    const session = await this.#ownedRecord(found);
    const lease: Lease = { ...key, worker: id, epoch: session.epoch };
    const standing = await leases.claim(lease, () => this.#lost(key));
    if (standing !== null) throw new ServiceError('stale_epoch', { worker: standing.worker });
    const { lastSeq } = await log.read(key, Number.MAX_SAFE_INTEGER, 1);
    const writer = new SessionWriter({
      log,
      key,
      epoch: session.epoch,
      lastSeq,
      clock: parts.clock,
      logger: parts.logger,
      maxPending: this.#options.maxPendingEvents,
      onLost: () => this.#lost(key),
    });
    if (lastSeq === 0) {
      const seed = seedRollout({ sessionId: session.id, createdAtMs: session.createdAt, codexVersion: this.#options.codexVersion, modelProvider: 'fleet' });
      await parts.files.create(key, { relativePath: seed.relativePath, content: seed.line });
      writer.write({ type: 'session.created', turnId: null, fields: {}, raw: null });
    }
    const host = new SessionHost({ ...parts, acquireSlot: () => parts.pool.acquire() }, session, writer, () => this.#restful(key));
    return { host, lease };
  }

  async #ownedRecord(found: SessionRecord): Promise<SessionRecord> {
    const { id, parts } = this.#options;
    if (found.worker === id) return found;
    const epoch = found.worker === null ? found.epoch : found.epoch + 1;
    const owned = await parts.records.sessions.replace({ ...found, worker: id, epoch });
    if (owned === null) throw new ServiceError('store_conflict');
    return owned;
  }

  #lost(key: SessionKey): void {
    const hosted = this.#ready.get(placeOf(key));
    if (hosted === undefined) return;
    this.#options.parts.logger.warn({ event: 'session_lost', session_id: key.sessionId }, 'the right to write a session was lost');
    void this.#letGo(hosted, () => hosted.host.abandon());
  }

  /** Nothing runs and no slot is bound: what is needed to go on is in the records and the log. */
  #restful(key: SessionKey): void {
    const hosted = this.#ready.get(placeOf(key));
    if (hosted !== undefined) void this.#letGo(hosted, () => hosted.host.stop('user'));
  }

  #letGo(hosted: Hosted, end: () => Promise<void>): Promise<void> {
    const place = placeOf(hosted.host.key);
    this.#hosted.delete(place);
    this.#ready.delete(place);
    const closing = end()
      .then(() => this.#options.leases.release(hosted.lease))
      .catch((error: unknown) => this.#options.parts.logger.error({ event: 'session_not_released', err: error }, 'a session could not be let go cleanly'))
      .finally(() => this.#closing.delete(place));
    this.#closing.set(place, closing);
    return closing;
  }
}

function placeOf(key: SessionKey): string {
  return `${key.tenant}/${key.sessionId}`;
}
