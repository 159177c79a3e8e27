// Stored events as a snapshot keeps them: lines of JSON, compressed, in segments. What comes out is equal to
// the byte to what went in.

import { promisify } from 'node:util';
import { zstdCompress, zstdCompressSync, zstdDecompress } from 'node:zlib';
import type { EventLog } from '../contracts/event-log.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import { ServiceError } from '../core/errors.ts';
import type { StoredEvent } from '../core/event.ts';

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/** Uncompressed. A read of any event costs that of its segment. */
export const segmentBytes = 2 * 1024 * 1024;
/** Compressed at once, without the detour over another thread, which takes longer. */
const smallBytes = 64 * 1024;
/** A segment and the largest event that a worker may write. */
const maxSegmentBytes = 256 * 1024 * 1024;
/** Few, for what comes next may be large; and fewer when what came was. */
const pageSize = 128;

/** Events one behind another, none missing. */
export type Lines = { readonly first: number; readonly last: number; readonly text: Buffer };
export type PackedLines = {
  readonly first: number;
  readonly last: number;
  readonly bytes: Uint8Array;
  readonly isLarge: boolean;
};

/** Seqs that the log has lost, both included. */
export type Gap = { readonly first: number; readonly last: number };

/**
 * The events behind `afterSeq` up to `upTo`, as far as the log still has them, in stretches of about a
 * segment: a new one begins where something is missing. Rejects with `store_unavailable` when the log ends before.
 */
export async function* linesOfLog(
  log: EventLog,
  key: SessionKey,
  afterSeq: number,
  upTo: number,
  onGap: (gap: Gap) => void,
): AsyncGenerator<Lines, void, void> {
  let text = new LineBuffer();
  let first = 0;
  let last = afterSeq;
  let limit = pageSize;
  const cut = (): Lines => {
    const lines = { first, last, text: text.bytes };
    text = new LineBuffer();
    return lines;
  };
  while (last < upTo) {
    const { events } = await log.read(key, last, Math.min(limit, upTo - last));
    if (events.length === 0) {
      throw new ServiceError('store_unavailable', { problem: `the log ends before event ${upTo}` });
    }
    let pageBytes = 0;
    for (const event of events) {
      const { seq } = event.header;
      if (seq !== last + 1) {
        if (text.length > 0) yield cut();
        onGap({ first: last + 1, last: Math.min(seq - 1, upTo) });
        last = Math.min(seq - 1, upTo);
      }
      if (seq > upTo) break;
      const line = `${JSON.stringify(event)}\n`;
      const bytes = Buffer.byteLength(line);
      if (text.length > 0 && text.length + bytes > segmentBytes) yield cut();
      if (text.length === 0) first = seq;
      text.add(line, bytes);
      pageBytes += bytes;
      last = seq;
    }
    limit = Math.max(1, Math.min(pageSize, Math.floor((events.length * segmentBytes) / (pageBytes + 1))));
  }
  if (text.length > 0) yield cut();
}

/** Grows by doubling: most turns are small. */
class LineBuffer {
  #buffer = Buffer.allocUnsafeSlow(smallBytes);
  length = 0;

  add(line: string, bytes: number): void {
    const wanted = this.length + bytes;
    if (wanted > this.#buffer.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(wanted, this.#buffer.length * 2));
      this.#buffer.copy(grown, 0, 0, this.length);
      this.#buffer = grown;
    }
    this.#buffer.write(line, this.length);
    this.length = wanted;
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.length);
  }
}

export async function packLines({ first, last, text }: Lines): Promise<PackedLines> {
  const bytes = text.length <= smallBytes ? zstdCompressSync(text) : await compress(text);
  return { first, last, bytes, isLarge: text.length >= segmentBytes / 4 };
}

export async function unpackLines(bytes: Uint8Array): Promise<Buffer> {
  return await decompress(bytes, { maxOutputLength: maxSegmentBytes });
}

export function parseEvents(text: Buffer): StoredEvent[] {
  return text
    .toString('utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as StoredEvent);
}
