// Requests under the same key, one after the other. In this process alone: between replicas the records
// decide, and this makes it rare that they have to.

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
}
