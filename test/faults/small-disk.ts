// A disk of a few megabytes that can be filled to the last byte and emptied again: a tmpfs, so it takes the
// right to mount one.

import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmdirSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';

const pieceBytes = 4096;

export class SmallDisk {
  readonly dataDir: string;
  readonly #filler: string;

  private constructor(mountPoint: string) {
    this.dataDir = path.join(mountPoint, 'data');
    this.#filler = path.join(mountPoint, 'filler');
  }

  /** null where this user may not mount. Unmounted with the test, when nothing uses it any more. */
  static mount(t: TestContext, megabytes: number): SmallDisk | null {
    const mountPoint = mkdtempSync(path.join(tmpdir(), 'fleet-disk-'));
    try {
      execFileSync('/usr/bin/mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=0700`, 'tmpfs', mountPoint], {
        stdio: 'pipe',
      });
    } catch {
      rmdirSync(mountPoint);
      return null;
    }
    t.after(() => {
      // Lazily: an open file somewhere must not keep the test from ending.
      execFileSync('/usr/bin/umount', ['-l', mountPoint]);
      rmdirSync(mountPoint);
    });
    return new SmallDisk(mountPoint);
  }

  /** Not a byte is left. */
  fill(): void {
    const file = openSync(this.#filler, 'a');
    try {
      for (let size = pieceBytes; size >= 1; size = Math.floor(size / 2)) {
        const piece = Buffer.alloc(size, 1);
        while (writesAll(file, piece));
      }
    } finally {
      closeSync(file);
    }
  }

  empty(): void {
    rmSync(this.#filler, { force: true });
  }
}

function writesAll(file: number, piece: Buffer): boolean {
  try {
    return writeSync(file, piece) === piece.length;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return false;
    throw error;
  }
}
