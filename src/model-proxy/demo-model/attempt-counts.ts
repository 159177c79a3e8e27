// How often a step of a turn was tried, for faults that happen a number of times only. The one thing
// that the demo model remembers; bounded, the oldest turn is forgotten first.

const maxRemembered = 1000;

export class AttemptCounts {
  readonly #counts = new Map<string, number>();

  /** True while the step has happened less than `times` times; null is always. */
  take(turnKey: string, step: number, times: number | null): boolean {
    if (times === null) return true;
    const key = `${step}:${turnKey}`;
    const count = this.#counts.get(key) ?? 0;
    if (count >= times) return false;
    this.#counts.delete(key);
    this.#counts.set(key, count + 1);
    if (this.#counts.size > maxRemembered) {
      const oldest = this.#counts.keys().next();
      if (oldest.done !== true) this.#counts.delete(oldest.value);
    }
    return true;
  }
}
