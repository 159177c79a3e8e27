// The last bytes of a stream, for telling what a process said before it ended.

export class TextTail {
  readonly #maxBytes: number;
  #tail: Buffer = Buffer.alloc(0);

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  push(chunk: Buffer): void {
    const joined = chunk.length >= this.#maxBytes ? chunk : Buffer.concat([this.#tail, chunk]);
    this.#tail = Buffer.from(joined.subarray(Math.max(0, joined.length - this.#maxBytes)));
  }

  text(): string {
    return this.#tail.toString('utf8');
  }
}
