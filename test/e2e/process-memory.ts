// Whether a process holds a text in its memory, read from outside as a debugger would.

import { closeSync, openSync, readSync } from 'node:fs';
import { readProcFile } from './processes.ts';

const chunkBytes = 4 * 1024 * 1024;
/** Reservations of address space that nothing is in; reading them would take for ever. */
const hugeRegionBytes = 1024 * 1024 * 1024;

/** Looks through what the process has written to itself; what is mapped from files is on disk anyway. */
export function memoryHolds(pid: number, text: string): boolean {
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  try {
    return writableRegions(pid).some(([start, end]) => regionHolds(memory, start, end, text));
  } finally {
    closeSync(memory);
  }
}

function writableRegions(pid: number): [bigint, bigint][] {
  return readProcFile(pid, 'maps')
    .split('\n')
    .flatMap((line) => {
      const match = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line);
      if (match === null) return [];
      const region: [bigint, bigint] = [BigInt(`0x${match[1]}`), BigInt(`0x${match[2]}`)];
      return region[1] - region[0] > hugeRegionBytes ? [] : [region];
    });
}

function regionHolds(memory: number, start: bigint, end: bigint, text: string): boolean {
  const buffer = Buffer.alloc(chunkBytes + text.length);
  let kept = 0;
  for (let at = start; at < end; at += BigInt(chunkBytes)) {
    const length = Math.min(chunkBytes, Number(end - at));
    let read = 0;
    try {
      read = readSync(memory, buffer, kept, length, at);
    } catch {
      // Not every page can be read; what cannot holds nothing that was put there.
      kept = 0;
      continue;
    }
    const seen = buffer.subarray(0, kept + read);
    if (seen.includes(text)) return true;
    // A text may lie across two chunks.
    const tail = seen.subarray(Math.max(0, seen.length - text.length));
    tail.copy(buffer);
    kept = tail.length;
  }
  return false;
}
