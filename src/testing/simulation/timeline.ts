// The time of a simulated world: what is due happens in order, of what is due at once the seed chooses,
// and what it sets going has settled before the next thing happens. No real time passes.

import type { SeededRandom } from '../faults/seeded-random.ts';

type Entry = { readonly atMs: number; readonly tie: number; readonly run: () => void; isCancelled: boolean };

const nextRound = setImmediate;

export class Timeline {
  readonly #random: SeededRandom;
  /** A binary heap: the first due on top. */
  readonly #heap: Entry[] = [];
  /** What the code under test wants done after its present tick. */
  #ticks: (() => void)[] = [];
  #nowMs = 0;
  #steps = 0;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** How many things have happened. */
  get steps(): number {
    return this.#steps;
  }

  /** The returned function cancels. */
  after(delayMs: number, run: () => void): () => void {
    const entry: Entry = {
      atMs: this.#nowMs + Math.max(0, delayMs),
      tie: this.#random.next(),
      run,
      isCancelled: false,
    };
    this.#push(entry);
    return () => {
      entry.isCancelled = true;
    };
  }

  /** Until `isDone` says so, or that moment has come, whichever is first. */
  async run(untilMs: number, isDone: () => boolean = () => false): Promise<void> {
    const original = globalThis.setImmediate;
    // The code under test ends a tick by it; here a tick ends when nothing more is to be done in it.
    const simulated = (callback: () => void): NodeJS.Immediate => {
      this.#ticks.push(callback);
      return undefined as unknown as NodeJS.Immediate;
    };
    globalThis.setImmediate = simulated as typeof setImmediate;
    try {
      await this.#settled();
      while (!isDone()) {
        const next = this.#pop();
        if (next === null) break;
        if (next.isCancelled) continue;
        if (next.atMs > untilMs) {
          this.#push(next);
          break;
        }
        this.#nowMs = next.atMs;
        this.#steps++;
        next.run();
        await this.#settled();
      }
      if (this.#nowMs < untilMs && !isDone()) this.#nowMs = untilMs;
    } finally {
      globalThis.setImmediate = original;
    }
  }

  async #settled(): Promise<void> {
    for (;;) {
      await new Promise<void>((resolve) => nextRound(resolve));
      const ticks = this.#ticks;
      if (ticks.length === 0) return;
      this.#ticks = [];
      for (const tick of ticks) tick();
    }
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || !isBefore(entry, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = entry;
  }

  #pop(): Entry | null {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined) return null;
    if (heap.length === 0) return first;
    let at = 0;
    for (;;) {
      const left = heap[2 * at + 1];
      const right = heap[2 * at + 2];
      if (left === undefined) break;
      const isRight = right !== undefined && isBefore(right, left);
      const child = isRight ? right : left;
      if (!isBefore(child, last)) break;
      heap[at] = child;
      at = 2 * at + (isRight ? 2 : 1);
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(one: Entry, other: Entry): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.tie < other.tie);
}
