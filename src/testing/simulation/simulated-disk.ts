// A worker's disk and slots in a simulated world: what a session's files hold is a list of words, a slot is
// an entry in a map. Stands in for SessionFiles, SlotClaims and SlotPool, which do real work on real files.

import type { AgentProcess } from '../../codex/agent-process.ts';
import type { SessionKey } from '../../contracts/worker-link.ts';
import { ServiceError } from '../../core/errors.ts';
import type { RestMark, SessionFiles, SlotPaths } from '../../worker/session-files.ts';
import type { SlotClaim, SlotClaims } from '../../worker/slot-claims.ts';
import type { SlotPool, SlotWait } from '../../worker/slot-pool.ts';
import type { Slot, SlotEndReason } from '../../worker/slot.ts';
import type { SimulatedProcess } from './simulated-process.ts';

type Resting = { mark: RestMark; words: readonly string[] };

/** Outlives the worker's process. */
export class SimulatedDisk {
  readonly resting = new Map<string, Resting>();
  /** By slot directory. */
  readonly slots = new Map<string, string[]>();
  readonly claims = new Map<string, SlotClaim>();

  /** Of the place that SessionFiles named. */
  wordsAt(place: { readonly ws: string }): readonly string[] {
    const [kind, name = ''] = place.ws.split(':');
    return (kind === 'slot' ? this.slots.get(name) : this.resting.get(name)?.words) ?? [];
  }

  /** What a new place is filled with, by restore. */
  readonly filling = new Map<string, readonly string[]>();
}

export function simulatedFiles(disk: SimulatedDisk, process: SimulatedProcess): SessionFiles {
  const placeIn = (kind: string, name: string) => ({ ws: `${kind}:${name}`, sessions: name, index: name });
  const files = {
    create: async ({ sessionId }: SessionKey, _seed: unknown, epoch: number) => {
      await process.busy();
      if (!disk.resting.has(sessionId))
        disk.resting.set(sessionId, { mark: { epoch, object: null, isDirty: false }, words: [] });
    },
    restingPlace: ({ sessionId }: SessionKey) => placeIn('rest', sessionId),
    slotPlace: (_key: SessionKey, slot: SlotPaths) => placeIn('slot', slot.ws.slice(0, -'/ws'.length)),
    mark: async ({ sessionId }: SessionKey) => {
      await process.busy();
      const mark = disk.resting.get(sessionId)?.mark;
      // Before its first snapshot a session is begun anew: to look at its first rollout is real work on real files.
      return mark === undefined || mark.object === null ? null : { ...mark, isOfThisStart: true };
    },
    setMark: async ({ sessionId }: SessionKey, mark: RestMark) => {
      await process.busy();
      const resting = disk.resting.get(sessionId);
      if (resting !== undefined) resting.mark = mark;
    },
    replace: async (
      { sessionId }: SessionKey,
      fill: (place: { ws: string; sessions: string; index: string }) => Promise<RestMark>,
    ) => {
      const mark = await fill(placeIn('fill', sessionId));
      await process.busy();
      disk.resting.set(sessionId, { mark, words: disk.filling.get(sessionId) ?? [] });
      disk.filling.delete(sessionId);
    },
    moveIn: async ({ sessionId }: SessionKey, slot: SlotPaths) => {
      await process.busy();
      const resting = disk.resting.get(sessionId);
      if (resting === undefined) throw new ServiceError('session_failed', { problem: 'its files are gone' });
      disk.slots.set(slot.ws.slice(0, -'/ws'.length), [...resting.words]);
      disk.resting.delete(sessionId);
    },
    moveOut: async ({ sessionId }: SessionKey, slot: SlotPaths, mark: RestMark) => {
      await process.busy();
      const dir = slot.ws.slice(0, -'/ws'.length);
      disk.resting.set(sessionId, { mark, words: disk.slots.get(dir) ?? [] });
      disk.slots.delete(dir);
    },
    erase: async ({ sessionId }: SessionKey) => {
      await process.busy();
      disk.resting.delete(sessionId);
    },
  };
  return files as unknown as SessionFiles;
}

export function simulatedClaims(disk: SimulatedDisk, process: SimulatedProcess): SlotClaims {
  const claims = {
    write: async (slotDir: string, claim: SlotClaim) => {
      await process.busy();
      disk.claims.set(slotDir, claim);
    },
    leave: () => {},
    remove: async (slotDir: string) => {
      disk.claims.delete(slotDir);
    },
    salvage: async () => {
      await process.busy();
      for (const [dir, { epoch, key }] of disk.claims) {
        const words = disk.slots.get(dir);
        if (words !== undefined)
          disk.resting.set(key.sessionId, { mark: { epoch, object: 'left', isDirty: true }, words });
      }
      disk.claims.clear();
      disk.slots.clear();
    },
    fetchLeft: async () => null,
  };
  return claims as unknown as SlotClaims;
}

export type SimulatedPoolOptions = {
  readonly limit: number;
  readonly process: SimulatedProcess;
  readonly startAgent: (slot: Slot) => AgentProcess;
  readonly releaseLongestIdle: () => boolean;
};

export function simulatedPool(options: SimulatedPoolOptions): SlotPool {
  const { limit, process, releaseLongestIdle, startAgent } = options;
  const waiting: PromiseWithResolvers<Slot>[] = [];
  const slots = new Set<Slot>();
  let numbers = 0;
  const serve = (): void => {
    while (waiting.length > 0 && slots.size < limit) {
      const next = waiting.shift();
      const id = `${process.name}-slot-${++numbers}`;
      const startedAtMs = process.clock.monotonicMs();
      const slot: Slot = { id, dir: id, startedAtMs, state: { name: 'starting' }, turns: 0, listener: null };
      slots.add(slot);
      void process.busy().then(() => {
        slot.state = { name: 'bound', agent: startAgent(slot), tenant: 'acme', sinceMs: process.clock.monotonicMs() };
        next?.resolve(slot);
      });
    }
    if (waiting.length > 0) releaseLongestIdle();
  };
  const pool = {
    start: async () => {},
    acquire: (): SlotWait => {
      const wait = Promise.withResolvers<Slot>();
      waiting.push(wait);
      serve();
      return {
        slot: wait.promise,
        cancel: (reason) => {
          const at = waiting.indexOf(wait);
          if (at < 0) return;
          waiting.splice(at, 1);
          wait.reject(reason);
        },
      };
    },
    sessionIdles: serve,
    placeOfNewcomer: () => waiting.length + 1,
    shouldYield: () => waiting.length > 0,
    dueReason: () => null,
    retire: async (slot: Slot, reason: SlotEndReason, takeOut?: () => Promise<void>) => {
      const { state } = slot;
      if (state.name === 'stopping' || state.name === 'dead') return;
      slot.state = { name: 'stopping', reason };
      try {
        if (state.name === 'idle' || state.name === 'bound') await state.agent.kill();
        await takeOut?.();
      } finally {
        slot.state = { name: 'dead', reason };
        slots.delete(slot);
        serve();
      }
    },
    counts: () => ({ starting: 0, idle: limit - slots.size, bound: slots.size, stopping: 0 }),
    stop: async () => {},
  };
  return pool as unknown as SlotPool;
}
