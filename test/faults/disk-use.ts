// How much of a disk a directory takes, while others write in it.

import { lstat, readdir } from 'node:fs/promises';
import path from 'node:path';

/** KiB of blocks; what goes away meanwhile does not count. */
export async function diskUse(directory: string): Promise<number> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  const sizes = await Promise.all(
    entries.map(async (entry) => {
      const file = path.join(directory, entry.name);
      if (entry.isDirectory()) return await diskUse(file);
      return ((await lstat(file).catch(() => null))?.blocks ?? 0) / 2;
    }),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}
