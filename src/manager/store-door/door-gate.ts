// How much goes on at the store door at once, in calls and in octets of their bodies. Who comes when it is full waits
// outside, its body unread, for a while; then, or when too many wait already, it is told to come again.

import type { Clock } from '../../core/clock.ts';
import { ServiceError } from '../../core/errors.ts';
import type { Metrics } from '../../observability/metrics.ts';

export type DoorGateOptions = {
  readonly clock: Clock;
  readonly waiting: Pick<Metrics['storeDoorWaiting'], 'inc' | 'dec'>;
  readonly mostCalls: number;
  /** One that is larger by itself goes in alone. */
  readonly mostBytes: number;
  readonly mostWaiting: number;
};

type Waiting = { readonly bytes: number; readonly enter: () => void };

export class DoorGate {
  readonly #options: DoorGateOptions;
  readonly #waiting = new Set<Waiting>();
  #calls = 0;
  #bytes = 0;

  constructor(options: DoorGateOptions) {
    this.#options = options;
  }

  /** In the order of coming. The returned function is called once the work is over, whoever still waits for it. */
  async enter(bytes: number, waitMs: number): Promise<() => void> {
    if (this.#waiting.size === 0 && this.#hasRoom(bytes)) return this.#taken(bytes);
    const { clock, mostWaiting, waiting } = this.#options;
    if (this.#waiting.size >= mostWaiting) throw overloaded();
    const { promise, resolve, reject } = Promise.withResolvers<() => void>();
    const entry: Waiting = { bytes, enter: () => resolve(this.#taken(bytes)) };
    this.#waiting.add(entry);
    waiting.inc();
    const cancel = clock.after(Math.max(0, waitMs), () => reject(overloaded()));
    try {
      return await promise;
    } finally {
      cancel();
      this.#waiting.delete(entry);
      waiting.dec();
      // The next may be smaller than the one that has given up.
      this.#admit();
    }
  }

  #taken(bytes: number): () => void {
    this.#calls += 1;
    this.#bytes += bytes;
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.#calls -= 1;
      this.#bytes -= bytes;
      this.#admit();
    };
  }

  #admit(): void {
    for (const entry of this.#waiting) {
      if (!this.#hasRoom(entry.bytes)) return;
      this.#waiting.delete(entry);
      entry.enter();
    }
  }

  #hasRoom(bytes: number): boolean {
    const { mostBytes, mostCalls } = this.#options;
    return this.#calls < mostCalls && (this.#bytes + bytes <= mostBytes || this.#calls === 0);
  }
}

function overloaded(): ServiceError {
  const message = 'The store door has more to do than it takes at once; ask again in a moment.';
  return new ServiceError('store_unavailable', { store: 'door', reason: 'overloaded' }, { message });
}
