// Removes what an agent left, also where it took away its own right to write: a directory of mode 0
// (or a module cache's 0555) stops a plain recursive remove, and so does one nested deeper than a path is long.

import { execFile } from 'node:child_process';
import { chmod, lstat, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export async function removeTree(dir: string): Promise<void> {
  try {
    await rm(dir, { recursive: true, force: true });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENAMETOOLONG') return await removeDeepTree(dir);
    if (code !== 'EACCES' && code !== 'EPERM') throw error;
    // What it cannot open is told by the second attempt.
    await openUp(dir).catch(() => undefined);
    await rm(dir, { recursive: true, force: true }).catch(() => removeDeepTree(dir));
  }
}

/** Node knows whole paths only; these two go from directory to directory and need none. */
async function removeDeepTree(dir: string): Promise<void> {
  await run('chmod', ['-R', 'u+rwx', '--', dir]).catch(() => undefined);
  await run('rm', ['-rf', '--', dir]);
}

async function openUp(dir: string): Promise<void> {
  // Never through a link: chmod would follow it out of the tree.
  if (!(await lstat(dir)).isDirectory()) return;
  await chmod(dir, 0o700);
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    if (entry.isDirectory()) await openUp(path.join(dir, entry.name));
  }
}
