// Chooses the worker that a session goes to, and says why. Pure: what is known of the workers comes in,
// with the randomness; asking one is somebody else's.

import type { WorkerId } from './ids.ts';

export type PlacementCandidate = {
  readonly id: WorkerId;
  /**
   * ejected: it does not answer, or was silent for too long, and may be well again. full: it has just
   * refused a turn. draining: it takes nothing new.
   */
  readonly availability: 'ready' | 'ejected' | 'full' | 'draining';
  readonly slots: { readonly limit: number };
  readonly busySessions: number;
  readonly waitingTurns: number;
};

/** Why a worker was chosen, or why none was: the same words in the log and in the metric. */
export const placementReasons = [
  'affinity',
  'two_choices',
  'only_one',
  'ejected_only',
  'no_worker',
  'all_full',
  'all_draining',
] as const;
export type PlacementReason = (typeof placementReasons)[number];

export type Placement<C extends PlacementCandidate = PlacementCandidate> =
  | { readonly worker: C; readonly reason: 'affinity' | 'two_choices' | 'only_one' | 'ejected_only' }
  | { readonly worker: null; readonly reason: 'no_worker' | 'all_full' | 'all_draining' };

export type PlacementQuestion<C extends PlacementCandidate> = {
  readonly workers: readonly C[];
  /** Who holds the session's lease. */
  readonly holder: WorkerId | null;
  /** From 0 to below 1. */
  readonly random: () => number;
};

export function placeSession<C extends PlacementCandidate>(question: PlacementQuestion<C>): Placement<C> {
  const { holder, random, workers } = question;
  const held = workers.find(({ id, availability }) => id === holder && availability !== 'draining');
  if (held !== undefined) return { worker: held, reason: 'affinity' };

  const ready = workers.filter(({ availability }) => availability === 'ready');
  if (ready.length > 0) return amongReady(ready, random);

  // All of them at once are more likely our trouble than theirs: one is tried rather than none.
  const ejected = workers.filter(({ availability }) => availability === 'ejected');
  const last = pick(ejected, random);
  if (last !== null) return { worker: last, reason: 'ejected_only' };

  if (workers.some(({ availability }) => availability === 'full')) return { worker: null, reason: 'all_full' };
  return { worker: null, reason: workers.length === 0 ? 'no_worker' : 'all_draining' };
}

/** Slots that a turn would find free; below zero, how many wait for one. */
export function freeSlots(worker: Omit<PlacementCandidate, 'id' | 'availability'>): number {
  return worker.slots.limit - worker.busySessions - worker.waitingTurns;
}

function amongReady<C extends PlacementCandidate>(ready: readonly C[], random: () => number): Placement<C> {
  // Where a turn would have to wait comes last, however the dice fall.
  const withRoom = ready.filter((worker) => freeSlots(worker) > 0);
  const pool = withRoom.length > 0 ? withRoom : ready;
  const first = pick(pool, random);
  if (first === null) return { worker: null, reason: 'no_worker' };
  const second = pick(
    pool.filter((worker) => worker !== first),
    random,
  );
  if (second === null) return { worker: first, reason: 'only_one' };
  return { worker: freeSlots(second) > freeSlots(first) ? second : first, reason: 'two_choices' };
}

function pick<T>(from: readonly T[], random: () => number): T | null {
  return from[Math.min(from.length - 1, Math.floor(random() * from.length))] ?? null;
}
