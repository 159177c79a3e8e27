// A grant store that is not there yet: a model proxy that starts while Redis is away serves what workers tell
// it, and finds the store when it comes. Until then every question is refused as by a store that is away.

import type { FoundGrant, GrantChange, GrantStore, StoredGrant, TurnTally } from '../../contracts/grant-store.ts';
import type { GrantId } from '../../contracts/model-grants.ts';
import type { Clock } from '../../core/clock.ts';
import type { TurnId } from '../../core/ids.ts';
import { unavailableRedis } from './redis-errors.ts';

const tryEveryMs = 500;

export class AwaitedGrantStore implements GrantStore {
  readonly #open: () => Promise<GrantStore>;
  readonly #clock: Clock;
  readonly #listeners = new Map<(change: GrantChange) => void, () => void>();
  #store: GrantStore | null = null;
  #lastError: unknown = null;
  #isStopped = false;
  #cancel: () => void = () => {};

  /** `open` may take its time and may fail; it is called until it succeeds. */
  constructor(open: () => Promise<GrantStore>, clock: Clock) {
    this.#open = open;
    this.#clock = clock;
  }

  /** Whether the first try succeeded. */
  async start(): Promise<boolean> {
    try {
      const store = await this.#open();
      this.#store = store;
      for (const listener of this.#listeners.keys()) this.#listeners.set(listener, store.onChange(listener));
      return true;
    } catch (error) {
      this.#lastError = error;
      if (!this.#isStopped) this.#cancel = this.#clock.after(tryEveryMs, () => void this.start());
      return false;
    }
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel();
  }

  async put(grant: StoredGrant): Promise<StoredGrant> {
    return await this.#present().put(grant);
  }

  async find(id: GrantId): Promise<FoundGrant> {
    return await this.#present().find(id);
  }

  async findByCredential(credentialSha256: string): Promise<FoundGrant> {
    return await this.#present().findByCredential(credentialSha256);
  }

  async remove(id: GrantId): Promise<void> {
    await this.#present().remove(id);
  }

  async count(id: GrantId, turn: TurnId, used: TurnTally): Promise<TurnTally> {
    return await this.#present().count(id, turn, used);
  }

  onChange(listener: (change: GrantChange) => void): () => void {
    this.#listeners.set(listener, this.#store?.onChange(listener) ?? (() => {}));
    return () => {
      this.#listeners.get(listener)?.();
      this.#listeners.delete(listener);
    };
  }

  async knownForMs(): Promise<number> {
    return await this.#present().knownForMs();
  }

  #present(): GrantStore {
    if (this.#store === null) throw unavailableRedis('unreachable', this.#lastError);
    return this.#store;
  }
}
