// A directory held open, from which names are reached one at a time (openat, by way of /proc/self/fd): who
// writes in it meanwhile cannot lead us elsewhere by putting a link where a directory was. Synchronous;
// what is to be made of what is found is for others.

import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  lstatSync,
  opendirSync,
  openSync,
  readlinkSync,
  type Stats,
} from 'node:fs';

/** A string when it is UTF-8, otherwise the bytes. */
export type EntryName = string | Buffer;

const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_NOCTTY } = constants;
const directoryFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
/** Without O_NONBLOCK, opening a FIFO would wait for somebody to write to it. */
const fileFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;

/** What was opened as a file is something else: a FIFO, a device, a directory. */
export class NotRegularFile extends Error {
  constructor() {
    super('not a regular file');
    this.name = 'NotRegularFile';
  }
}

export class OpenDirectory {
  readonly #fd: number;
  readonly #prefix: string;
  #isOpen = true;

  private constructor(fd: number) {
    this.#fd = fd;
    this.#prefix = `/proc/self/fd/${fd}/`;
  }

  /** The way to `path` is trusted; the directory itself must not be a link. Throws as openSync does. */
  static openRoot(path: string): OpenDirectory {
    return new OpenDirectory(openSync(path, directoryFlags));
  }

  /** In no order, without `.` and `..`, and no more than `most`: nobody knows how many there are. */
  names(most = Number.POSITIVE_INFINITY): readonly EntryName[] {
    const names = this.#list('utf8', most) as string[];
    // Node decodes what is not UTF-8 to U+FFFD, which a name may also hold by right.
    if (!names.some((name) => name.includes('\uFFFD'))) return names;
    return (this.#list('buffer', most) as Buffer[]).map((bytes) => decoded(bytes) ?? bytes);
  }

  /** Of the entry itself, never of what a link leads to; null when there is none. */
  stat(name: EntryName): Stats | null {
    return lstatSync(this.at(name), { throwIfNoEntry: false }) ?? null;
  }

  /** Of this directory. */
  statSelf(): Stats {
    return fstatSync(this.#fd);
  }

  /** Of this directory. */
  setMode(mode: number): void {
    fchmodSync(this.#fd, mode);
  }

  /** Throws ENOENT, ENOTDIR or ELOOP where no directory stands (see `isGone`), EACCES where we may not. */
  openDirectory(name: EntryName): OpenDirectory {
    return new OpenDirectory(openSync(this.at(name), directoryFlags));
  }

  /** For reading; the caller closes it. Throws as openDirectory does, and NotRegularFile. */
  openFile(name: EntryName): number {
    let fd: number;
    try {
      fd = openSync(this.at(name), fileFlags);
    } catch (error) {
      // A socket, or a device that nobody serves.
      throw (error as NodeJS.ErrnoException).code === 'ENXIO' ? new NotRegularFile() : error;
    }
    try {
      if (!fstatSync(fd).isFile()) throw new NotRegularFile();
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    return fd;
  }

  /** A new file to write to; the caller closes it. Throws EEXIST when anything has that name. */
  createFile(name: EntryName, mode: number): number {
    return openSync(this.at(name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
  }

  /** null when its text is not UTF-8. Throws ENOENT, and EINVAL for what is not a link. */
  readLink(name: EntryName): string | null {
    return decoded(readlinkSync(this.at(name), { encoding: 'buffer' }));
  }

  /**
   * A path for calls that this class has no method for (rename, unlink, mkdir, symlink): good while the
   * directory is open, and only for calls that do not follow a link in the last place.
   */
  at(name: EntryName): string | Buffer {
    if (!this.#isOpen) throw new Error('the directory is closed');
    if (typeof name !== 'string') return Buffer.concat([Buffer.from(this.#prefix), name]);
    if (name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\0')) {
      throw new Error('not the name of an entry');
    }
    return this.#prefix + name;
  }

  /** Twice is harmless: the descriptor may be another's by then. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    closeSync(this.#fd);
  }

  #list(encoding: 'utf8' | 'buffer', most: number): (string | Buffer)[] {
    const names: (string | Buffer)[] = [];
    // Node knows this encoding here, its types do not.
    const listing = opendirSync(this.#prefix, { encoding: encoding as BufferEncoding, bufferSize: 1024 });
    try {
      for (let entry = listing.readSync(); entry !== null && names.length < most; entry = listing.readSync()) {
        names.push(entry.name);
      }
    } finally {
      listing.closeSync();
    }
    return names;
  }
}

/** null when it is not UTF-8. */
function decoded(bytes: Buffer): string | null {
  const text = bytes.toString('utf8');
  return Buffer.from(text).equals(bytes) ? text : null;
}

/** What was looked for is not there, or not what it was: it went while we looked, or a link stands there. */
export function isGone(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  return code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP';
}
