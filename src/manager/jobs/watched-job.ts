// A job that takes a part of the share, as who runs jobs sees it, and how often it is looked at.

import type { FleetPlace } from '../../contracts/records.ts';
import type { JobRecord } from '../../core/job.ts';
import type { AttemptState } from './attempt-desk.ts';

export type Watched = {
  readonly place: FleetPlace;
  readonly sinceMs: number;
  nextLookMs: number;
  isUnderWay: boolean;
  isNew: boolean;
  /** As it was when a turn was started that it does not want any more. */
  stray: JobRecord | null;
  failures: number;
};

const soonestLookMs = 250;
const longestLookMs = 10_000;
const cancelLookMs = 1_000;
/** Looked at ever more rarely: so often in the time that it has run. */
const looksInItsTime = 8;

export function newlyWatched(place: FleetPlace, isNew: boolean, nowMs: number): Watched {
  return { place, sinceMs: nowMs, nextLookMs: nowMs, isUnderWay: false, isNew, stray: null, failures: 0 };
}

type Looked = Extract<AttemptState['state'], 'runs' | 'cancelling' | 'stray' | 'unclear'>;

export function lookDelayMs(state: Looked, watchedForMs: number): number {
  if (state === 'unclear') return soonestLookMs;
  const longestMs = state === 'runs' ? longestLookMs : cancelLookMs;
  return Math.min(longestMs, Math.max(soonestLookMs, watchedForMs / looksInItsTime));
}

export function failureDelayMs(failures: number): number {
  return Math.min(longestLookMs, soonestLookMs * 2 ** Math.min(10, failures));
}
