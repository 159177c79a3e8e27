// What must be true of any stream of events, as one check that the stream tests share. It fails on
// doctored streams (event-checks.test.ts), so that its silence means something.

import assert from 'node:assert/strict';
import type { EventOnWire } from '../../src/api/events.ts';
import { isTerminalEventType } from '../../src/core/event.ts';

export type TurnPlace = { readonly sessionId: string; readonly turnId: string };

/** Every event once, in order, none missing, of this session alone, ending with the one terminal event. */
export function assertWholeTurn(events: readonly EventOnWire[], place: TurnPlace): void {
  assertConsecutive(events);
  for (const event of events) {
    assert.equal(event.session_id, place.sessionId, `event ${event.seq} is of this session`);
    if (event.turn_id !== null) assert.equal(event.turn_id, place.turnId, `event ${event.seq} is of this turn`);
  }
  const ends = events.filter((event) => isTerminalEventType(event.type));
  assert.equal(ends.length, 1, `one terminal event, not ${ends.length}`);
  assert.equal(events.at(-1), ends[0], 'the terminal event is the last');
}

export function assertConsecutive(events: readonly EventOnWire[]): void {
  assert.ok(events.length > 0, 'there are events');
  for (const [index, event] of events.entries()) {
    const before = events[index - 1];
    if (before !== undefined) assert.equal(event.seq, before.seq + 1, `the event after ${before.seq}`);
  }
}

/** The two halves of a stream that was cut and resumed are the stream that was not. */
export function assertResumed(
  before: readonly EventOnWire[],
  after: readonly EventOnWire[],
  whole: readonly EventOnWire[],
): void {
  assert.deepEqual([...before, ...after], whole);
}

/** The text that deltas make, by item. */
export function textOfDeltas(events: readonly EventOnWire[]): Map<string, string> {
  const texts = new Map<string, string>();
  for (const event of events) {
    if (event.type !== 'item.delta') continue;
    const itemId = String(event['item_id']);
    texts.set(itemId, (texts.get(itemId) ?? '') + String(event['delta']));
  }
  return texts;
}

/** What the demo model says for `stream: N words`. */
export function words(count: number): string {
  return Array.from({ length: count }, (_, index) => `word${index + 1}`).join(' ');
}
