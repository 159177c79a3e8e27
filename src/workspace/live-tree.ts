// The tree of a live directory, in an agent's hands while we look: every name is reached from a directory
// that is held, no link is followed. A file's hash and its content belong together, or the stream fails.

import { close, fstatSync, read, type Stats } from 'node:fs';
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { ServiceError } from '../core/errors.ts';
import { maxPathBytes } from '../core/workspace-path.ts';
import { fileNotFound } from './file-errors.ts';
import { isGone, NotRegularFile, OpenDirectory } from './open-directory.ts';
import { isForbidden, reachDirectory, reachPlace } from './reach.ts';
import {
  Breather,
  compareKeys,
  type Extent,
  joinPath,
  plausibleTime,
  sortKey,
  type Tree,
  type TreeEntry,
  type TreeFile,
} from './tree.ts';

/** Up to this a file is read at once: it cannot change between the hash and the answer. */
const wholeBytes = 8 * 1024 * 1024;
const chunkBytes = 256 * 1024;
/** A descriptor is held for each level on the way down; what lies deeper is not listed. */
const maxDepth = 256;

const readFd = promisify(read);
const closeFd = promisify(close);

export class LiveTree implements Tree {
  readonly #root: string;

  /** The way to `root` is trusted. */
  constructor(root: string) {
    this.#root = root;
  }

  async stat(path: string): Promise<TreeEntry | null> {
    if (path === '') return directoryEntry(this.#root);
    const place = reachPlace(this.#root, path);
    try {
      return place === null ? null : entryAt(place.directory, place.name, path);
    } finally {
      place?.directory.close();
    }
  }

  async *entries(
    path: string,
    { recursive, after }: { readonly recursive: boolean; readonly after: string | null },
  ): AsyncGenerator<TreeEntry> {
    const directory = reachDirectory(this.#root, path);
    if (directory === null) throw fileNotFound(path);
    const afterKey = after === null ? null : sortKey(after);
    yield* walk({ directory, path, depth: 0 }, recursive, afterKey, new Breather());
  }

  async read(path: string, extent: Extent | null): Promise<TreeFile> {
    const fd = this.#open(path);
    if (fd === null) throw fileNotFound(path);
    const stats = fstatSync(fd);
    if (stats.size > wholeBytes) return readLarge(fd, path, stats, extent);
    const bytes = await readSmall(fd, stats.size);
    const { offset, length } = clamped(extent, bytes.length);
    return {
      entry: fileEntry(path, stats, bytes.length),
      sha256: createHash('sha256').update(bytes).digest('hex'),
      content: onePiece(bytes.subarray(offset, offset + length)),
    };
  }

  async head(path: string, most: number): Promise<Uint8Array | null> {
    const fd = this.#open(path);
    if (fd === null) return null;
    try {
      return await readUpTo(fd, Math.min(most, fstatSync(fd).size));
    } finally {
      await closeFd(fd);
    }
  }

  async sha256(path: string): Promise<string | null> {
    const fd = this.#open(path);
    if (fd === null) return null;
    try {
      return (await hashOf(fd, fstatSync(fd).size)).sha256;
    } finally {
      await closeFd(fd);
    }
  }

  #open(path: string): number | null {
    const place = reachPlace(this.#root, path);
    if (place === null) return null;
    try {
      return place.directory.openFile(place.name);
    } catch (error) {
      if (isGone(error) || isForbidden(error) || error instanceof NotRegularFile) return null;
      throw error;
    } finally {
      place.directory.close();
    }
  }
}

type Level = { readonly directory: OpenDirectory; readonly path: string; readonly depth: number };

/** Closes the directory. A directory `a` comes before its neighbour `a-b`, and that before `a/b`: such is byte order. */
async function* walk(
  level: Level,
  recursive: boolean,
  afterKey: string | null,
  breather: Breather,
): AsyncGenerator<TreeEntry> {
  const { directory, path, depth } = level;
  try {
    for (const step of stepsOf(level, recursive, afterKey)) {
      await breather.step();
      const below = joinPath(path, step.name);
      if (!step.isWayDown) {
        const entry = entryAt(directory, step.name, below);
        if (entry !== null) yield entry;
      } else if (depth < maxDepth && entryAt(directory, step.name, below)?.kind === 'directory') {
        const next = openBelow(directory, step.name);
        if (next !== null) {
          yield* walk({ directory: next, path: below, depth: depth + 1 }, true, afterKey, breather);
        }
      }
    }
  } finally {
    directory.close();
  }
}

type Step = { readonly name: string; readonly isWayDown: boolean };

/** Each name as itself and, where it may be a directory, as what is below it. */
function stepsOf({ directory, path }: Level, recursive: boolean, afterKey: string | null): Iterable<Step> {
  const steps: { readonly key: string; readonly step: Step }[] = [];
  for (const name of directory.names()) {
    if (typeof name !== 'string') continue;
    const below = joinPath(path, name);
    const key = sortKey(below);
    if (key.length > maxPathBytes) continue;
    if (afterKey === null || key > afterKey) steps.push({ key, step: { name, isWayDown: false } });
    const wayDown = `${key}/`;
    if (recursive && (afterKey === null || wayDown > afterKey || afterKey.startsWith(wayDown))) {
      steps.push({ key: wayDown, step: { name, isWayDown: true } });
    }
  }
  return steps.sort((a, b) => compareKeys(a.key, b.key)).map(({ step }) => step);
}

function openBelow(directory: OpenDirectory, name: string): OpenDirectory | null {
  try {
    return directory.openDirectory(name);
  } catch (error) {
    if (isGone(error) || isForbidden(error)) return null;
    throw error;
  }
}

function entryAt(directory: OpenDirectory, name: string, path: string): TreeEntry | null {
  const stats = statOf(directory, name);
  if (stats === null) return null;
  if (stats.isFile()) return fileEntry(path, stats, stats.size);
  const kind = stats.isDirectory() ? 'directory' : stats.isSymbolicLink() ? 'symlink' : 'special';
  const target = kind === 'symlink' ? linkTarget(directory, name) : null;
  return { path, kind, size: 0, modifiedAt: plausibleTime(stats.mtimeMs), isExecutable: false, target };
}

function statOf(directory: OpenDirectory, name: string): Stats | null {
  try {
    return directory.stat(name);
  } catch (error) {
    if (isGone(error) || isForbidden(error)) return null;
    throw error;
  }
}

function linkTarget(directory: OpenDirectory, name: string): string {
  try {
    return directory.readLink(name) ?? '';
  } catch {
    // Not a link any more.
    return '';
  }
}

function fileEntry(path: string, stats: Stats, size: number): TreeEntry {
  const isExecutable = (stats.mode & 0o100) !== 0;
  return { path, kind: 'file', size, modifiedAt: plausibleTime(stats.mtimeMs), isExecutable, target: null };
}

function directoryEntry(root: string): TreeEntry {
  const directory = OpenDirectory.openRoot(root);
  try {
    const modifiedAt = plausibleTime(directory.statSelf().mtimeMs);
    return { path: '', kind: 'directory', size: 0, modifiedAt, isExecutable: false, target: null };
  } finally {
    directory.close();
  }
}

async function readUpTo(fd: number, most: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(most);
  let length = 0;
  while (length < most) {
    const { bytesRead } = await readFd(fd, buffer, length, most - length, length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return buffer.subarray(0, length);
}

async function hashOf(fd: number, size: number): Promise<{ readonly sha256: string; readonly bytes: number }> {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(chunkBytes);
  let bytes = 0;
  while (bytes < size) {
    const { bytesRead } = await readFd(fd, buffer, 0, Math.min(chunkBytes, size - bytes), bytes);
    if (bytesRead === 0) break;
    hash.update(buffer.subarray(0, bytesRead));
    bytes += bytesRead;
  }
  return { sha256: hash.digest('hex'), bytes };
}

/** Takes the descriptor over. */
async function readSmall(fd: number, size: number): Promise<Buffer> {
  try {
    return await readUpTo(fd, size);
  } finally {
    await closeFd(fd);
  }
}

/** Takes the descriptor over. */
async function readLarge(fd: number, path: string, stats: Stats, extent: Extent | null): Promise<TreeFile> {
  try {
    const { sha256, bytes } = await hashOf(fd, stats.size);
    if (bytes !== stats.size || hasChanged(fd, stats)) throw changed(path);
    const range = clamped(extent, stats.size);
    const content = new FileStream(fd, path, stats, range, extent === null ? sha256 : null);
    return { entry: fileEntry(path, stats, stats.size), sha256, content };
  } catch (error) {
    await closeFd(fd);
    throw error;
  }
}

/** Owns the descriptor: closed at the end, at an error, at `return`. */
class FileStream implements AsyncIterableIterator<Uint8Array> {
  readonly #fd: number;
  readonly #path: string;
  readonly #stats: Stats;
  readonly #hash = createHash('sha256');
  /** Of the whole, when the whole is read: what the clock of the file system is too coarse to tell shows here. */
  readonly #sha256: string | null;
  readonly #end: number;
  #position: number;
  #isOpen = true;

  constructor(fd: number, path: string, stats: Stats, { offset, length }: Extent, sha256: string | null) {
    this.#fd = fd;
    this.#path = path;
    this.#stats = stats;
    this.#sha256 = sha256;
    this.#position = offset;
    this.#end = offset + length;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    if (!this.#isOpen) return { done: true, value: undefined };
    try {
      if (this.#position >= this.#end) return await this.return();
      const piece = Buffer.allocUnsafe(Math.min(chunkBytes, this.#end - this.#position));
      const { bytesRead } = await readFd(this.#fd, piece, 0, piece.length, this.#position);
      if (bytesRead < piece.length || hasChanged(this.#fd, this.#stats)) throw changed(this.#path);
      this.#position += bytesRead;
      if (this.#sha256 !== null) {
        this.#hash.update(piece);
        // Before the last piece goes out, so that nobody holds a whole file that never was.
        if (this.#position === this.#end && this.#hash.digest('hex') !== this.#sha256) throw changed(this.#path);
      }
      return { done: false, value: piece };
    } catch (error) {
      await this.return();
      throw error;
    }
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    if (this.#isOpen) {
      this.#isOpen = false;
      await closeFd(this.#fd);
    }
    return { done: true, value: undefined };
  }
}

function hasChanged(fd: number, before: Stats): boolean {
  const now = fstatSync(fd);
  return now.size !== before.size || now.mtimeMs !== before.mtimeMs;
}

function changed(path: string): ServiceError {
  return new ServiceError(
    'store_conflict',
    { path },
    { message: 'The file changed while it was read; read it again.' },
  );
}

function clamped(extent: Extent | null, size: number): Extent {
  if (extent === null) return { offset: 0, length: size };
  const offset = Math.min(extent.offset, size);
  return { offset, length: Math.min(extent.length, size - offset) };
}

async function* onePiece(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes;
}
