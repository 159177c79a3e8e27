// Reads a tar stream as a stranger's: every length is bounded before it is believed, names are UTF-8 or
// refused. A reader of our own: that of tar-stream keeps global headers of any number of keys
// and copies them for each entry. What an entry may be is decided in unpack-archive.ts.

import { ServiceError } from '../core/errors.ts';

const blockBytes = 512;
const maxHeaderBytes = 64 * 1024;
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export type TarKind = 'file' | 'directory' | 'symlink' | 'hard link' | 'device' | 'FIFO' | 'entry of an unknown type';

export type TarEntry = {
  readonly name: string;
  readonly kind: TarKind;
  readonly size: number;
  readonly mode: number;
  readonly linkName: string;
  /** What is not read of it is passed over. */
  readonly content: AsyncIterable<Uint8Array>;
};

export function refused(entry: string | null, problem: string, cause?: unknown): ServiceError {
  const shown = entry === null ? null : entry.slice(0, 256).toWellFormed();
  const message = shown === null ? `The archive ${problem}.` : `The archive is refused: ${shown} ${problem}.`;
  return new ServiceError(
    'archive_refused',
    { entry: shown, problem },
    { message, ...(cause === undefined ? {} : { cause }) },
  );
}

export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry> {
  const octets = new Octets(source);
  try {
    for (;;) {
      const entry = await nextEntry(octets);
      if (entry === null) return;
      yield entry;
      await octets.skipEntry();
    }
  } finally {
    await octets.close();
  }
}

type Overrides = { path: string | null; linkPath: string | null; size: number | null };

async function nextEntry(octets: Octets): Promise<TarEntry | null> {
  const overrides: Overrides = { path: null, linkPath: null, size: null };
  for (;;) {
    const block = await octets.exactly(blockBytes);
    if (block.every((octet) => octet === 0)) {
      await octets.assertOnlyZeros();
      return null;
    }
    assertChecksum(block);
    const type = String.fromCharCode(block[156] ?? 0);
    const size = numberAt(block, 124, 12);
    if (type === 'x' || type === 'g' || type === 'L' || type === 'K') {
      if (size > maxHeaderBytes) throw refused(null, `has a header of more than ${maxHeaderBytes} bytes`);
      const header = await octets.exactly(size);
      await octets.exactly(padding(size));
      takeHeader(type, header, overrides);
      continue;
    }
    const plainName = nameOf(block);
    const name = overrides.path ?? plainName;
    const kind = kindOf(type, name);
    const bytes = overrides.size ?? size;
    if (kind !== 'file' && bytes !== 0) throw refused(name, `is a ${kind} with content`);
    octets.beginEntry(bytes, padding(bytes));
    return {
      name,
      kind,
      size: bytes,
      mode: numberAt(block, 100, 8),
      linkName: overrides.linkPath ?? textAt(block, 157, 100),
      content: octets.content(),
    };
  }
}

function takeHeader(type: 'x' | 'g' | 'L' | 'K', header: Buffer, overrides: Overrides): void {
  if (type === 'L') overrides.path = textAt(header, 0, header.length);
  else if (type === 'K') overrides.linkPath = textAt(header, 0, header.length);
  else {
    for (const [key, bytes] of paxRecords(header)) {
      if (key.startsWith('GNU.sparse.')) throw refused(null, 'has a sparse file');
      if (key !== 'path' && key !== 'linkpath' && key !== 'size') continue;
      if (type === 'g') throw refused(null, `has a global header that sets ${key}`);
      const value = text(bytes);
      if (key === 'path') overrides.path = value;
      else if (key === 'linkpath') overrides.linkPath = value;
      else overrides.size = sizeOf(value);
    }
  }
}

/** `<length> <key>=<value>\n`, the length counting itself. */
function* paxRecords(header: Buffer): Generator<readonly [string, Uint8Array]> {
  let at = 0;
  while (at < header.length) {
    const space = header.indexOf(0x20, at);
    const length = space === -1 || space - at > 6 ? Number.NaN : Number(header.toString('latin1', at, space));
    const end = at + length;
    const isRecord =
      Number.isSafeInteger(length) && end > space + 1 && end <= header.length && header[end - 1] === 0x0a;
    const equals = isRecord ? header.indexOf(0x3d, space) : -1;
    if (equals === -1 || equals >= end) throw refused(null, 'has a header that cannot be read');
    yield [header.toString('latin1', space + 1, equals), header.subarray(equals + 1, end - 1)];
    at = end;
  }
}

function kindOf(type: string, name: string): TarKind {
  switch (type) {
    case '\0':
    case '0':
    case '7':
      // How tar said directory before there was a type for it.
      return name.endsWith('/') ? 'directory' : 'file';
    case '1':
      return 'hard link';
    case '2':
      return 'symlink';
    case '3':
    case '4':
      return 'device';
    case '5':
      return 'directory';
    case '6':
      return 'FIFO';
    default:
      return 'entry of an unknown type';
  }
}

function nameOf(block: Buffer): string {
  const name = textAt(block, 0, 100);
  const isUstar = block.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = isUstar ? textAt(block, 345, 155) : '';
  return prefix === '' ? name : `${prefix}/${name}`;
}

function assertChecksum(block: Buffer): void {
  let sum = 8 * 0x20;
  for (let index = 0; index < blockBytes; index += 1) {
    if (index < 148 || index >= 156) sum += block[index] ?? 0;
  }
  const said = /^ *([0-7]{1,7})[ \0]/.exec(block.toString('latin1', 148, 156))?.[1] ?? '';
  if (sum !== Number.parseInt(said, 8)) throw refused(null, 'is not a tar archive, or is damaged');
}

/** Octal, or binary with the first bit set. */
function numberAt(block: Buffer, offset: number, length: number): number {
  const field = block.subarray(offset, offset + length);
  if (field[0] === 0x80) {
    const value = field.subarray(1).reduce((sum, octet) => sum * 256 + octet, 0);
    if (Number.isSafeInteger(value)) return value;
  }
  const digits = field.toString('latin1').replaceAll('\0', ' ').trim();
  if (digits === '') return 0;
  if (!/^[0-7]{1,12}$/.test(digits)) throw refused(null, 'has a header that cannot be read');
  return Number.parseInt(digits, 8);
}

function sizeOf(value: string): number {
  const size = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(size)) throw refused(null, 'has a header that cannot be read');
  return size;
}

function textAt(block: Buffer, offset: number, length: number): string {
  const field = block.subarray(offset, offset + length);
  const end = field.indexOf(0);
  return text(end === -1 ? field : field.subarray(0, end));
}

function text(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch (error) {
    throw refused(null, 'has a name that is not UTF-8', error);
  }
}

function padding(size: number): number {
  return (blockBytes - (size % blockBytes)) % blockBytes;
}

/** A stream of pieces, read by length. */
class Octets {
  readonly #source: AsyncIterator<Uint8Array>;
  #rest: Buffer = Buffer.alloc(0);
  #contentLeft = 0;
  #padding = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  async exactly(length: number): Promise<Buffer> {
    const pieces: Buffer[] = [];
    let missing = length;
    while (missing > 0) {
      const piece = await this.#upTo(missing);
      if (piece === null) throw refused(null, 'ends too early');
      pieces.push(piece);
      missing -= piece.length;
    }
    return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);
  }

  beginEntry(size: number, pad: number): void {
    this.#contentLeft = size;
    this.#padding = pad;
  }

  async *content(): AsyncGenerator<Uint8Array> {
    while (this.#contentLeft > 0) {
      const piece = await this.#upTo(this.#contentLeft);
      if (piece === null) throw refused(null, 'ends too early');
      this.#contentLeft -= piece.length;
      yield piece;
    }
  }

  async skipEntry(): Promise<void> {
    for await (const _ of this.content());
    await this.exactly(this.#padding);
    this.#padding = 0;
  }

  /** To the end of the source: what hides behind the end would be lost in silence. */
  async assertOnlyZeros(): Promise<void> {
    for (let piece = await this.#upTo(Infinity); piece !== null; piece = await this.#upTo(Infinity)) {
      if (piece.some((octet) => octet !== 0)) throw refused(null, 'has something behind its end');
    }
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }

  async #upTo(length: number): Promise<Buffer | null> {
    while (this.#rest.length === 0) {
      const { done, value } = await this.#source.next();
      if (done === true) return null;
      this.#rest = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    }
    const piece = this.#rest.subarray(0, Math.min(length, this.#rest.length));
    this.#rest = this.#rest.subarray(piece.length);
    return piece;
  }
}
