import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EventOnWire } from '../../src/api/events.ts';
import { assertResumed, assertWholeTurn, textOfDeltas } from './event-checks.ts';

const place = { sessionId: 's', turnId: 't' };

function eventOf(seq: number, type: string, more: Readonly<Record<string, unknown>> = {}): EventOnWire {
  return { seq, cursor: `1.${seq}`, type, session_id: 's', turn_id: 't', at: '2026-01-01T00:00:00.000Z', ...more };
}

const whole = [
  eventOf(1, 'session.created', { turn_id: null }),
  eventOf(2, 'turn.started'),
  eventOf(3, 'item.delta', { item_id: 'a', delta: 'one' }),
  eventOf(4, 'item.delta', { item_id: 'a', delta: ' two' }),
  eventOf(5, 'turn.completed'),
];

test('the stream check accepts a whole turn and refuses each way of spoiling it', () => {
  assertWholeTurn(whole, place);
  const spoilt: Readonly<Record<string, readonly EventOnWire[]>> = {
    'a gap': whole.toSpliced(2, 1),
    'a duplicate': whole.toSpliced(2, 0, eventOf(2, 'turn.started')),
    'two events changed places': [whole[0]!, whole[2]!, whole[1]!, whole[3]!, whole[4]!],
    'no end': whole.slice(0, -1),
    'two ends': [...whole, eventOf(6, 'turn.failed')],
    'an event behind the end': [...whole, eventOf(6, 'item.delta')],
    "another session's event": whole.with(3, eventOf(4, 'item.delta', { session_id: 'other' })),
    "another turn's event": whole.with(3, eventOf(4, 'item.delta', { turn_id: 'other' })),
    'nothing at all': [],
  };
  for (const [name, events] of Object.entries(spoilt)) {
    assert.throws(() => assertWholeTurn(events, place), assert.AssertionError, name);
  }
});

test('the resume check refuses a lost and a repeated event', () => {
  assertResumed(whole.slice(0, 2), whole.slice(2), whole);
  assert.throws(() => assertResumed(whole.slice(0, 2), whole.slice(3), whole), assert.AssertionError);
  assert.throws(() => assertResumed(whole.slice(0, 2), whole.slice(1), whole), assert.AssertionError);
});

test('deltas are joined by item', () => {
  assert.deepEqual(textOfDeltas(whole), new Map([['a', 'one two']]));
});
