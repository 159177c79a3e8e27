import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EventOnWire } from '../../src/api/events.ts';
import { isTerminalEventType } from '../../src/core/event.ts';
import { assertConsecutive, assertResumed, assertWholeTurn, textOfDeltas, words } from './event-checks.ts';
import { eventually } from './eventually.ts';
import { useFleet } from './use-fleet.ts';
import type { Frame } from './ws-client.ts';

const fleet = useFleet();

test('a streamed exec has every event once and in order, as the log has them, and its last tells the answer [stream-whole]', async () => {
  const { client } = fleet();
  const events: EventOnWire[] = [];
  for await (const message of client.sse('/api/v1/exec', {
    body: { prompt: 'stream: 200 words at 2 ms', stream: true },
  })) {
    assert.equal(message.id, message.data.cursor, 'the id of the message is the cursor');
    assert.equal(message.event ?? message.data.type, message.data.type);
    events.push(message.data);
  }
  const first = events.find((event) => event.turn_id !== null);
  assert.ok(first !== undefined && first.turn_id !== null);
  const place = { sessionId: first.session_id, turnId: first.turn_id };
  assertWholeTurn(events, place);
  assert.deepEqual(events, await client.pages(place.sessionId), 'the log, read later, is what was streamed');

  const { status, exit_code, stdout, stderr, error } = { ...events.at(-1) } as Readonly<Record<string, unknown>>;
  assert.deepEqual(
    { status, exit_code, stdout, stderr, error },
    { status: 'completed', exit_code: 0, stdout: words(200), stderr: '', error: null },
  );
  assert.deepEqual([...textOfDeltas(events).values()], [words(200)]);
  for (const type of ['turn.queued', 'turn.started', 'item.started', 'item.completed', 'turn.completed']) {
    assert.ok(
      events.some((event) => event.type === type),
      type,
    );
  }
  for (const event of events)
    assert.equal(new Date(event.at).toISOString(), event.at, 'times are RFC 3339, UTC, milliseconds');
});

test('events are streamed while the turn runs, not when it has ended [stream-whole]', async () => {
  const { client } = fleet();
  let firstDeltaMs = 0;
  for await (const { data } of client.sse('/api/v1/exec', {
    body: { prompt: 'stream: 40 words at 25 ms', stream: true },
  })) {
    if (data.type === 'item.delta' && firstDeltaMs === 0) firstDeltaMs = performance.now();
    if (isTerminalEventType(data.type)) break;
  }
  assert.ok(performance.now() - firstDeltaMs > 500, 'the first delta came well before the end');
});

test('a WebSocket exec has the same events with its ref [stream-whole]', async () => {
  const { client } = fleet();
  const socket = await client.ws();
  try {
    socket.send({ prompt: 'stream: 100 words at 2 ms', stream: true, ref: 'mine' });
    const frames = await socket.ended('mine');
    const accepted = frames[0];
    assert.equal(accepted?.type, 'accepted');
    const place = { sessionId: String(accepted['session_id']), turnId: String(accepted['turn_id']) };
    const events = eventsOf(frames);
    assertWholeTurn(events, place);
    assert.deepEqual(events, await client.pages(place.sessionId));
  } finally {
    await socket.close();
  }
});

test('a stream cut at any point is resumed by Last-Event-ID, by ?after= and over a WebSocket [stream-resumed]', async () => {
  const { client } = fleet();
  const turn = await client.exec({ prompt: 'stream: 60 words at 40 ms', session_id: 'cut', background: true });
  assert.equal(turn.status, 202);
  const { session_id: sessionId, turn_id: turnId } = turn.body;
  const path = `/api/v1/sessions/${sessionId}/events?turn_id=${turnId}`;
  const cutPoints = [1, 3, 9, 25, 45];

  const halves = await Promise.all(
    cutPoints.map(async (cutPoint) => {
      const before: EventOnWire[] = [];
      for await (const { data } of client.sse(path)) {
        before.push(data);
        if (before.length === cutPoint) break;
      }
      const cursor = before.at(-1)?.cursor ?? '';
      const after = await Promise.all([
        client.followTurn(sessionId, turnId, cursor),
        collect(client.sse(`${path}&after=${cursor}`)),
        overWebSocket(sessionId, turnId, cursor),
      ]);
      return { before, after };
    }),
  );

  const whole = await client.pages(sessionId);
  assertWholeTurn(whole, { sessionId, turnId });
  for (const { before, after } of halves) {
    assert.ok(before.length > 0);
    for (const rest of after) assertResumed(before, rest, whole);
  }
  // Cut once more behind the end: nothing is left, and nobody is kept waiting.
  assert.deepEqual(await collect(client.sse(path, { lastEventId: whole.at(-1)?.cursor ?? '' })), []);
  assert.deepEqual(await overWebSocket(sessionId, turnId, whole.at(-1)?.cursor ?? ''), []);
});

test('a streamed exec that was cut goes on without its client, and can be followed to its end [stream-resumed]', async () => {
  const { client } = fleet();
  const before: EventOnWire[] = [];
  for await (const { data } of client.sse('/api/v1/exec', {
    body: { prompt: 'stream: 40 words at 25 ms', stream: true },
  })) {
    before.push(data);
    if (data.type === 'item.delta') break;
  }
  const last = before.at(-1);
  assert.ok(last?.turn_id);
  const after = await client.followTurn(last.session_id, last.turn_id, last.cursor);
  const whole = [...before, ...after];
  assertWholeTurn(whole, { sessionId: last.session_id, turnId: last.turn_id });
  assert.deepEqual(whole, await client.pages(last.session_id));
});

test('a session is followed over several turns by one stream, from its first event [stream-resumed]', async () => {
  const { client } = fleet();
  const { session_id: sessionId } = await client.completed('say: one', 'followed');
  await client.completed('say: two', 'followed');
  const events: EventOnWire[] = [];
  for await (const { data } of client.sse(`/api/v1/sessions/${sessionId}/events`)) {
    events.push(data);
    if (events.filter((event) => isTerminalEventType(event.type)).length === 2) break;
  }
  assertConsecutive(events);
  assert.equal(events[0]?.seq, 1);
});

test('a cursor that was never given out is refused, and so is a turn that is not there [stream-resumed]', async () => {
  const { client } = fleet();
  const { session_id: sessionId } = await client.completed('say: x');
  assert.equal(
    (await client.problem('GET', `/api/v1/sessions/${sessionId}/events?after=nonsense`)).code,
    'cursor_invalid',
  );
  const noTurn = await client.problem(
    'GET',
    `/api/v1/sessions/${sessionId}/events?turn_id=00000000-0000-7000-8000-000000000000`,
  );
  assert.equal(noTurn.code, 'turn_not_found');
});

test('sessions that stream at once, over SSE and one WebSocket, never mix [stream-unmixed]', async () => {
  const { client } = fleet();
  const socket = await client.ws();
  try {
    const prompt = (name: string): string =>
      `say: ${name} begins\nstream: 60 words at 5 ms\nrun: echo ${name} > mine.txt; cat *.txt`;
    socket.send({ prompt: prompt('birch'), stream: true, ref: 'birch' });
    socket.send({ prompt: prompt('cedar'), stream: true, ref: 'cedar' });
    const [alder, birch, cedar] = await Promise.all([
      client.streamed({ prompt: prompt('alder') }),
      socket.ended('birch'),
      socket.ended('cedar'),
    ]);
    const streams = { alder, birch: eventsOf(birch), cedar: eventsOf(cedar) };
    for (const [name, events] of Object.entries(streams)) {
      const end = events.at(-1);
      assert.ok(end?.turn_id);
      assertWholeTurn(events, { sessionId: end.session_id, turnId: end.turn_id });
      const text = JSON.stringify(events);
      assert.ok(text.includes(`${name} begins`) && String(end['stdout']).includes(name), name);
      for (const other of Object.keys(streams))
        assert.equal(other !== name && text.includes(other), false, `${other} in ${name}`);
    }
    assert.equal(new Set(Object.values(streams).map((events) => events[0]?.session_id)).size, 3);
  } finally {
    await socket.close();
  }
});

test('prompts on a busy session run one after the other, each as a turn of its own [turn-queued]', async () => {
  const { client } = fleet();
  const sessionId = 'busy';
  const first = await client.exec({ prompt: 'stream: 20 words at 25 ms', session_id: sessionId, background: true });
  const others = await Promise.all(
    ['second', 'third'].map((name) => client.exec({ prompt: `run: echo ${name} >> order.txt`, session_id: sessionId })),
  );
  const turns = [first.body.turn_id, ...others.map(({ body }) => body.turn_id)];
  assert.equal(new Set(turns).size, 3);
  assert.deepEqual(
    others.map(({ body }) => body.status),
    ['completed', 'completed'],
  );
  const events = await client.pages(sessionId);
  assertConsecutive(events);
  const ends = events.filter((event) => isTerminalEventType(event.type));
  assert.deepEqual(new Set(ends.map((event) => event.turn_id)), new Set(turns));
  assert.equal(ends.length, 3);
  // Between the start and the end of a turn nothing of another turn happens, but its being queued.
  let running: string | null = null;
  for (const event of events) {
    if (event.type === 'turn.started') {
      assert.equal(running, null, 'one turn at a time');
      running = event.turn_id;
    } else if (event.turn_id !== null && event.type !== 'turn.queued') {
      assert.equal(event.turn_id, running, event.type);
    }
    if (isTerminalEventType(event.type)) running = null;
  }
});

test('leaving a WebSocket subscription ends its events and not the turn [stream-resumed]', async () => {
  const { client } = fleet();
  const socket = await client.ws();
  try {
    socket.send({ prompt: 'stream: 40 words at 25 ms', stream: true, ref: 'left' });
    await socket.frame('a delta', (frame) => frame.type === 'item.delta');
    socket.send({ type: 'unsubscribe', ref: 'left' });
    const frames = await socket.ended('left');
    const place = frames[0];
    assert.ok(place !== undefined);
    const turn = await client.turnEnded(String(place['session_id']), String(place['turn_id']));
    assert.equal(turn.status, 'completed');
    assert.equal(
      socket.frames.some((frame) => isTerminalEventType(frame.type)),
      false,
    );
    socket.send({ type: 'ping', ref: 'still' });
    await eventually('a pong', 5_000, () =>
      socket.frames.some((frame) => frame.type === 'pong' && frame.ref === 'still'),
    );
  } finally {
    await socket.close();
  }
});

function eventsOf(frames: readonly Frame[]): EventOnWire[] {
  return frames.filter((frame) => 'seq' in frame).map(({ ref: _, ...event }) => event as unknown as EventOnWire);
}

async function collect(messages: AsyncIterable<{ readonly data: EventOnWire }>): Promise<EventOnWire[]> {
  const events: EventOnWire[] = [];
  for await (const { data } of messages) events.push(data);
  return events;
}

async function overWebSocket(sessionId: string, turnId: string, after: string): Promise<EventOnWire[]> {
  const socket = await fleet().client.ws();
  try {
    socket.send({ type: 'subscribe', session_id: sessionId, turn_id: turnId, after, ref: 'again' });
    return eventsOf(await socket.ended('again'));
  } finally {
    await socket.close();
  }
}
