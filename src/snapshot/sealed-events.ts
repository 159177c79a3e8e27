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
const segmentBytes = 2 * 1024 * 1024;
/** Compressed at once, without the detour over another thread, which takes longer. */
const smallBytes = 64 * 1024;
/** A segment and the largest event that a worker may write. */
const maxSegmentBytes = 256 * 1024 * 1024;
const pageSize = 1000;

export type Lines = { readonly first: number; readonly last: number; readonly text: Buffer };
export type PackedLines = {
  readonly first: number;
  readonly last: number;
  readonly bytes: Uint8Array;
  readonly isLarge: boolean;
};

/** The events behind `afterSeq` up to `upTo`, as the log has them, in stretches of about a segment. */
export async function linesOfLog(log: EventLog, key: SessionKey, afterSeq: number, upTo: number): Promise<Lines[]> {
  const stretches: Lines[] = [];
  let lines: string[] = [];
  let characters = 0;
  let first = 0;
  let last = afterSeq;
  const cut = (): void => {
    if (lines.length > 0) stretches.push({ first, last, text: Buffer.from(lines.join('')) });
    lines = [];
    characters = 0;
  };
  while (last < upTo) {
    const { events } = await log.read(key, last, Math.min(pageSize, upTo - last));
    if (events.length === 0) {
      throw new ServiceError('store_unavailable', { problem: `the log ends before event ${upTo}` });
    }
    for (const event of events) {
      if (event.header.seq > upTo) break;
      if (lines.length === 0) first = event.header.seq;
      const line = `${JSON.stringify(event)}\n`;
      lines.push(line);
      characters += line.length;
      last = event.header.seq;
      if (characters >= segmentBytes) cut();
    }
    // All that it holds lies behind: the events between are gone, and there is nothing to seal.
    if ((events[0]?.header.seq ?? 0) > upTo) break;
  }
  cut();
  return stretches;
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
