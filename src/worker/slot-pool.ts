// The warm slots: how many run, who gets the next free one, when another is started. Knows nothing of
// sessions: whoever acquires a slot binds it, and retires it when done. A slot is never reused.

import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import type { AgentProcess } from '../codex/agent-process.ts';
import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import { mintId } from '../core/ids.ts';
import type { Logger } from '../observability/logger.ts';
import type { Metrics } from '../observability/metrics.ts';
import type { Slot, SlotEndReason } from './slot.ts';

export type SlotPoolOptions = {
  /** The most processes. */
  readonly limit: number;
  /** How many to keep started, initialised and idle, beyond those that are waited for. */
  readonly warm: number;
  readonly slotsDir: string;
  readonly startAgent: (slot: Slot) => Promise<AgentProcess>;
  /** Starts to free the slot of the session idle for longest; false when every bound one is busy. */
  readonly releaseLongestIdle: () => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
};

export type SlotWait = {
  readonly slot: Promise<Slot>;
  /** Stops waiting; a slot that was already given is the caller's to retire. */
  readonly cancel: (reason: ServiceError) => void;
  /** 1 is next; null once it is over. */
  readonly position: () => number | null;
};

type Waiter = { readonly resolve: (slot: Slot) => void; readonly reject: (error: ServiceError) => void };

const firstBackoffMs = 250;
const longestBackoffMs = 10_000;
/** After so many failed starts in a row, those who wait are told instead of kept. */
const failuresBeforeTelling = 3;

export class SlotPool {
  readonly #options: SlotPoolOptions;
  readonly #slots = new Set<Slot>();
  readonly #waiters = new Set<Waiter>();
  readonly #starting = new Set<Promise<void>>();
  #failuresInARow = 0;
  #backingOff: (() => void) | null = null;
  #stopping: Promise<void> | null = null;

  constructor(options: SlotPoolOptions) {
    this.#options = options;
  }

  /** Removes what an earlier run left behind and starts the warm slots. */
  async start(): Promise<void> {
    await rm(this.#options.slotsDir, { recursive: true, force: true });
    await mkdir(this.#options.slotsDir, { recursive: true, mode: 0o700 });
    this.#refill();
  }

  /** The next free slot, in the order of asking. The caller bounds how many wait, and for how long. */
  acquire(): SlotWait {
    if (this.#stopping !== null) throw new ServiceError('draining');
    const { promise, resolve, reject } = Promise.withResolvers<Slot>();
    const waiter: Waiter = { resolve, reject };
    this.#waiters.add(waiter);
    this.#serveWaiters();
    this.#refill();
    return {
      slot: promise,
      cancel: (reason) => {
        if (this.#waiters.delete(waiter)) reject(reason);
      },
      position: () => (this.#waiters.has(waiter) ? [...this.#waiters].indexOf(waiter) + 1 : null),
    };
  }

  /** Ends the slot's cage, lets the caller take what it needs out of its directory, removes the rest. */
  async retire(slot: Slot, reason: SlotEndReason, takeOut: () => Promise<void> = nothingToTakeOut): Promise<void> {
    const { state } = slot;
    if (state.name === 'stopping' || state.name === 'dead') return;
    slot.state = { name: 'stopping', reason };
    try {
      if (state.name !== 'starting') await state.agent.kill();
      await takeOut();
      void this.#removeDir(slot);
    } finally {
      slot.state = { name: 'dead', reason };
      this.#slots.delete(slot);
      this.#options.metrics.slotRecycles.inc({ reason });
      const ageMs = 'since' in state ? this.#options.clock.now() - state.since : 0;
      this.#options.logger.info({ event: 'slot_recycled', slot_id: slot.id, reason, age_ms: ageMs }, 'slot recycled');
      this.#refill();
    }
  }

  // Only after what mattered was taken out: a directory whose files could not be moved is kept.
  async #removeDir(slot: Slot): Promise<void> {
    await rm(slot.dir, { recursive: true, force: true }).catch((error: unknown) =>
      this.#options.logger.warn({ event: 'slot_dir_kept', slot_id: slot.id, err: error }, 'a slot directory could not be removed'),
    );
  }

  counts(): { starting: number; idle: number; bound: number; stopping: number } {
    const counts = { starting: 0, idle: 0, bound: 0, stopping: 0 };
    for (const slot of this.#slots) if (slot.state.name !== 'dead') counts[slot.state.name]++;
    return counts;
  }

  /** Refuses those who wait and ends every slot that is not bound; the bound ones are their binders' to retire. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#backingOff?.();
    for (const waiter of this.#waiters) waiter.reject(new ServiceError('draining'));
    this.#waiters.clear();
    await Promise.all(this.#starting);
    await Promise.all([...this.#slots].filter((slot) => slot.state.name === 'idle').map((slot) => this.retire(slot, 'drain')));
  }

  #serveWaiters(): void {
    for (const waiter of this.#waiters) {
      const slot = this.#firstIdle();
      if (slot === null) return;
      this.#waiters.delete(waiter);
      waiter.resolve(slot);
    }
  }

  #firstIdle(): Slot | null {
    for (const slot of this.#slots) {
      if (slot.state.name !== 'idle') continue;
      slot.state = { name: 'bound', since: this.#options.clock.now(), agent: slot.state.agent };
      return slot;
    }
    return null;
  }

  #refill(): void {
    if (this.#stopping !== null || this.#backingOff !== null) return;
    let counts = this.counts();
    while (counts.starting + counts.idle < this.#waiters.size + this.#options.warm && this.#slots.size < this.#options.limit) {
      const starting = this.#startOne().finally(() => this.#starting.delete(starting));
      this.#starting.add(starting);
      counts = this.counts();
    }
    // Every process is in use: take the slot of a session that only thinks of going on.
    while (this.#waiters.size > counts.starting + counts.idle + counts.stopping && this.#options.releaseLongestIdle()) {
      counts = this.counts();
    }
    for (const state of ['starting', 'idle', 'bound', 'stopping'] as const) this.#options.metrics.slots.set({ state }, counts[state]);
  }

  async #startOne(): Promise<void> {
    const { clock, logger, metrics } = this.#options;
    const id = mintId();
    const slot: Slot = { id, dir: path.join(this.#options.slotsDir, id), state: { name: 'starting', since: clock.now() }, listener: null };
    this.#slots.add(slot);
    try {
      const agent = await this.#options.startAgent(slot);
      metrics.slotStarts.inc({ outcome: 'ready' });
      this.#failuresInARow = 0;
      slot.state = { name: 'idle', since: clock.now(), agent };
      void agent.exited.then(() => (slot.state.name === 'idle' ? this.retire(slot, 'crashed') : undefined));
      if (this.#stopping === null) this.#serveWaiters();
      else await this.retire(slot, 'drain');
    } catch (error) {
      metrics.slotStarts.inc({ outcome: 'failed' });
      logger.error({ event: 'slot_start_failed', slot_id: slot.id, err: error }, 'a Codex process could not be started');
      this.#backOff(error);
      await this.retire(slot, 'crashed');
    }
  }

  #backOff(cause: unknown): void {
    this.#failuresInARow++;
    if (this.#failuresInARow >= failuresBeforeTelling) {
      for (const waiter of this.#waiters) waiter.reject(new ServiceError('agent_start_failed', {}, { cause }));
      this.#waiters.clear();
    }
    const delayMs = Math.min(longestBackoffMs, firstBackoffMs * 2 ** (this.#failuresInARow - 1));
    this.#backingOff?.();
    const cancel = this.#options.clock.after(delayMs, () => {
      this.#backingOff = null;
      this.#refill();
    });
    this.#backingOff = cancel;
  }
}

async function nothingToTakeOut(): Promise<void> {}
