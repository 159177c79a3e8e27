// Contents of files, gathered into packs: bytes are read straight into the pack, and forgotten again where
// they turn out to be stored already. Full packs are handed on.

/** Grown by doubling, so that a turn that changed one small file does not take a pack's worth of memory. */
const firstBytes = 256 * 1024;

export class PackWriter {
  readonly #packBytes: number;
  readonly #handOver: (pack: number, bytes: Uint8Array) => Promise<void>;
  #buffer: Buffer = Buffer.alloc(0);
  #used = 0;
  #pack: number;

  constructor(firstPack: number, packBytes: number, handOver: (pack: number, bytes: Uint8Array) => Promise<void>) {
    this.#pack = firstPack;
    this.#packBytes = packBytes;
    this.#handOver = handOver;
  }

  /** Room for that many bytes, at most a pack's: good until the next call. */
  async reserve(length: number): Promise<Buffer> {
    if (this.#used + length > this.#packBytes && this.#used > 0) {
      const full = this.take();
      this.#pack += 1;
      await this.#handOver(full.pack, full.bytes);
    }
    if (this.#used + length > this.#buffer.length) {
      const wanted = Math.max(firstBytes, this.#buffer.length * 2, this.#used + length);
      const grown = Buffer.allocUnsafeSlow(Math.max(Math.min(wanted, this.#packBytes), this.#used + length));
      this.#buffer.copy(grown, 0, 0, this.#used);
      this.#buffer = grown;
    }
    return this.#buffer.subarray(this.#used, this.#used + length);
  }

  /** The first `length` bytes of what was reserved are wanted. */
  keep(length: number): { readonly pack: number; readonly offset: number } {
    const offset = this.#used;
    this.#used += length;
    return { pack: this.#pack, offset };
  }

  /** What is in the pack that is not full. */
  take(): { readonly pack: number; readonly bytes: Uint8Array } {
    const bytes = this.#buffer.subarray(0, this.#used);
    this.#buffer = Buffer.alloc(0);
    this.#used = 0;
    return { pack: this.#pack, bytes };
  }
}
