// What is done under the same key, one after the other, in the order of asking; different keys go side by side. In
// this process alone: between processes the records decide.

export class KeyOrder {
  readonly #tails = new Map<string, Promise<unknown>>();

  /** Begins once whatever was begun under the key before has ended, however it did. */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key);
    const mine = before === undefined ? work() : before.then(work, work);
    this.#tails.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#tails.get(key) === mine) this.#tails.delete(key);
    }
  }

  /** Under how many keys something goes on. */
  get size(): number {
    return this.#tails.size;
  }
}
