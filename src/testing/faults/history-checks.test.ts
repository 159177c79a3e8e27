import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EventOnWire } from '../../api/events.ts';
import {
  concatenationEquals,
  epochsNeverDecrease,
  exactlyOneTerminal,
  liveTextEquals,
  promptsAtMostOnce,
  reReadsByteIdentical,
  remembersAll,
  seqsAreGapless,
  type AcceptedTurn,
  type EventText,
  type SessionEvents,
} from './history-checks.ts';
import type { OracleCall } from './oracle-model.ts';

function eventOf(
  seq: number,
  type: string,
  turnId: string | null,
  more: Readonly<Record<string, unknown>> = {},
  epoch = 1,
): EventOnWire {
  const at = '2026-01-01T00:00:00.000Z';
  return { seq, cursor: `${epoch}.${seq}`, type, session_id: 's', turn_id: turnId, at, ...more };
}

const delta = (seq: number, itemId: string, text: string): EventOnWire =>
  eventOf(seq, 'item.delta', 'one', { item_id: itemId, kind: 'agent_message', delta: text });

/** One session: a turn whose answer was broken off and begun anew, a takeover, a second turn. */
const recorded: readonly EventOnWire[] = [
  eventOf(1, 'session.created', null),
  eventOf(2, 'turn.started', 'one'),
  delta(3, 'a', 'hel'),
  eventOf(4, 'item.superseded', 'one', { item_id: 'a', item_type: 'agent_message' }),
  delta(5, 'b', 'hello '),
  delta(6, 'b', 'there'),
  eventOf(7, 'turn.completed', 'one'),
  eventOf(8, 'session.recovering', null, {}, 2),
  eventOf(9, 'turn.started', 'two', {}, 2),
  eventOf(10, 'turn.interrupted', 'two', {}, 2),
];
const turns: readonly AcceptedTurn[] = [
  { sessionId: 's', turnId: 'one', prompt: 'p1' },
  { sessionId: 's', turnId: 'two', prompt: 'p2' },
];
const ends = [
  { turnId: 'one', status: 'completed' },
  { turnId: 'two', status: 'interrupted' },
];
const callOf = (prompt: string, codexTurn: string, earlierPrompts: readonly string[] = []): OracleCall => ({
  prompt,
  codexTurn,
  earlierPrompts,
  earlierSha256: '',
});
const calls = [callOf('p1', 'c1'), callOf('p1', 'c1'), callOf('p2', 'c2', ['p1'])];

const of = (events: readonly EventOnWire[]): SessionEvents => new Map([['s', events]]);
const textsOf = (events: readonly EventOnWire[]): EventText[] =>
  events.map((event) => ({ sessionId: 's', seq: event.seq, text: JSON.stringify(event) }));
const bodies = (events: readonly EventOnWire[]): string[] => events.map((event) => JSON.stringify(event));

test('a history in which nothing went wrong passes every check', () => {
  assert.deepEqual(
    [
      exactlyOneTerminal(turns, of(recorded), ends),
      seqsAreGapless(of(recorded)),
      epochsNeverDecrease(of(recorded)),
      reReadsByteIdentical(textsOf(recorded.slice(0, 5)), textsOf(recorded)),
      promptsAtMostOnce(calls, turns),
      concatenationEquals(bodies(recorded), bodies(recorded)),
      liveTextEquals('hello there', recorded),
      remembersAll(calls, ['p1', 'p2']),
    ].flat(),
    [],
  );
});

test('a duplicate delivery is found', () => {
  const twice = recorded.toSpliced(4, 0, delta(5, 'b', 'hello '));
  assert.deepEqual(seqsAreGapless(of(twice)), ['session s has event 5 where 6 belongs']);
  assert.equal(concatenationEquals(bodies(recorded), bodies(twice)).length, 1);
  assert.deepEqual(concatenationEquals(bodies(recorded), bodies([...recorded, ...recorded.slice(-1)])), [
    'the stream has 1 events more',
  ]);
});

test('a lost event is found, wherever it was', () => {
  for (const [index, { seq }] of recorded.entries()) {
    const lost = recorded.toSpliced(index, 1);
    assert.deepEqual(reReadsByteIdentical(textsOf(recorded), textsOf(lost)), [`event ${seq} of session s is gone`]);
    assert.equal(concatenationEquals(bodies(recorded), bodies(lost)).length, 1);
    // The last one is missed by who waits for it: the end of its turn.
    const problems = [...seqsAreGapless(of(lost)), ...exactlyOneTerminal(turns, of(lost), ends)];
    assert.ok(problems.length > 0, `event ${seq} was missed by nobody`);
  }
});

test('two ends, none, another than the record has, and words behind the end are found', () => {
  const spoilt: Readonly<Record<string, readonly EventOnWire[]>> = {
    'turn two has 2 terminal events': [...recorded, eventOf(11, 'turn.interrupted', 'two', {}, 2)],
    'turn two has 0 terminal events': recorded.slice(0, -1),
    'turn two goes on behind its end': [...recorded, eventOf(11, 'item.started', 'two', {}, 2)],
    'turn two ended with turn.completed, its record says interrupted': recorded.with(
      9,
      eventOf(10, 'turn.completed', 'two', {}, 2),
    ),
  };
  for (const [problem, events] of Object.entries(spoilt)) {
    assert.deepEqual(exactlyOneTerminal(turns, of(events), ends), [problem]);
  }
  assert.deepEqual(exactlyOneTerminal(turns, new Map(), ends).length, 2, 'a session that is gone');
});

test('an epoch that goes back is found, also when it comes back', () => {
  const back = [...recorded, eventOf(11, 'session.woken', null, {}, 1), eventOf(12, 'session.woken', null, {}, 2)];
  assert.deepEqual(epochsNeverDecrease(of(back)), ['session s goes back from epoch 2 to 1 at event 11']);
  const strange = recorded.with(0, { ...eventOf(1, 'session.created', null), cursor: '1.7' });
  assert.deepEqual(epochsNeverDecrease(of(strange)), ['session s has event 1 at cursor 1.7']);
});

test('one changed byte is found', () => {
  const changed = textsOf(recorded).map((event) =>
    event.seq === 6 ? { ...event, text: event.text.replace('there', 'thera') } : event,
  );
  assert.deepEqual(reReadsByteIdentical(textsOf(recorded), changed).length, 1);
  assert.match(reReadsByteIdentical(textsOf(recorded), changed)[0] ?? '', /^event 6 of session s was .*thera/);
});

test('a doubled turn is found, unless it was asked for, and so is a prompt of nobody', () => {
  const doubled = [...calls, callOf('p2', 'c3')];
  assert.deepEqual(promptsAtMostOnce(doubled, turns), ['"p2" ran in 2 turns']);
  assert.deepEqual(promptsAtMostOnce(doubled, turns, new Map([['p2', 1]])), []);
  const thrice = [...doubled, callOf('p2', 'c4')];
  assert.deepEqual(promptsAtMostOnce(thrice, turns, new Map([['p2', 1]])), ['"p2" ran in 3 turns']);
  assert.deepEqual(promptsAtMostOnce([...calls, callOf('p3', 'c3')], turns), [
    'nobody accepted "p3", and the model was asked it',
  ]);
  assert.equal(promptsAtMostOnce(calls, [...turns, { ...turns[1], prompt: 'p1' } as AcceptedTurn]).length, 1);
});

test('doubled text is found', () => {
  const unsaid = recorded.toSpliced(3, 1);
  assert.deepEqual(liveTextEquals('hello there', unsaid), [
    'the live text has 3 characters more than the final message: "helhello there"',
  ]);
  assert.equal(liveTextEquals('hello there', recorded.toSpliced(5, 1)).length, 1, 'and text that is missing');
});

test('an earlier turn that the model was not shown is found', () => {
  assert.deepEqual(remembersAll([callOf('p2', 'c2')], ['p1', 'p2']), ['"p2" was asked without "p1"']);
});
