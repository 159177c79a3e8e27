// Counts a mark in a stream of bytes, wherever the pieces are cut.

export class MarkCounter {
  readonly #mark: Buffer;
  #tail: Buffer = Buffer.alloc(0);
  count = 0;

  constructor(mark: string) {
    this.#mark = Buffer.from(mark);
  }

  /** Whether this piece brought any. */
  take(chunk: Buffer): boolean {
    const bytes = this.#tail.length === 0 ? chunk : Buffer.concat([this.#tail, chunk]);
    const before = this.count;
    let seenTo = 0;
    for (let at = bytes.indexOf(this.#mark); at !== -1; at = bytes.indexOf(this.#mark, seenTo)) {
      this.count += 1;
      seenTo = at + this.#mark.length;
    }
    this.#tail = bytes.subarray(Math.max(seenTo, bytes.length - this.#mark.length + 1));
    return this.count > before;
  }
}
