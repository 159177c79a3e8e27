// Has what is done to one thing done one after the other, in the order of asking; different things go side by side.

export class OneAtATime {
  readonly #last = new Map<string, Promise<unknown>>();

  /** After all that was asked for the same name before has ended, well or not. */
  run<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(name) ?? Promise.resolve();
    const mine = before.then(work, work);
    const ended = mine.catch(() => undefined);
    this.#last.set(name, ended);
    void ended.then(() => {
      if (this.#last.get(name) === ended) this.#last.delete(name);
    });
    return mine;
  }

  /** Of how many something goes on. */
  get size(): number {
    return this.#last.size;
  }
}
