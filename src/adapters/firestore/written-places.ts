// What we know of documents as they stood when we last read or wrote them: enough to write the next revision without
// reading first. It may be out of date; a write on it is conditional and then fails.

import type { Timestamp } from './document.ts';

export type Standing = {
  readonly revision: number;
  readonly updateTime: Timestamp;
  /** Ids of the last writes, the newest first. */
  readonly trail: readonly string[];
  /** Of the documents that hold the rest of its body: whose write made them, and how many there are. */
  readonly parts: { readonly writeId: string; readonly count: number } | null;
  /** What never changes of it, to be held against a new revision. */
  readonly constant: string;
};

/** About 400 bytes each. */
const mostKept = 10_000;

export class WrittenPlaces {
  readonly #byName = new Map<string, Standing>();

  get(name: string): Standing | null {
    return this.#byName.get(name) ?? null;
  }

  keep(name: string, standing: Standing): void {
    this.#byName.delete(name);
    this.#byName.set(name, standing);
    if (this.#byName.size <= mostKept) return;
    for (const oldest of this.#byName.keys()) {
      this.#byName.delete(oldest);
      return;
    }
  }

  forget(name: string): void {
    this.#byName.delete(name);
  }
}
