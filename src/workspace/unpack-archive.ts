// Unpacks a stranger's archive into an empty directory that nobody else sees. Whatever could reach out of
// it, or is more than an archive may hold, is refused with `archive_refused`; the caller clears the directory.

import { close, fchmod, mkdirSync, symlinkSync, unlinkSync, write } from 'node:fs';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { constants, createGunzip, createZstdDecompress } from 'node:zlib';
import { isServiceError } from '../core/errors.ts';
import { maxPathBytes, pathProblem } from '../core/workspace-path.ts';
import { writeError } from './file-errors.ts';
import type { OpenDirectory } from './open-directory.ts';
import type { ArchiveFormat } from './pack-archive.ts';
import { makeDirectories } from './reach.ts';
import { readTar, refused, type TarEntry } from './tar-reader.ts';

export type ArchiveLimits = {
  readonly entries: number;
  /** Unpacked, with the headers. */
  readonly bytes: number;
  readonly fileBytes: number;
  readonly depth: number;
  /** Unpacked to packed, once more than the first MiB is unpacked. */
  readonly ratio: number;
};

export const defaultArchiveLimits: ArchiveLimits = {
  entries: 500_000,
  bytes: 2 * 1024 * 1024 * 1024,
  fileBytes: 256 * 1024 * 1024,
  depth: 64,
  ratio: 100,
};

export type Unpacked = { readonly files: number; readonly bytes: number };

const unmeasuredBytes = 1024 * 1024;
/** What zstd may keep of what it has unpacked: 32 MiB. */
const windowLogMax = 25;

const closeFd = promisify(close);
const chmodFd = promisify(fchmod);
const writeFd = promisify(write);

export async function unpackArchive(
  content: AsyncIterable<Uint8Array>,
  format: ArchiveFormat,
  root: string,
  limits: ArchiveLimits = defaultArchiveLimits,
): Promise<Unpacked> {
  let entries = 0;
  let files = 0;
  let bytes = 0;
  for await (const entry of readTar(decompressed(content, format, limits))) {
    entries += 1;
    if (entries > limits.entries) throw refused(null, `holds more than ${limits.entries} entries`);
    const names = namesOf(entry, limits);
    if (names.length === 0) continue;
    if (entry.kind !== 'file' && entry.kind !== 'directory' && entry.kind !== 'symlink') {
      throw refused(entry.name, `is a ${entry.kind}, which no archive here may hold`);
    }
    if (entry.kind === 'symlink') assertStaysInside(entry, names.length - 1);
    if (entry.size > limits.fileBytes) throw refused(entry.name, `has more than ${limits.fileBytes} bytes`);
    try {
      await unpackEntry(root, entry, names);
    } catch (error) {
      throw isServiceError(error) ? error : unpackError(error, entry.name);
    }
    if (entry.kind !== 'directory') files += 1;
    bytes += entry.size;
  }
  return { files, bytes };
}

/** Without the `./` that tar puts in front, and the / behind directories. None: the root itself. */
function namesOf({ name, kind }: TarEntry, limits: ArchiveLimits): readonly string[] {
  let path = name;
  while (path.startsWith('./')) path = path.slice(2);
  if (kind === 'directory') path = path.endsWith('/') ? path.slice(0, -1) : path;
  if (path === '' || path === '.') {
    if (kind === 'directory') return [];
    throw refused(name, 'has no name');
  }
  const problem = pathProblem(path);
  if (problem !== null) throw refused(name, `has a path that ${problem}`);
  const names = path.split('/');
  if (names.length > limits.depth) throw refused(name, `lies deeper than ${limits.depth} directories`);
  return names;
}

/**
 * `..` only in front, and no more of them than there are directories above: directories of an archive are
 * never links here, so this stays inside whatever other links do.
 */
function assertStaysInside({ name, linkName }: TarEntry, depth: number): void {
  const steps = linkName.split('/');
  const climbs = steps.findIndex((step) => step !== '..');
  const rest = climbs === -1 ? [] : steps.slice(climbs);
  const up = steps.length - rest.length;
  if (linkName === '' || linkName.includes('\0') || Buffer.byteLength(linkName) > maxPathBytes) {
    throw refused(name, 'is a link to what is no path');
  }
  if (linkName.startsWith('/') || up > depth || rest.includes('..')) {
    throw refused(name, 'is a link that leads, or may lead, out of the archive');
  }
}

async function unpackEntry(root: string, entry: TarEntry, names: readonly string[]): Promise<void> {
  const isDirectory = entry.kind === 'directory';
  const name = names.at(-1) ?? '';
  const directory = makeDirectories(root, names.slice(0, -1).join('/'), []);
  try {
    const there = directory.stat(name);
    if (isDirectory) {
      if (there === null) mkdirSync(directory.at(name), 0o755);
      else if (!there.isDirectory()) throw refused(entry.name, 'stands where the archive has something else');
      return;
    }
    // The last of several files of one name counts, as with every tar; links are never written over or through.
    if (there !== null) {
      if (!there.isFile() || entry.kind !== 'file') {
        throw refused(entry.name, 'stands where the archive has something else');
      }
      unlinkSync(directory.at(name));
    }
    if (entry.kind === 'symlink') symlinkSync(entry.linkName, directory.at(name));
    else await unpackFile(directory, name, entry);
  } finally {
    directory.close();
  }
}

async function unpackFile(directory: OpenDirectory, name: string, entry: TarEntry): Promise<void> {
  const fd = directory.createFile(name, 0o644);
  try {
    for await (const piece of entry.content) {
      for (let done = 0; done < piece.length; ) {
        done += (await writeFd(fd, piece, done, piece.length - done)).bytesWritten;
      }
    }
    // Of the mode, only whether it can be run: no setuid, and nothing that its owner cannot read.
    if ((entry.mode & 0o100) !== 0) await chmodFd(fd, 0o755);
  } finally {
    await closeFd(fd);
  }
}

function unpackError(error: unknown, name: string): unknown {
  const known = writeError(error, name);
  return isServiceError(known, 'file_exists') ? refused(name, 'goes through a link or a file', error) : known;
}

/** Ends with the content; stops where the limits do. */
async function* decompressed(
  content: AsyncIterable<Uint8Array>,
  format: ArchiveFormat,
  limits: ArchiveLimits,
): AsyncGenerator<Uint8Array> {
  let packedBytes = 0;
  let bytes = 0;
  let isContentBroken = false;
  async function* counted(): AsyncGenerator<Uint8Array> {
    try {
      for await (const piece of content) {
        packedBytes += piece.length;
        yield piece;
      }
    } catch (error) {
      isContentBroken = true;
      throw error;
    }
  }
  const source = Readable.from(counted());
  const decompressor =
    format === 'tar.gz'
      ? createGunzip()
      : createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: windowLogMax } });
  source.on('error', (error) => decompressor.destroy(error));
  source.pipe(decompressor);
  try {
    for await (const piece of decompressor as AsyncIterable<Buffer>) {
      bytes += piece.length;
      if (bytes > limits.bytes) throw refused(null, `holds more than ${limits.bytes} bytes`);
      if (bytes > unmeasuredBytes && bytes > limits.ratio * packedBytes) {
        throw refused(null, `unpacks to more than ${limits.ratio} times its size`);
      }
      yield piece;
    }
  } catch (error) {
    throw isContentBroken || isServiceError(error)
      ? error
      : refused(null, 'is damaged, cut short or packed in another way', error);
  } finally {
    source.destroy();
    decompressor.destroy();
  }
}
