// How what grows by a small piece per turn (the rollout, the sealed events) stays in few pieces: eight of one
// level become one of the next, so that n turns leave about 8 log₈ n pieces and each byte is rewritten log₈ n times.

const fanout = 8;

/** A piece that will not be merged again: it is large enough. */
export const finalLevel = 9;

/** How many pieces at the end are to be merged with one of level 0 that comes now; 0: none. */
export function piecesToMerge(levels: readonly number[]): number {
  let merged = 0;
  for (let level = 0; level < finalLevel; level += 1) {
    let run = 0;
    while (levels[levels.length - 1 - merged - run] === level) run += 1;
    // The piece that comes, or what the level below became, is one more of this level.
    if (run + 1 < fanout) break;
    merged += run;
  }
  return merged;
}

/** The level of what these pieces and the one that comes become. */
export function mergedLevel(levels: readonly number[]): number {
  return levels.length === 0 ? 0 : Math.min(finalLevel, Math.max(...levels) + 1);
}

/** How many pieces at the end are together no larger than that. */
export function piecesWithin(sizes: readonly number[], most: number): number {
  let bytes = 0;
  for (let count = 0; count < sizes.length; count += 1) {
    bytes += sizes[sizes.length - 1 - count] ?? 0;
    if (bytes > most) return count;
  }
  return sizes.length;
}
