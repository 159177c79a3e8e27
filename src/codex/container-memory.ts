// What the container holds of memory against its limit, as its control group counts it. null where there is no limit,
// or none that can be read.

import { readFileSync } from 'node:fs';

export type ContainerMemory = {
  /** What the kernel cannot take back by itself: without the cache of files, and of their names. */
  readonly usedBytes: number;
  readonly limitBytes: number;
};

type Files = {
  readonly limit: string;
  readonly current: string;
  readonly stat: string;
  readonly cache: readonly [string, string];
  /** Names and places of files that were looked at: much of it after a walk through a large tree. */
  readonly names?: string;
};

/** The second version of control groups, and the first: where a container sees its own. */
const versions: readonly Files[] = [
  {
    limit: '/sys/fs/cgroup/memory.max',
    current: '/sys/fs/cgroup/memory.current',
    stat: '/sys/fs/cgroup/memory.stat',
    cache: ['file', 'shmem'],
    names: 'slab_reclaimable',
  },
  {
    limit: '/sys/fs/cgroup/memory/memory.limit_in_bytes',
    current: '/sys/fs/cgroup/memory/memory.usage_in_bytes',
    stat: '/sys/fs/cgroup/memory/memory.stat',
    cache: ['cache', 'shmem'],
  },
];
/** What the first version says for no limit is beyond any machine. */
const noLimitBytes = 2 ** 60;
/** Below this share there is nothing to look at more closely. */
const lookCloserShare = 0.75;

export function readContainerMemory(read: (file: string) => string | null = readOrNull): ContainerMemory | null {
  for (const files of versions) {
    const limitBytes = Number(read(files.limit) ?? Number.NaN);
    const currentBytes = Number(read(files.current) ?? Number.NaN);
    if (!Number.isFinite(currentBytes) || !Number.isFinite(limitBytes) || limitBytes >= noLimitBytes) continue;
    if (currentBytes < limitBytes * lookCloserShare) return { usedBytes: currentBytes, limitBytes };
    const stat = read(files.stat) ?? '';
    const said = (name: string | undefined): number =>
      name === undefined ? 0 : Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(stat)?.[1] ?? 0);
    const [cache, shared] = files.cache;
    // Shared memory and files in memory count as cache there, and go away by nothing but their end.
    const takenBackBytes = Math.max(0, said(cache) - said(shared)) + said(files.names);
    return { usedBytes: currentBytes - takenBackBytes, limitBytes };
  }
  return null;
}

function readOrNull(file: string): string | null {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return null;
  }
}
