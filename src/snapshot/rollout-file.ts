// A session's rollout on disk, which the agent can write: reached without following anything, read piece
// by piece, hashed. What is in its lines is not known here.

import { closeSync, fstatSync, readSync } from 'node:fs';
import { createHash, type Hash } from 'node:crypto';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { ServiceError } from '../core/errors.ts';
import { NotRegularFile, OpenDirectory } from '../workspace/open-directory.ts';

/** What is known to be in a file up to a place. */
export type RolloutMark = {
  readonly inode: number;
  readonly bytes: number;
  readonly sha256: string;
  readonly hash: Hash;
};

/** Read and hashed at once: a fraction of a millisecond. */
const pieceBytes = 256 * 1024;

export class RolloutFile {
  readonly #fd: number;
  readonly inode: number;
  /** As it was when it was opened. */
  readonly bytes: number;

  private constructor(fd: number) {
    this.#fd = fd;
    const { ino, size } = fstatSync(fd);
    this.inode = ino;
    this.bytes = size;
  }

  /**
   * `relativePath` begins with the name of `sessions`. The agent can replace both that directory and the one
   * it stands in, so neither may be a link. Throws `session_corrupt` when there is no such file, or it is empty.
   */
  static open(sessions: string, relativePath: string): RolloutFile {
    const home = path.dirname(sessions);
    const names = [path.basename(home), path.basename(sessions), ...relativePath.split('/').slice(1)];
    const file = names.pop() ?? '';
    let directory: OpenDirectory | null = null;
    try {
      directory = OpenDirectory.openRoot(path.dirname(home));
      for (const name of names) {
        const inner: OpenDirectory = directory.openDirectory(name);
        directory.close();
        directory = inner;
      }
      const rollout = new RolloutFile(directory.openFile(file));
      if (rollout.bytes > 0) return rollout;
      rollout.close();
      throw new ServiceError('session_corrupt', { part: 'rollout', problem: 'it is empty' });
    } catch (error) {
      throw asCorrupt(error);
    } finally {
      directory?.close();
    }
  }

  /** Fewer than asked for when the file has been cut. */
  async read(start: number, end: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(end - start);
    let filled = 0;
    while (filled < bytes.length) {
      const read = readSync(this.#fd, bytes, filled, Math.min(pieceBytes, bytes.length - filled), start + filled);
      if (read === 0) break;
      filled += read;
      if (filled < bytes.length) await setImmediate();
    }
    return bytes.subarray(0, filled);
  }

  /** Of the first so many bytes. */
  async mark(bytes: number): Promise<RolloutMark> {
    const hash = createHash('sha256');
    for (let start = 0; start < bytes; start += pieceBytes) {
      hash.update(await this.read(start, Math.min(bytes, start + pieceBytes)));
      if (start + pieceBytes < bytes) await setImmediate();
    }
    return { inode: this.inode, bytes, sha256: hash.copy().digest('hex'), hash };
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** What follows from more bytes behind what was known. */
export function markAfter(mark: RolloutMark, tail: Uint8Array): RolloutMark {
  const hash = mark.hash.copy().update(tail);
  return { inode: mark.inode, bytes: mark.bytes + tail.length, sha256: hash.copy().digest('hex'), hash };
}

function asCorrupt(error: unknown): unknown {
  if (error instanceof ServiceError) return error;
  const { code } = error as NodeJS.ErrnoException;
  const isMissing = code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP' || code === 'EACCES';
  if (!isMissing && !(error instanceof NotRegularFile)) {
    return new ServiceError('store_unavailable', { problem: 'the rollout cannot be read' }, { cause: error });
  }
  const problem = code === 'ENOENT' ? 'it is missing' : 'something else stands in its place';
  return new ServiceError('session_corrupt', { part: 'rollout', problem }, { cause: error });
}
