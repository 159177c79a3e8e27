// The warm slots: how many run, who gets the next free one, when another is started or replaced. Knows
// nothing of sessions: whoever acquires a slot binds it, and retires it when done. A slot is never reused.

import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { AgentProcess } from '../codex/agent-process.ts';
import type { Clock } from '../core/clock.ts';
import { isServiceError, ServiceError } from '../core/errors.ts';
import { mintId, type TenantId } from '../core/ids.ts';
import type { Logger } from '../observability/logger.ts';
import { type Metrics, slotStateLabels } from '../observability/metrics.ts';
import { FairQueue } from './fair-queue.ts';
import { PlaceTeller } from './place-teller.ts';
import { removeTree } from './remove-tree.ts';
import type { Slot, SlotEndReason } from './slot.ts';
import { dueReason, isOvergrown, type RecycleLimits } from './slot-health.ts';
import { StartBackoff } from './start-backoff.ts';

export type SlotPoolOptions = {
  /** The most processes. */
  readonly limit: number;
  /** How many to keep started, initialised and idle, beyond those that are waited for. */
  readonly warm: number;
  readonly slotsDir: string;
  readonly startAgent: (slot: Slot) => Promise<AgentProcess>;
  /** Starts to free the slot of the session idle for longest; false when every bound one is busy. */
  readonly releaseLongestIdle: () => boolean;
  readonly recycle: RecycleLimits;
  /** Where the end of a process is not the end of all that it started: sees to the rest, before its files are taken out. */
  readonly cleanUp?: () => Promise<void>;
  /** Watches what runs on the slots, from the start to the stop. */
  readonly watch?: SlotWatch;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
};

export interface SlotWatch {
  start(slots: () => Iterable<Slot>): void;
  stop(): void;
}

export type SlotWait = {
  readonly slot: Promise<Slot>;
  /** Stops waiting; a slot that was already given is the caller's to retire. */
  readonly cancel: (reason: ServiceError) => void;
};

type Waiter = {
  readonly resolve: (slot: Slot) => void;
  readonly reject: (error: ServiceError) => void;
  readonly onPlace: (place: number) => void;
  readonly sinceMs: number;
};

type Counts = Record<(typeof slotStateLabels)[number], number>;

const healthEveryMs = 2_000;
/** How long a session with turns of its own waiting keeps its slot while others of equal right wait. */
const quantumMs = 2_000;

export class SlotPool {
  readonly #options: SlotPoolOptions;
  readonly #slots = new Set<Slot>();
  readonly #waiters = new FairQueue<Waiter>();
  readonly #teller: PlaceTeller;
  readonly #backoff: StartBackoff;
  /** Starts and ends under way. */
  readonly #unfinished = new Set<Promise<unknown>>();
  #cancelHealth: () => void = () => {};
  #stopping: Promise<void> | null = null;

  constructor(options: SlotPoolOptions) {
    this.#options = options;
    this.#teller = new PlaceTeller(options.clock, () => this.#waiters.inOrder());
    this.#backoff = new StartBackoff(options.clock, () => this.#refill());
    options.metrics.slotLimit.set(options.limit);
  }

  /** Starts the warm slots. What an earlier run left in their directory is not touched. */
  async start(): Promise<void> {
    await mkdir(this.#options.slotsDir, { recursive: true, mode: 0o700 });
    this.#refill();
    this.#watchHealth();
    this.#options.watch?.start(() => this.#slots);
  }

  /** The next free slot, fairly. The caller bounds how many wait, and for how long. */
  acquire(tenant: TenantId, onPlace: (place: number) => void): SlotWait {
    if (this.#stopping !== null) throw new ServiceError('draining');
    const { promise, resolve, reject } = Promise.withResolvers<Slot>();
    const place = this.#waiters.enter(tenant, { resolve, reject, onPlace, sinceMs: this.#options.clock.monotonicMs() });
    this.#serveWaiters();
    this.#refill();
    if (this.#waiters.size > 0) this.#teller.changed();
    const cancel = (reason: ServiceError): void => {
      if (!this.#waiters.leave(place)) return;
      reject(reason);
      this.#teller.changed();
    };
    return { slot: promise, cancel };
  }

  /** A bound session has nothing to do: whoever waits may have its slot. */
  sessionIdles(): void {
    if (this.#waiters.size > 0) this.#refill();
  }

  /** Where one who asked now would stand, 1 for the next. */
  placeOfNewcomer(tenant: TenantId): number {
    return this.#waiters.placeOfNewcomer(tenant);
  }

  /**
   * Whether others have more right to a bound slot than its session, between two turns of it: a tenant
   * with no slot at all at once, one with clearly fewer at once, anyone else after a while.
   */
  shouldYield(slot: Slot): boolean {
    const { state } = slot;
    const { idle, starting, stopping } = this.counts();
    if (state.name !== 'bound' || this.#waiters.size <= idle + starting + stopping) return false;
    if (this.#options.clock.monotonicMs() - state.sinceMs >= quantumMs) return true;
    const held = this.#heldByTenant();
    const mine = held.get(state.tenant) ?? 0;
    for (const tenant of this.#waiters.tenants()) {
      const theirs = held.get(tenant) ?? 0;
      if (tenant !== state.tenant && (theirs === 0 || theirs + 1 < mine)) return true;
    }
    return false;
  }

  /** Why a bound slot should be replaced now that nothing runs on it; null when it may go on. */
  dueReason(slot: Slot): SlotEndReason | null {
    return dueReason(slot, this.#options.recycle, this.#options.clock.monotonicMs());
  }

  /** Ends the slot's cage, lets the caller take what it needs out of its directory, removes the rest. */
  async retire(slot: Slot, reason: SlotEndReason, takeOut: () => Promise<void> = nothingToTakeOut): Promise<void> {
    if (slot.state.name === 'stopping' || slot.state.name === 'dead') return;
    await this.#finishing(this.#retire(slot, reason, takeOut));
  }

  async #retire(slot: Slot, reason: SlotEndReason, takeOut: () => Promise<void>): Promise<void> {
    const { clock, logger, metrics } = this.#options;
    const { state } = slot;
    slot.state = { name: 'stopping', reason };
    this.#report();
    try {
      if (state.name === 'idle' || state.name === 'bound') await state.agent.kill();
      await this.#options.cleanUp?.();
      await takeOut();
      void this.#finishing(this.#removeDir(slot));
    } finally {
      slot.state = { name: 'dead', reason };
      this.#slots.delete(slot);
      metrics.slotRecycles.inc({ reason });
      const ageMs = Math.round(clock.monotonicMs() - slot.startedAtMs);
      logger.info(
        { event: 'slot_recycled', slot_id: slot.id, reason, age_ms: ageMs, turns: slot.turns },
        'slot recycled',
      );
      this.#refill();
    }
  }

  // Only after what mattered was taken out: a directory whose files could not be moved is kept.
  async #removeDir(slot: Slot): Promise<void> {
    await removeTree(slot.dir).catch((error: unknown) =>
      this.#options.logger.warn(
        { event: 'slot_dir_kept', slot_id: slot.id, err: error },
        'a slot directory could not be removed',
      ),
    );
  }

  counts(): Counts {
    const counts: Counts = { starting: 0, idle: 0, bound: 0, stopping: 0 };
    for (const slot of this.#slots) if (slot.state.name !== 'dead') counts[slot.state.name]++;
    return counts;
  }

  /** Refuses those who wait and ends every slot that is not bound; the bound ones are their binders' to retire. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#backoff.stop();
    this.#teller.stop();
    this.#cancelHealth();
    this.#refuseWaiters(new ServiceError('draining'));
    const ends = [...this.#slots]
      .filter((slot) => slot.state.name === 'idle')
      .map((slot) => this.#retireFree(slot, 'drain'));
    await Promise.all(ends);
    while (this.#unfinished.size > 0) await Promise.allSettled(this.#unfinished);
    this.#options.watch?.stop();
  }

  #refuseWaiters(error: ServiceError): void {
    for (let next = this.#waiters.take(); next !== null; next = this.#waiters.take()) next.item.reject(error);
  }

  #serveWaiters(): void {
    for (const slot of this.#slots) {
      if (this.#waiters.size === 0) break;
      if (slot.state.name === 'idle') this.#give(slot, slot.state.agent);
    }
  }

  #give(slot: Slot, agent: AgentProcess): void {
    const next = this.#waiters.take();
    if (next === null) return;
    slot.state = { name: 'bound', sinceMs: this.#options.clock.monotonicMs(), agent, tenant: next.tenant };
    next.item.resolve(slot);
    if (this.#waiters.size > 0) this.#teller.changed();
    this.#report();
  }

  #refill(): void {
    const { limit, releaseLongestIdle, warm } = this.#options;
    if (this.#stopping === null && !this.#backoff.isActive) {
      let counts = this.counts();
      while (counts.starting + counts.idle < this.#waiters.size + warm && this.#slots.size < limit) {
        void this.#finishing(this.#startOne());
        counts = this.counts();
      }
      // Every process is in use: take the slot of a session that only thinks of going on.
      while (this.#waiters.size > counts.starting + counts.idle + counts.stopping && releaseLongestIdle())
        counts = this.counts();
    }
    this.#report();
  }

  async #startOne(): Promise<void> {
    const { clock, logger, metrics, slotsDir, startAgent } = this.#options;
    const id = mintId();
    const startedAtMs = clock.monotonicMs();
    const slot: Slot = {
      id,
      dir: path.join(slotsDir, id),
      startedAtMs,
      state: { name: 'starting' },
      turns: 0,
      listener: null,
    };
    this.#slots.add(slot);
    try {
      const agent = await startAgent(slot);
      metrics.slotStarts.inc({ outcome: 'ready' });
      metrics.slotStartSeconds.observe((clock.monotonicMs() - startedAtMs) / 1000);
      slot.state = { name: 'idle', agent };
      void agent.exited.then(() => (slot.state.name === 'idle' ? this.#retireFree(slot, 'crashed') : undefined));
    } catch (error) {
      metrics.slotStarts.inc({ outcome: 'failed' });
      logger.error(
        { event: 'slot_start_failed', slot_id: slot.id, err: error },
        'a Codex process could not be started',
      );
      if (this.#stopping === null && this.#backoff.failed(startedAtMs)) {
        const isFull = isServiceError(error, 'storage_full');
        this.#refuseWaiters(isFull ? error : new ServiceError('agent_start_failed', {}, { cause: error }));
      }
      await this.#retireFree(slot, 'crashed');
      return;
    }
    if (this.#stopping !== null) {
      await this.#retireFree(slot, 'drain');
      return;
    }
    this.#backoff.succeeded();
    this.#serveWaiters();
    this.#refill();
  }

  /** Nobody is bound to it, so nobody hears of a failure. */
  async #retireFree(slot: Slot, reason: SlotEndReason): Promise<void> {
    await this.retire(slot, reason).catch((error: unknown) =>
      this.#options.logger.error(
        { event: 'slot_not_ended', slot_id: slot.id, err: error },
        'a Codex process could not be ended',
      ),
    );
  }

  #watchHealth(): void {
    if (this.#stopping !== null) return;
    this.#cancelHealth = this.#options.clock.after(healthEveryMs, () => {
      for (const slot of this.#slots) this.#tendHealth(slot);
      this.#reportWaits();
      this.#watchHealth();
    });
  }

  #tendHealth(slot: Slot): void {
    if (slot.state.name !== 'idle' && slot.state.name !== 'bound') return;
    const reason = this.dueReason(slot);
    if (reason === null) return;
    if (slot.state.name === 'idle') void this.#retireFree(slot, reason);
    else if (isOvergrown(slot, this.#options.recycle)) slot.listener?.onOvergrown();
    else slot.listener?.onDue(reason);
  }

  #heldByTenant(): Map<TenantId, number> {
    const held = new Map<TenantId, number>();
    for (const { state } of this.#slots)
      if (state.name === 'bound') held.set(state.tenant, (held.get(state.tenant) ?? 0) + 1);
    return held;
  }

  async #finishing<T>(work: Promise<T>): Promise<T> {
    this.#unfinished.add(work);
    try {
      return await work;
    } finally {
      this.#unfinished.delete(work);
    }
  }

  #report(): void {
    const counts = this.counts();
    for (const state of slotStateLabels) this.#options.metrics.slots.set({ state }, counts[state]);
  }

  /** Not at each change: with a long queue it is a look through all that wait. */
  #reportWaits(): void {
    const { clock, metrics } = this.#options;
    const nowMs = clock.monotonicMs();
    let oldestMs = nowMs;
    for (const { sinceMs } of this.#waiters.inOrder()) oldestMs = Math.min(oldestMs, sinceMs);
    metrics.slotWaits.set(this.#waiters.size);
    metrics.slotOldestWaitSeconds.set((nowMs - oldestMs) / 1000);
  }
}

async function nothingToTakeOut(): Promise<void> {}
