// A disk of a few megabytes in the place of a directory: a tmpfs, so it takes the right to mount one.

import { execFileSync } from 'node:child_process';

/** `size` as mount takes it, with further options behind it. Answers how to unmount it; null where this user may not mount. */
export function mountTinyDisk(directory: string, size: string): (() => void) | null {
  try {
    execFileSync('/bin/mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', directory], { stdio: 'ignore' });
  } catch {
    return null;
  }
  // Lazily: an open file somewhere must not keep a test from ending.
  return () => void execFileSync('/bin/umount', ['-l', directory]);
}
