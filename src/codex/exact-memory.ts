// What the processes of a command hold of memory, as exactly as can be told in bounded time: who looks is the process
// that renews every session's lease, and a command decides how many processes it is, and how much they share.

import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';

export type ProcessMemory = {
  readonly pid: number;
  /** What several processes share is counted for each of them. */
  readonly residentBytes: number;
};

/** How the memory of one process is shared: what is its part of it, and what of that are files in memory. */
type Share = { readonly bytes: number; readonly mappedBytes: number };

export type MemoryReaders = {
  /** null where it is not told, or the process is gone. */
  readonly share: (pid: number) => Share | null;
  /** Of files in memory that have no name and are held open: each with what tells it from the others. */
  readonly openFiles: (pid: number, most: number) => readonly { readonly id: string; readonly bytes: number }[];
};

/** The kernel walks all pages for an exact number: some 60 ms for this many on a slow machine. */
const mostWalkedBytes = 1024 ** 3;
const mostReads = 256;
/** Of the largest, and of some by chance: nobody can know which of its processes are not looked at. */
const leastReads = 4;
const mostOpenFiles = 1_024;

/**
 * Each page by its share, so that what forked processes have in common counts once; as resident where that is not
 * told. Of very many or very large ones some are looked at, and the others taken to share as much as those do.
 */
export function heldBytes(
  processes: readonly ProcessMemory[],
  readers: MemoryReaders = ofProc,
  random: () => number = Math.random,
): number {
  const [largest, ...others] = processes.toSorted((one, other) => other.residentBytes - one.residentBytes);
  if (largest === undefined) return 0;
  const first = shareOf(largest, readers);
  let walkedBytes = largest.residentBytes;
  const read = { residentBytes: 0, bytes: 0, mappedBytes: 0 };
  let unreadBytes = 0;
  const byChance = others.map((process) => ({ process, place: random() })).toSorted((a, b) => a.place - b.place);
  for (const [at, { process }] of byChance.entries()) {
    const isAffordable = at + 1 < leastReads || walkedBytes + process.residentBytes <= mostWalkedBytes;
    if (at + 1 >= mostReads || !isAffordable) {
      unreadBytes += process.residentBytes;
      continue;
    }
    const { bytes, mappedBytes } = shareOf(process, readers);
    walkedBytes += process.residentBytes;
    read.residentBytes += process.residentBytes;
    read.bytes += bytes;
    read.mappedBytes += mappedBytes;
  }
  const ratio = read.residentBytes === 0 ? 1 : Math.min(1, read.bytes / read.residentBytes);
  const openBytes = Math.max(0, openFilesBytes(processes, readers) - first.mappedBytes - read.mappedBytes);
  return first.bytes + read.bytes + unreadBytes * ratio + openBytes;
}

function shareOf({ pid, residentBytes }: ProcessMemory, { share }: MemoryReaders): Share {
  return share(pid) ?? { bytes: residentBytes, mappedBytes: 0 };
}

/** A file without a name is in no process's resident memory unless it is mapped, and in the container's all the same. */
function openFilesBytes(processes: readonly ProcessMemory[], { openFiles }: MemoryReaders): number {
  const found = new Map<string, number>();
  let left = mostOpenFiles;
  for (const { pid } of processes.slice(0, mostReads)) {
    if (left <= 0) break;
    const files = openFiles(pid, left);
    // A look at a process that has none is a look, too.
    left -= Math.max(1, files.length);
    for (const { bytes, id } of files) found.set(id, bytes);
  }
  return [...found.values()].reduce((sum, bytes) => sum + bytes, 0);
}

const ofProc: MemoryReaders = {
  share: (pid) => {
    const text = read(`/proc/${pid}/smaps_rollup`);
    const bytes = kibibytesIn(text, 'Pss');
    return bytes === null ? null : { bytes, mappedBytes: kibibytesIn(text, 'Pss_Shmem') ?? 0 };
  },
  openFiles: (pid, most) => {
    const dir = `/proc/${pid}/fd`;
    return list(dir)
      .slice(0, most)
      .flatMap((fd) => {
        try {
          if (!readlinkSync(`${dir}/${fd}`).startsWith('/memfd:')) return [];
          const { blocks, dev, ino } = statSync(`${dir}/${fd}`);
          return [{ id: `${dev}:${ino}`, bytes: blocks * 512 }];
        } catch {
          return [];
        }
      });
  },
};

function kibibytesIn(text: string | null, name: string): number | null {
  const kib = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text ?? '')?.[1];
  return kib === undefined ? null : Number(kib) * 1024;
}

function list(dir: string): readonly string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

function read(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}
