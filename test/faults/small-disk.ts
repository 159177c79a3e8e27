// A disk of a few megabytes that can be filled to the last byte and emptied again: a tmpfs, so it takes the
// right to mount one.

import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { mountTinyDisk } from '../../src/testing/tiny-disk.ts';

const pieceBytes = 4096;

export class SmallDisk {
  readonly dataDir: string;
  /** On a disk that is not small. */
  readonly beside: string;
  readonly #filler: string;

  private constructor(mountPoint: string) {
    this.dataDir = path.join(mountPoint, 'data');
    this.beside = path.dirname(mountPoint);
    this.#filler = path.join(mountPoint, 'filler');
  }

  /** null where this user may not mount. Unmounted with the test, when nothing uses it any more. */
  static mount(t: TestContext, megabytes: number): SmallDisk | null {
    const beside = mkdtempSync(path.join(tmpdir(), 'fleet-disk-'));
    const mountPoint = path.join(beside, 'disk');
    mkdirSync(mountPoint);
    const unmount = mountTinyDisk(mountPoint, `${megabytes}m,mode=0700`);
    if (unmount === null) {
      rmSync(beside, { recursive: true });
      return null;
    }
    t.after(() => {
      unmount();
      rmSync(beside, { recursive: true });
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
