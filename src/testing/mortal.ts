// Makes a store stop answering one of those who use it, as it looks to everybody else when a process dies
// in mid-call: what had begun may or may not happen, nothing comes back.

export class Mortality {
  #isDead = false;

  die(): void {
    this.#isDead = true;
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  /** Every method of it, and of the objects that are its properties, answers while this one lives. */
  of<T extends object>(target: T): T {
    return new Proxy(target, {
      get: (object, name) => {
        const value: unknown = Reflect.get(object, name, object);
        if (typeof value === 'object' && value !== null) return this.of(value);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]): unknown => {
          if (this.#isDead) return new Promise(() => {});
          const answer: unknown = Reflect.apply(value, object, args);
          if (!(answer instanceof Promise)) return answer;
          return answer.then(
            (result: unknown) => (this.#isDead ? new Promise(() => {}) : result),
            (error: unknown) => (this.#isDead ? new Promise(() => {}) : Promise.reject(error)),
          );
        };
      },
    });
  }
}
