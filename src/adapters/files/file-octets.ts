// Octets into and out of one file: pieces gathered into writes worth a call, ranges clamped to what is there.

import type { FileHandle } from 'node:fs/promises';
import type { ByteRange } from '../../contracts/snapshots.ts';
import { ServiceError } from '../../core/errors.ts';
import { storing } from './file-errors.ts';

const writeBytes = 256 * 1024;

/**
 * Pieces are copied before the next one is asked for: whoever makes them may use one buffer for all.
 * Errors of the content itself pass as they are.
 */
export async function writeAll(
  handle: FileHandle,
  content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  const gathered = Buffer.allocUnsafeSlow(writeBytes);
  let filled = 0;
  for await (const piece of content) {
    if (filled + piece.byteLength > writeBytes) {
      await storing(write(handle, gathered.subarray(0, filled)));
      filled = 0;
    }
    if (piece.byteLength > writeBytes) await storing(write(handle, piece));
    else {
      gathered.set(piece, filled);
      filled += piece.byteLength;
    }
  }
  await storing(write(handle, gathered.subarray(0, filled)));
}

/** The system may take less than it was given. */
async function write(handle: FileHandle, octets: Uint8Array): Promise<void> {
  for (let done = 0; done < octets.byteLength; ) {
    done += (await handle.write(octets, done, octets.byteLength - done)).bytesWritten;
  }
}

/** The whole file without a range. */
export async function readRange(handle: FileHandle, range: ByteRange | undefined): Promise<Uint8Array> {
  const { size } = await handle.stat();
  const { offset, length } = range ?? { offset: 0, length: size };
  if (!(Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0)) {
    throw new ServiceError('internal', {}, { message: 'a range has a whole offset and length, neither below zero' });
  }
  const octets = Buffer.allocUnsafeSlow(Math.max(0, Math.min(length, size - offset)));
  let done = 0;
  while (done < octets.byteLength) {
    const { bytesRead } = await handle.read(octets, done, octets.byteLength - done, offset + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return octets.subarray(0, done);
}
