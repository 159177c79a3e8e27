// Clients that never let go: each follows one session for as long as it is wanted, at whichever gateway
// answers, and comes back with its last cursor. What they saw is the history's; here is how it hangs together.

import assert from 'node:assert/strict';
import type { EventOnWire } from '../../src/api/events.ts';
import { isTerminalEventType, parseCursor } from '../../src/core/event.ts';
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

export type GoneEvent = {
  readonly event: EventOnWire;
  /** When it was seen: its place among all that was. */
  readonly index: number;
  /** How the check that reads again begins to say so. */
  readonly problem: string;
};

/** What was seen and is not in the log any more, as it was. */
export function goneFrom(logs: ReadonlyMap<string, readonly EventOnWire[]>, seen: readonly EventText[]): GoneEvent[] {
  const held = new Map([...logs].map(([id, log]) => [id, new Set(log.map((event) => JSON.stringify(event)))]));
  return seen.flatMap(({ seq, sessionId, text }, index) => {
    if (held.get(sessionId)?.has(text) === true) return [];
    return [{ event: JSON.parse(text) as EventOnWire, index, problem: `event ${seq} of session ${sessionId} ` }];
  });
}

/** The end of the same turn, in the same words, at whatever place and time. */
export function saysTheSameEnd(one: EventOnWire, other: EventOnWire): boolean {
  const plain = ({ at: _at, cursor: _cursor, seq: _seq, ...rest }: EventOnWire): string => JSON.stringify(rest);
  return isTerminalEventType(one.type) && plain(one) === plain(other);
}

/**
 * What a client was given follows itself, up to the end of the log. Where it goes back, a later epoch says so, and
 * that somebody took the session is told before anything else.
 */
export function assertAloud(seen: readonly EventOnWire[], log: readonly EventOnWire[]): void {
  let place = { epoch: 0, seq: 0 };
  for (const { cursor, seq, type } of seen) {
    const epoch = parseCursor(cursor)?.epoch ?? 0;
    const goesBack = seq <= place.seq;
    assert.ok(goesBack ? epoch > place.epoch : seq === place.seq + 1, `no silent hole before ${cursor}`);
    assert.ok(epoch >= place.epoch, `no event of an epoch that is over: ${cursor}`);
    // A log that is gone from its first event on begins anew, as every log does.
    const says = seq === 1 ? 'session.created' : 'session.recovering';
    if (goesBack) assert.equal(type, says, `who went back at ${cursor} says so first`);
    place = { epoch, seq };
  }
  assert.equal(place.seq, log.at(-1)?.seq);
}
