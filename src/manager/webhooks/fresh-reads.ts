// Reads that many may share: one at a time for each key, and none that had begun before it was asked for.

export class FreshReads<K, V> {
  readonly #read: (key: K) => Promise<V>;
  readonly #current = new Map<K, Promise<unknown>>();
  readonly #next = new Map<K, Promise<V>>();

  constructor(read: (key: K) => Promise<V>) {
    this.#read = read;
  }

  /** What stands there now, or what was written since. */
  get(key: K): Promise<V> {
    const planned = this.#next.get(key);
    if (planned !== undefined) return planned;
    const reading = this.#begin(key, this.#current.get(key));
    this.#next.set(key, reading);
    return reading;
  }

  async #begin(key: K, before: Promise<unknown> | undefined): Promise<V> {
    // Even with none before it: those who ask in the same moment share it.
    await before?.catch(() => {});
    await Promise.resolve();
    const reading = this.#read(key);
    this.#next.delete(key);
    this.#current.set(key, reading);
    try {
      return await reading;
    } finally {
      if (this.#current.get(key) === reading) this.#current.delete(key);
    }
  }
}
