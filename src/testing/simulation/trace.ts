// What happened in a simulated world, in order: its end is printed with a failure, its hash shows that
// a seed replays.

import { createHash } from 'node:crypto';
import type { Timeline } from './timeline.ts';

const mostKept = 60;

export class Trace {
  readonly #timeline: Timeline;
  readonly #hash = createHash('sha256');
  #lines: string[] = [];

  constructor(timeline: Timeline) {
    this.#timeline = timeline;
  }

  add(who: string, what: string): void {
    const line = `${this.#timeline.nowMs.toFixed(2).padStart(10)} ${who.padEnd(10)} ${what}`;
    this.#hash.update(`${line}\n`);
    this.#lines.push(line);
    if (this.#lines.length > 4 * mostKept) this.#lines = this.#lines.slice(-mostKept);
  }

  get last(): readonly string[] {
    return this.#lines.slice(-mostKept);
  }

  /** Ends the hash: nothing can be added after it. */
  digest(): string {
    return this.#hash.digest('hex');
  }
}
