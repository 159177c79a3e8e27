// Clients that never let go: each follows one session for as long as it is wanted, at whichever gateway
// answers, and comes back with its last cursor. What they saw is the history's; here is how it hangs together.

import type { EventOnWire } from '../../src/api/events.ts';
import type { EventText } from '../../src/testing/faults/history-checks.ts';
import type { KeptHistory } from '../faults/kept-history.ts';

const backAfterMs = 50;

export class FollowedStreams {
  readonly #history: KeptHistory;
  readonly #following = new Map<string, Promise<void>>();
  /** Answers that were no stream, by their text: a gateway may say so while its store is away, and nothing else. */
  readonly refusals: string[] = [];
  #isOver = false;

  constructor(history: KeptHistory) {
    this.#history = history;
  }

  follow(...names: readonly string[]): void {
    for (const name of names) if (!this.#following.has(name)) this.#following.set(name, this.#follow(name));
  }

  /** The gateways are to end their streams first. */
  async end(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#following.values());
  }

  async #follow(name: string): Promise<void> {
    while (!this.#isOver) {
      if (this.#history.has(name)) {
        await this.#history.watch(name).catch((error: unknown) => {
          this.refusals.push(error instanceof Error ? error.message : String(error));
        });
      }
      await new Promise((resolve) => setTimeout(resolve, backAfterMs));
    }
  }
}

/** What was seen of each session, in the order in which it came. */
export function seenBySession(seen: readonly EventText[]): Map<string, EventOnWire[]> {
  const events = new Map<string, EventOnWire[]>();
  for (const { sessionId, text } of seen) {
    const own = events.get(sessionId) ?? [];
    own.push(JSON.parse(text) as EventOnWire);
    events.set(sessionId, own);
  }
  return events;
}
