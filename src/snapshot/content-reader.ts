// Reads a file's content for the capture thread: into the pack if it is new, without keeping it if these
// bytes are stored already. The hash is of the bytes that were read, whatever others write meanwhile.

import { createHash } from 'node:crypto';
import { closeSync, fstatSync, readSync, type Stats } from 'node:fs';
import { ServiceError } from '../core/errors.ts';
import { NotRegularFile, type OpenDirectory } from '../workspace/open-directory.ts';
import { sha256Of } from './manifest.ts';
import type { PackWriter } from './pack-writer.ts';
import type { Chunk } from './tree.ts';

export type ContentReaderOptions = {
  readonly writer: PackWriter;
  /** A file larger than this is stored in chunks of this size. */
  readonly packBytes: number;
  /** A file that has grown past this fits no snapshot. */
  readonly maxBytes: number;
  readonly breathe: () => Promise<void>;
  /** By hash: what the session's packs hold. Asked once, when something is read. */
  readonly storedChunks: () => Map<string, Chunk>;
};

export type Content = {
  readonly sha256: string;
  /** Bytes that were read. */
  readonly size: number;
  readonly chunks: readonly Chunk[];
  readonly stats: Stats;
  /** It did not change while it was read. */
  readonly isStable: boolean;
};

/** A file that somebody writes to all the time is kept as it was found at the last of these. */
const attempts = 3;

export class ContentReader {
  readonly #options: ContentReaderOptions;
  #stored: Map<string, Chunk> | null = null;

  constructor(options: ContentReaderOptions) {
    this.#options = options;
  }

  /** null when it is no regular file any more. Throws as openFile does. */
  async read(parent: OpenDirectory, name: string): Promise<Content | null> {
    let fd: number;
    try {
      fd = parent.openFile(name);
    } catch (error) {
      if (error instanceof NotRegularFile) return null;
      throw error;
    }
    try {
      return await this.#readOpen(fd);
    } finally {
      closeSync(fd);
    }
  }

  async #readOpen(fd: number): Promise<Content> {
    const { packBytes, writer } = this.#options;
    for (let attempt = 1; ; attempt += 1) {
      const stats = fstatSync(fd);
      // Once only: another reading would fill the packs with what nobody needs.
      if (stats.size > packBytes) return await this.#readChunks(fd, stats);
      const room = await writer.reserve(stats.size);
      const bytes = room.subarray(0, fill(fd, room, 0));
      const isStable = bytes.length === stats.size && isSame(stats, fstatSync(fd));
      if (!isStable && attempt < attempts) continue;
      const sha256 = sha256Of(bytes);
      const chunks = bytes.length === 0 ? [] : [this.#stow(bytes, sha256)];
      return { sha256, size: bytes.length, chunks, stats, isStable };
    }
  }

  async #readChunks(fd: number, before: Stats): Promise<Content> {
    const { packBytes, maxBytes, writer, breathe } = this.#options;
    const whole = createHash('sha256');
    const chunks: Chunk[] = [];
    let size = 0;
    for (;;) {
      const room = await writer.reserve(packBytes);
      const bytes = room.subarray(0, fill(fd, room, size));
      if (bytes.length === 0) break;
      size += bytes.length;
      if (size > maxBytes) throw new ServiceError('workspace_too_large', { bytes: size, limit: maxBytes });
      whole.update(bytes);
      chunks.push(this.#stow(bytes, sha256Of(bytes)));
      if (bytes.length < packBytes) break;
      await breathe();
    }
    const isStable = size === before.size && isSame(before, fstatSync(fd));
    return { sha256: whole.digest('hex'), size, chunks, stats: before, isStable };
  }

  #stow(bytes: Buffer, sha256: string): Chunk {
    const stored = (this.#stored ??= this.#options.storedChunks());
    const known = stored.get(sha256);
    if (known !== undefined) return known;
    const chunk = { sha256, ...this.#options.writer.keep(bytes.length), length: bytes.length };
    stored.set(sha256, chunk);
    return chunk;
  }
}

/** Reads until the buffer is full or the file ends. */
function fill(fd: number, buffer: Buffer, position: number): number {
  let filled = 0;
  while (filled < buffer.length) {
    const read = readSync(fd, buffer, filled, buffer.length - filled, position + filled);
    if (read === 0) break;
    filled += read;
  }
  return filled;
}

function isSame(before: Stats, after: Stats): boolean {
  return before.size === after.size && before.mtimeMs === after.mtimeMs && before.ctimeMs === after.ctimeMs;
}
