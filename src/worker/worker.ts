// A worker: hosts sessions on slots and does what a gateway asks of it. Owns who is hosted and who is
// let go; what happens within a session is its host's, what happens within a process the slot's.

import type { Lease, SessionDirectory } from '../contracts/session-directory.ts';
import type {
  CommandRequest,
  CommandResult,
  StartOptions,
  SessionKey,
  TurnKey,
  WorkerLink,
  WorkerStatus,
} from '../contracts/worker-link.ts';
import { within } from '../core/deadline.ts';
import { isServiceError, ServiceError } from '../core/errors.ts';
import type { TenantId, WorkerId } from '../core/ids.ts';
import { isTerminal, type TurnRecord } from '../core/turn.ts';
import { answered } from './store-answer.ts';
import type { HostParts } from './host-parts.ts';
import type { LeaseKeeper } from './lease-keeper.ts';
import { SessionHost } from './session-host.ts';
import type { OneTenant } from './one-tenant.ts';
import { takeSession } from './take-session.ts';
import { TurnArrivals } from './turn-arrivals.ts';
import { TurnLedger } from './turn-ledger.ts';

export type WorkerOptions = {
  readonly id: WorkerId;
  /** This run of it: another one than before, whatever its name. */
  readonly boot: string;
  readonly parts: Omit<HostParts, 'ledger'>;
  readonly directory: SessionDirectory;
  readonly leases: LeaseKeeper;
  readonly slotLimit: number;
  /** The most turns that may wait on this worker, over all sessions. */
  readonly queueLimit: number;
  /** Where no cage can be made: whom this run of the worker serves. null: any tenant. */
  readonly oneTenant?: OneTenant | null;
  /** Most events that may wait for a log that does not answer, per session. */
  readonly maxPendingEvents: number;
};

/** After a loss; then whoever next has work for the session takes it. */
const retakeAttempts = 10;
const retakeDelayMs = 1_000;

/** Of the time for a stop, what is kept for turns to come to the end of an item. */
const handOverShare = 1 / 3;
const longestHandOverMs = 10_000;
/** For the ends of turns and the last snapshots, once the deadline of a stop is over. */
const lastRecordsMs = 15_000;

type Hosted = { readonly host: SessionHost; readonly lease: Lease; closing: Promise<void> | null };

export class Worker implements WorkerLink {
  readonly #options: WorkerOptions;
  readonly #parts: HostParts;
  readonly #ledger: TurnLedger;
  readonly #hosted = new Map<string, Promise<Hosted>>();
  readonly #ready = new Map<string, Hosted>();
  /** Sessions being let go: whoever takes one again waits until its last event is written. */
  readonly #closing = new Map<string, Promise<void>>();
  /** Taken and being recovered: not yet for anybody's use. */
  readonly #recovering = new Set<SessionHost>();
  readonly #arrivals = new TurnArrivals();
  readonly #hurried = Promise.withResolvers<void>();
  readonly #startedAt: number;
  #state: WorkerStatus['state'] = 'starting';
  #stopping: Promise<void> | null = null;

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.#ledger = new TurnLedger(options.parts.metrics);
    this.#parts = { ...options.parts, ledger: this.#ledger };
    this.#startedAt = options.parts.clock.now();
  }

  async start(): Promise<void> {
    const { claims, clock, files, logger, pool } = this.#parts;
    await claims.salvage(files, clock, logger);
    await pool.start();
    this.#options.leases.start();
    this.#state = 'ready';
  }

  async startTurn(key: TurnKey, options: StartOptions = {}): Promise<void> {
    this.#refuseWhenStopping();
    await this.#arrivals.join(`${placeOf(key)}/${key.turnId}`, () => this.#accept(key, options));
  }

  async #accept(key: TurnKey, { onlyIfIdle = false }: StartOptions): Promise<void> {
    if (this.#ready.get(placeOf(key))?.host.has(key.turnId) === true) return;
    this.#refuseWhenFull();
    const turn = await answered(this.#parts.clock, this.#parts.records.turns.get(key.tenant, key.turnId));
    if (turn === null || turn.sessionId !== key.sessionId) throw new ServiceError('turn_not_found');
    // Running or over: whoever handed it in before was heard.
    if (turn.status !== 'queued') return;
    const host = await this.#hostToUse(key);
    if (host.failure !== null) throw host.failure;
    // Nothing waits between this look and the taking: of several at once, one finds it idle.
    if (onlyIfIdle && host.isBusy && !host.has(turn.id)) throw new ServiceError('session_busy');
    host.enqueue(turn);
  }

  async cancelTurn(key: TurnKey): Promise<void> {
    await this.#arrivals.over(`${placeOf(key)}/${key.turnId}`);
    const hosted = await this.#hosted.get(placeOf(key))?.catch(() => undefined);
    // Nobody has it: it may be one that a lost process left open, or that never came here.
    const host = hosted?.host.has(key.turnId) === true ? hosted.host : await this.#hostOfOpen(key);
    if (host === null) throw new ServiceError('turn_ended');
    await host.cancel(key.turnId);
  }

  /** The turn as it ended; null when this worker does not have it. */
  async turnEnded(key: TurnKey): Promise<TurnRecord | null> {
    const hosted = await this.#hosted.get(placeOf(key));
    return (await hosted?.host.turnEnded(key.turnId)) ?? null;
  }

  async steerTurn(key: TurnKey, steerId: string, text: string): Promise<void> {
    await this.#arrivals.over(`${placeOf(key)}/${key.turnId}`);
    const hosted = await this.#hosted.get(placeOf(key));
    if (hosted === undefined) throw new ServiceError('turn_not_running');
    await hosted.host.steer(key.turnId, steerId, text);
  }

  async approvalSettled(key: SessionKey, approvalId: string): Promise<void> {
    this.#ready.get(placeOf(key))?.host.approvalSettled(approvalId);
  }

  async hibernateSession(key: SessionKey): Promise<void> {
    const hosted = await this.#hosted.get(placeOf(key));
    await hosted?.host.hibernateNow();
    await this.#closing.get(placeOf(key));
  }

  async wakeSession(key: SessionKey): Promise<void> {
    this.#refuseWhenStopping();
    this.#refuseWhenFull();
    await (await this.#hostToUse(key)).wake();
  }

  async recoverSession(key: SessionKey): Promise<void> {
    this.#refuseWhenStopping();
    const host = await this.#hostToUse(key);
    try {
      await host.adoptOpenTurns();
    } finally {
      // Also when the store was away: an idle host that nobody lets go would keep the session from all others.
      host.restIfIdle();
    }
  }

  /** The workspace of a session that a slot of this worker has; null while none does. */
  liveWorkspace(key: SessionKey): string | null {
    return this.#ready.get(placeOf(key))?.host.liveWorkspace ?? null;
  }

  /** Before anything of a tenant comes to this worker's disk. Throws `worker_reserved` where it serves another. */
  admit(tenant: TenantId): void {
    this.#options.oneTenant?.admit(tenant);
  }

  /** Binds the session, lets `change` work on its workspace, commits. Rejects with `session_busy`. */
  async changeFiles<T>(key: SessionKey, change: (ws: string) => Promise<T>): Promise<T> {
    this.#refuseWhenStopping();
    this.#refuseWhenFull();
    return await (await this.#hostToUse(key)).changeFiles(change);
  }

  /** Runs the work while nobody here has the session, and who wants it waits; false when somebody has it. */
  async whileUnhosted(key: SessionKey, work: () => Promise<void>): Promise<boolean> {
    const place = placeOf(key);
    if (this.#hosted.has(place) || this.#closing.has(place)) return false;
    const working = work().finally(() => this.#closing.delete(place));
    this.#closing.set(
      place,
      working.catch(() => undefined),
    );
    await working;
    return true;
  }

  /** The log may have lost what it had: each session's is looked at, and written again where it did. */
  confirmLogs(): void {
    for (const { host } of this.#ready.values()) host.confirmLog();
  }

  async runCommand(request: CommandRequest): Promise<CommandResult> {
    this.#refuseWhenStopping();
    this.#refuseWhenFull();
    const host = await this.#hostToUse(request.key);
    return await host.runCommand(request);
  }

  async eraseSession(key: SessionKey): Promise<void> {
    const hosted = await this.#hosted.get(placeOf(key))?.catch(() => undefined);
    if (hosted !== undefined) await this.#letGo(hosted, () => hosted.host.stop('user', 'erased'));
    await this.#closing.get(placeOf(key));
    await this.#parts.files.erase(key);
    await this.#parts.snapshots.erase(key);
  }

  async status(): Promise<WorkerStatus> {
    const { starting, idle, bound } = this.#parts.pool.counts();
    return {
      id: this.#options.id,
      state: this.#state,
      slots: { limit: this.#options.slotLimit, starting, idle, bound },
      busySessions: this.#ledger.running,
      waitingTurns: this.#ledger.waiting,
      boundSessions: [...this.#ready.values()].flatMap(({ host }) =>
        host.slotId === null ? [] : [{ ...host.key, slotId: host.slotId }],
      ),
      reservedFor: this.#options.oneTenant?.reservedFor ?? null,
      isolation: this.#parts.isolation,
      codexVersion: this.#parts.codexVersion,
      startedAt: this.#startedAt,
    };
  }

  /** Unbinds the session that has been idle for longest; false when every bound one is busy. */
  releaseLongestIdle(): boolean {
    let longest: SessionHost | null = null;
    for (const { host } of this.#ready.values()) {
      if (host.idleSinceMs !== null && (longest === null || host.idleSinceMs < (longest.idleSinceMs ?? Infinity)))
        longest = host;
    }
    if (longest === null) return false;
    void longest.hibernate('preempted');
    return true;
  }

  /** No running turn can be kept, and every agent takes what is needed to record their ends. */
  diskFull(): void {
    for (const { host } of this.#ready.values()) host.giveWay('storage');
  }

  /**
   * Takes nothing new and lets go what does not run, as a stop does; resolves when nothing runs any more, however
   * long that takes. A stop may come before.
   */
  async leave(): Promise<void> {
    if (this.#stopping !== null) return;
    this.#state = 'draining';
    for (const { host } of [...this.#ready.values()]) host.beginDrain();
    await this.#ledger.quiet();
  }

  /** Takes nothing new, lets turns end until the deadline, ends the rest, stops every process. */
  stop(deadlineMs: number): Promise<void> {
    this.#stopping ??= this.#stop(deadlineMs);
    return this.#stopping;
  }

  /** Makes a stop that waits for turns wait no longer. */
  hurry(): void {
    this.#hurried.resolve();
  }

  async #stop(deadlineMs: number): Promise<void> {
    this.#state = 'draining';
    for (const { host } of [...this.#ready.values()]) host.beginDrain();
    const { clock } = this.#parts;
    const handOverMs = Math.min(longestHandOverMs, deadlineMs * handOverShare);
    const quiet = Promise.race([this.#ledger.quiet(), this.#hurried.promise]);
    const isQuiet = await within(
      clock,
      deadlineMs - handOverMs,
      quiet.then(() => true),
      false,
    );
    if (!isQuiet) {
      const handedOver = [...this.#ready.values()].map(({ host }) => host.handOver(handOverMs));
      await Promise.race([Promise.all(handedOver), this.#hurried.promise]);
    }
    for (const host of this.#recovering) void host.abandon();
    const settled = await Promise.allSettled(this.#hosted.values());
    const taken = settled.flatMap((hosted) => (hosted.status === 'fulfilled' ? [hosted.value] : []));
    for (const hosted of taken) void this.#letGo(hosted, () => hosted.host.stop('drain'));
    await this.#closed(taken);
    this.#options.leases.stop();
    await this.#parts.pool.stop();
    this.#state = 'stopped';
  }

  /** Stores that are away must not hold up a stop: what they do not answer by then is for whoever takes it next. */
  async #closed(taken: readonly Hosted[]): Promise<void> {
    const closed = Promise.all(this.#closing.values()).then(() => true);
    if (await within(this.#parts.clock, lastRecordsMs, closed, false)) return;
    for (const { host } of taken) void host.abandon();
    await closed;
  }

  #refuseWhenStopping(): void {
    if (this.#stopping !== null || this.#state === 'draining') throw new ServiceError('draining');
  }

  /** A turn that finds a free slot does not wait: the queue begins behind the slots. */
  #refuseWhenFull(): void {
    const { queueLimit, slotLimit } = this.#options;
    const waiting = this.#ledger.waiting + this.#arrivals.size;
    const free = Math.max(0, slotLimit - this.#ledger.running);
    if (waiting >= queueLimit + free) throw new ServiceError('queue_full', { waiting, limit: queueLimit });
  }

  /** A host that is not on its way out; the caller gives it work before anything else can happen. */
  async #hostToUse(key: SessionKey): Promise<SessionHost> {
    for (;;) {
      const hosted = await this.#host(key);
      this.#refuseWhenStopping();
      if (this.#ready.get(placeOf(key)) === hosted) return hosted.host;
    }
  }

  async #host(key: SessionKey): Promise<Hosted> {
    const place = placeOf(key);
    const standing = this.#hosted.get(place);
    if (standing !== undefined) return standing;
    this.admit(key.tenant);
    const taking = (this.#closing.get(place) ?? Promise.resolve()).then(() => this.#take(key));
    this.#hosted.set(place, taking);
    taking.catch(() => this.#hosted.delete(place));
    return taking;
  }

  async #take(key: SessionKey): Promise<Hosted> {
    const { boot, id, leases, maxPendingEvents } = this.#options;
    let host: SessionHost | null = null;
    let isReady = false;
    let isLost = false;
    const onLost = (): void => {
      isLost = true;
      if (isReady) this.#lost(taken);
      else void host?.abandon();
    };
    const { hasWaiting, isTakeover, lease, session, writer } = await takeSession(
      { parts: this.#parts, boot, leases, maxPendingEvents, onLost, worker: id },
      key,
    );
    host = new SessionHost({
      parts: this.#parts,
      session,
      writer,
      onLost,
      onRestful: () => this.#restful(taken),
    });
    const taken: Hosted = { host, lease, closing: null };
    try {
      this.#recovering.add(host);
      if (isTakeover) await host.recover();
      // Before the turn that it was taken for: they came first.
      else if (hasWaiting) await host.adoptOpenTurns();
      if (isLost) throw new ServiceError('stale_epoch');
    } catch (error) {
      // The record names this run, which has not done what it took the session for: the next take is a takeover.
      await host.abandon();
      await leases.release(lease).catch(() => undefined);
      throw error;
    } finally {
      this.#recovering.delete(host);
    }
    isReady = true;
    this.#parts.metrics.sessionsTaken.inc({ from: isTakeover ? 'lost_owner' : 'nobody' });
    this.#ready.set(placeOf(key), taken);
    return taken;
  }

  /** Of a turn whose record says that it has not ended; null when it has, or is none. */
  async #hostOfOpen(key: TurnKey): Promise<SessionHost | null> {
    const turn = await answered(this.#parts.clock, this.#parts.records.turns.get(key.tenant, key.turnId));
    if (turn === null || turn.sessionId !== key.sessionId || isTerminal(turn.status)) return null;
    const host = await this.#hostToUse(key);
    await host.adoptOpenTurns();
    return host;
  }

  #lost(hosted: Hosted): void {
    const { sessionId } = hosted.host.key;
    this.#parts.metrics.sessionsLost.inc();
    this.#parts.logger.warn({ event: 'session_lost', session_id: sessionId }, 'the right to write a session was lost');
    if (hosted.closing !== null) {
      hosted.host.abandon().catch(() => undefined);
      return;
    }
    void this.#letGo(hosted, () => hosted.host.abandon()).then(() => this.#retake(hosted.host.key));
  }

  /** A pause of this process (a suspended machine) loses leases that nobody else wants: its turns must not stay open. */
  async #retake(key: SessionKey): Promise<void> {
    const { clock, logger } = this.#parts;
    for (let attempt = 0; attempt < retakeAttempts && this.#stopping === null; attempt++) {
      try {
        (await this.#host(key)).host.restIfIdle();
        return;
      } catch (error) {
        const isOthers = isServiceError(error, 'stale_epoch') || isServiceError(error, 'session_not_found');
        if (isOthers) break;
        logger.warn(
          { event: 'session_not_retaken', session_id: key.sessionId, err: error },
          'a lost session could not be taken again yet',
        );
        await new Promise<void>((resolve) => clock.after(retakeDelayMs, resolve));
      }
    }
  }

  /** Nothing runs and no slot is bound: what is needed to go on is in the records and the log. */
  #restful(hosted: Hosted): void {
    if (this.#ready.get(placeOf(hosted.host.key)) === hosted) void this.#letGo(hosted, () => hosted.host.stop('user'));
  }

  /** Takes the session from those that are hosted and ends it; once, whoever asks. Never rejects. */
  #letGo(hosted: Hosted, end: () => Promise<void>): Promise<void> {
    if (hosted.closing !== null) return hosted.closing;
    const { leases } = this.#options;
    const place = placeOf(hosted.host.key);
    this.#hosted.delete(place);
    this.#ready.delete(place);
    const closing = end()
      .then(() => leases.release(hosted.lease))
      .catch((error: unknown) =>
        this.#parts.logger.error(
          { event: 'session_not_released', err: error },
          'a session could not be let go cleanly',
        ),
      )
      .finally(() => this.#closing.delete(place));
    hosted.closing = closing;
    this.#closing.set(place, closing);
    return closing;
  }
}

function placeOf(key: SessionKey): string {
  return `${key.tenant}/${key.sessionId}`;
}
