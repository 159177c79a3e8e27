// Turns on their way to their session: the same turn asked for twice is one arrival, and who wants to
// cancel one waits until it is there.

export class TurnArrivals {
  readonly #arriving = new Map<string, Promise<void>>();

  get size(): number {
    return this.#arriving.size;
  }

  /** The arrival under way, or a new one. */
  join(place: string, arrive: () => Promise<void>): Promise<void> {
    const standing = this.#arriving.get(place);
    if (standing !== undefined) return standing;
    const arrival = arrive().finally(() => this.#arriving.delete(place));
    this.#arriving.set(place, arrival);
    return arrival;
  }

  /** Resolves when the turn is there, or did not come, or was not on its way. */
  async over(place: string): Promise<void> {
    await this.#arriving.get(place)?.catch(() => undefined);
  }
}
