// Chooses the worker that a session goes to, and says why. Pure: what is known of the workers comes in,
// with the randomness; asking one is somebody else's.

import type { TenantId, WorkerId } from './ids.ts';

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
  /** The one tenant that it serves, for the rest of its life; absent or null: any. */
  readonly reservedFor?: TenantId | null;
};

/** Why a worker was chosen, or why none was: the same words in the log and in the metric. */
export const placementReasons = [
  'affinity',
  'two_choices',
  'only_one',
  'reserved_only',
  'ejected_only',
  'no_worker',
  'all_full',
  'all_draining',
] as const;
export type PlacementReason = (typeof placementReasons)[number];

type ChosenReason = Extract<
  PlacementReason,
  'affinity' | 'two_choices' | 'only_one' | 'reserved_only' | 'ejected_only'
>;

export type Placement<C extends PlacementCandidate = PlacementCandidate> =
  | { readonly worker: C; readonly reason: ChosenReason }
  | { readonly worker: null; readonly reason: 'no_worker' | 'all_full' | 'all_draining' };

export type PlacementQuestion<C extends PlacementCandidate> = {
  readonly workers: readonly C[];
  /** Who holds the session's lease. */
  readonly holder: WorkerId | null;
  /** Whose session it is. Absent: whom a worker serves does not matter. */
  readonly tenant?: TenantId;
  /** From 0 to below 1. */
  readonly random: () => number;
};

export function placeSession<C extends PlacementCandidate>(question: PlacementQuestion<C>): Placement<C> {
  const { holder, random, workers } = question;
  const held = workers.find(({ id, availability }) => id === holder && availability !== 'draining');
  if (held !== undefined) return { worker: held, reason: 'affinity' };

  const ready = workers.filter(({ availability }) => availability === 'ready');
  const isOthers = ({ reservedFor = null }: C): boolean =>
    question.tenant !== undefined && reservedFor !== null && reservedFor !== question.tenant;
  const open = ready.filter((worker) => !isOthers(worker));
  if (open.length > 0) return amongReady(open, random);

  // Asked, one of these is replaced by a worker that may serve anybody: at once where nothing runs.
  const { worker: reserved } = amongReady(ready, random);
  if (reserved !== null) return { worker: reserved, reason: 'reserved_only' };

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
  // One that is this tenant's already is of no use to others.
  const own = withRoom.filter(({ reservedFor = null }) => reservedFor !== null);
  const pool = own.length > 0 ? own : withRoom.length > 0 ? withRoom : ready;
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
