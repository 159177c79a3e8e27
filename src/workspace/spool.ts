// A place beside the workspaces, on the same file system, that no cage sees: uploads come in here whole
// before anything of a session is touched, and what is removed goes out by here.

import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, renameSync, rmdirSync, unlinkSync } from 'node:fs';
import { mkdir, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { ServiceError } from '../core/errors.ts';
import { mintId } from '../core/ids.ts';
import { writeError } from './file-errors.ts';
import { isGone, OpenDirectory } from './open-directory.ts';
import { Breather } from './tree.ts';

export const maxFileBytes = 256 * 1024 * 1024;

export type SpooledFile = { readonly path: string; readonly sha256: string; readonly bytes: number };

export class Spool {
  readonly #root: string;

  private constructor(root: string) {
    this.#root = root;
  }

  /** What a process that died left here is removed. The directory is this one's alone. */
  static async open(root: string): Promise<Spool> {
    await mkdir(root, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(root)) await clearTree(root, name);
    return new Spool(root);
  }

  /** A name that nothing has yet. */
  fresh(): string {
    return join(this.#root, mintId());
  }

  makeDirectory(): string {
    const path = this.fresh();
    mkdirSync(path, { mode: 0o700 });
    return path;
  }

  /** Reads the content to its end, or leaves nothing. Rejects with `payload_too_large`, `storage_full`, and as the content does. */
  async take(
    content: AsyncIterable<Uint8Array>,
    isExecutable: boolean,
    limitBytes = maxFileBytes,
  ): Promise<SpooledFile> {
    const path = this.fresh();
    const hash = createHash('sha256');
    let bytes = 0;
    try {
      await using file = await open(path, 'wx', isExecutable ? 0o755 : 0o644);
      for await (const piece of content) {
        bytes += piece.length;
        if (bytes > limitBytes) throw new ServiceError('payload_too_large', { limit_bytes: limitBytes });
        hash.update(piece);
        for (let written = 0; written < piece.length; ) {
          written += (await file.write(piece, written, piece.length - written)).bytesWritten;
        }
      }
      await file.sync();
    } catch (error) {
      await unlink(path).catch(() => undefined);
      throw writeError(error, '');
    }
    return { path, sha256: hash.digest('hex'), bytes };
  }

  /** Whatever is there; nothing is harmless. */
  clear(path: string): Promise<void> {
    return clearTree(this.#root, path.slice(path.lastIndexOf('/') + 1));
  }
}

/**
 * Somebody may hold a directory of the tree and move things in it while we remove them, so nothing is
 * reached by more than one name: directories are brought up beside the tree, then emptied.
 */
async function clearTree(root: string, name: string): Promise<void> {
  const top = OpenDirectory.openRoot(root);
  try {
    const breather = new Breather();
    const names = [name];
    for (let next = names.pop(); next !== undefined; next = names.pop()) {
      const stats = top.stat(next);
      if (stats === null) continue;
      if (!stats.isDirectory()) {
        unlinkSync(top.at(next));
        continue;
      }
      const directory = top.openDirectory(next);
      try {
        for (const child of directory.names()) {
          await breather.step();
          if (directory.stat(child)?.isDirectory() === true) {
            const raised = mintId();
            renameSync(directory.at(child), top.at(raised));
            names.push(raised);
          } else unlinkIfThere(directory, child);
        }
      } finally {
        directory.close();
      }
      rmdirSync(top.at(next));
    }
  } finally {
    top.close();
  }
}

function unlinkIfThere(directory: OpenDirectory, name: string | Buffer): void {
  try {
    unlinkSync(directory.at(name));
  } catch (error) {
    if (!isGone(error)) throw error;
  }
}
