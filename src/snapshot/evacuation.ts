// Which packs have become so empty that what is left in them had better lie elsewhere. Their files are read
// again from the workspace with the next capture; the packs then go when no kept snapshot needs them.

import type { PackEntry } from './manifest.ts';

/** So many objects may hold little of files' content: each also pins whatever else lies in it. */
const maxSmallPacks = 64;

export function packsToEvacuate(packs: readonly PackEntry[], packBytes: number): readonly number[] {
  const holding = packs.filter((pack) => pack.liveBytes > 0).sort((left, right) => left.liveBytes - right.liveBytes);
  const live = holding.reduce((sum, pack) => sum + pack.liveBytes, 0);
  const stored = holding.reduce((sum, pack) => sum + pack.fileBytes, 0);
  const sparse = stored > 2 * live + packBytes ? holding.filter((pack) => pack.liveBytes < pack.fileBytes / 2) : [];
  const small = holding.filter((pack) => pack.liveBytes < packBytes / 4);
  const scattered = small.length > maxSmallPacks ? small.slice(0, small.length - maxSmallPacks / 2) : [];
  const chosen: number[] = [];
  let bytes = 0;
  for (const pack of new Set([...sparse, ...scattered])) {
    // One turn does not pay for all of them.
    bytes += pack.liveBytes;
    if (chosen.length > 0 && bytes > 4 * packBytes) break;
    chosen.push(pack.id);
  }
  return chosen;
}
