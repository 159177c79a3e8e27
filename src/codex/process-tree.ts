// Finds processes below one of ours, by the host's pids. Reads /proc; an answer is old once it is given.

import { readdirSync, readFileSync } from 'node:fs';

/** Children of a process, oldest first; none when it is gone. */
export function childrenOf(pid: number): number[] {
  try {
    // One file per thread: a child belongs to the thread that made it.
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
    );
  } catch {
    return [];
  }
}

/** The nearest process of that name below `pid`. */
export function findDescendant(pid: number, name: string): number | null {
  let level = [pid];
  for (let depth = 0; depth < 4 && level.length > 0; depth++) {
    level = level.flatMap(childrenOf);
    const found = level.find((child) => processName(child) === name);
    if (found !== undefined) return found;
  }
  return null;
}

/** Resident memory; null when the process is gone. */
export function residentBytes(pid: number): number | null {
  try {
    const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return match === null ? null : Number(match[1]) * 1024;
  } catch {
    return null;
  }
}

function processName(pid: number): string | null {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trimEnd();
  } catch {
    return null;
  }
}
