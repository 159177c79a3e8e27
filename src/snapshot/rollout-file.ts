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
   * it stands in, so neither may be a link. Throws `session_corrupt` when there is no such file, or it is empty,
   * and `session_full` when it is larger than `maxBytes`, whether or not anything was written there.
   */
  static open(sessions: string, relativePath: string, maxBytes = Number.POSITIVE_INFINITY): RolloutFile {
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
      if (rollout.bytes > 0 && rollout.bytes <= maxBytes) return rollout;
      rollout.close();
      if (rollout.bytes === 0) throw new ServiceError('session_corrupt', { part: 'rollout', problem: 'it is empty' });
      throw new ServiceError('session_full', { rollout_bytes: rollout.bytes, limit_bytes: maxBytes });
    } catch (error) {
      throw asCorrupt(error);
    } finally {
      directory?.close();
    }
  }

  /** As far as the file goes, in small pieces; one buffer serves for all of them. */
  async *pieces(start: number, end: number): AsyncGenerator<Buffer, void, void> {
    const buffer = Buffer.allocUnsafe(Math.min(pieceBytes, end - start));
    for (let at = start; at < end; ) {
      const read = readSync(this.#fd, buffer, 0, Math.min(buffer.length, end - at), at);
      if (read === 0) return;
      at += read;
      yield buffer.subarray(0, read);
      if (at < end) await setImmediate();
    }
  }

  /** For as many bytes as may be held at once. Fewer than asked for when the file has been cut. */
  async read(start: number, end: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(end - start);
    let filled = 0;
    for await (const piece of this.pieces(start, end)) filled += piece.copy(bytes, filled);
    return bytes.subarray(0, filled);
  }

  /** Of the first so many bytes. */
  async mark(bytes: number): Promise<RolloutMark> {
    const hash = createHash('sha256');
    for await (const piece of this.pieces(0, bytes)) hash.update(piece);
    return markOf(this.inode, bytes, hash);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

export function markOf(inode: number, bytes: number, hash: Hash): RolloutMark {
  return { inode, bytes, sha256: hash.copy().digest('hex'), hash };
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
