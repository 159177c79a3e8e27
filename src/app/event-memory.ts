// How much of this process's memory its events may take.

import { getHeapStatistics } from 'node:v8';

const mostCharacters = 512 * 1024 * 1024;

/** A quarter of the heap at two bytes a character: on a small machine the log gives way, not the process. */
export function eventMemoryCharacters(): number {
  return Math.min(mostCharacters, Math.floor(getHeapStatistics().heap_size_limit / 8));
}
