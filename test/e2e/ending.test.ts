import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTerminalEventType } from '../../src/core/event.ts';
import { assertConsecutive } from './event-checks.ts';
import { eventually } from './eventually.ts';
import { codexAbove, describe, findByArgs, isAlive } from './processes.ts';
import { useFleet } from './use-fleet.ts';

const fleet = useFleet();

/** Durations of `sleep` that nothing else on this machine uses, so that /proc can be searched for them. */
let durations = 0;
function uniqueDuration(): string {
  durations += 1;
  return `600.${process.pid}${String(durations).padStart(3, '0')}`;
}

for (const stall of ['stall', 'stall headers']) {
  test(`timeout_ms ends a turn whose model does nothing (${stall}), and the session goes on [turn-timeout]`, async () => {
    const { client } = fleet();
    const sessionId = stall.replace(' ', '-');
    await client.completed('write: kept.txt: kept', sessionId);
    const { status, body, elapsedMs, text } = await client.exec({
      prompt: stall,
      session_id: sessionId,
      timeout_ms: 1500,
    });
    assert.equal(status, 200, text);
    assert.deepEqual([body.status, body.exit_code, body.error?.code], ['timed_out', 124, 'turn_timed_out']);
    assert.ok(elapsedMs >= 1500 && elapsedMs < 6500, `answered after ${Math.round(elapsedMs)} ms`);
    assert.ok(body.execution_time_ms >= 1500 && body.execution_time_ms <= elapsedMs);
    assert.equal(await terminalEvents(body.session_id, body.turn_id), 'turn.timed_out');
    assert.match((await client.completed('run: cat kept.txt', sessionId)).stdout, /kept/);
  });
}

test('timeout_ms ends what the turn had started, too [turn-timeout]', async () => {
  const { client } = fleet();
  const duration = uniqueDuration();
  const answer = client.exec({ prompt: `run: setsid sleep ${duration} & sleep ${duration}`, timeout_ms: 1500 });
  await eventually('both commands run', 10_000, () => findByArgs('sleep', duration).length === 2);
  assert.equal((await answer).body.status, 'timed_out');
  await nothingRuns(duration);
});

test('wait_ms answers 202 with where to look, and the turn goes on to its end [turn-wait]', async () => {
  const { client } = fleet();
  const { status, body, headers, elapsedMs } = await client.exec({
    prompt: 'stream: 60 words at 50 ms',
    wait_ms: 1000,
  });
  assert.equal(status, 202);
  assert.deepEqual([body.status, body.exit_code, body.error], ['running', null, null]);
  assert.ok(elapsedMs >= 1000 && elapsedMs < 3000, `answered after ${Math.round(elapsedMs)} ms`);
  const location = headers.get('location');
  assert.equal(location, `/api/v1/sessions/${body.session_id}/turns/${body.turn_id}`);
  assert.equal((await client.turnEnded(body.session_id, body.turn_id)).status, 'completed');
});

test('background answers 202 at once, before the turn has run [exec-background]', async () => {
  const { client } = fleet();
  const { status, body, headers, elapsedMs } = await client.exec({
    prompt: 'stream: 20 words at 50 ms',
    background: true,
  });
  assert.equal(status, 202);
  assert.ok(elapsedMs < 1000, `answered after ${Math.round(elapsedMs)} ms`);
  assert.ok(['queued', 'running'].includes(body.status));
  const looked = await client.request<{ id: string }>('GET', headers.get('location') ?? '');
  assert.equal(looked.body.id, body.turn_id);
  assert.equal((await client.turnEnded(body.session_id, body.turn_id)).stdout.split(' ').length, 20);
});

test('a cancelled turn leaves none of its processes, setsid or not, and its session goes on [turn-cancel]', async () => {
  const { client } = fleet();
  const sessionId = 'cancelled';
  await client.completed('write: kept.txt: kept', sessionId);
  const duration = uniqueDuration();
  const turn = await client.startTurn(`run: sleep ${duration} & setsid sleep ${duration} & wait`, sessionId);
  await eventually('both commands run', 10_000, () => findByArgs('sleep', duration).length === 2);
  const cancelled = await client.cancel(sessionId, turn.id);
  assert.equal(cancelled.status, 200, cancelled.text);
  assert.deepEqual(
    [cancelled.body.status, cancelled.body.exit_code, cancelled.body.reason],
    ['cancelled', 130, 'user'],
  );
  await nothingRuns(duration);
  assert.equal(await terminalEvents(turn.session_id, turn.id), 'turn.cancelled');
  assert.match((await client.completed('run: cat kept.txt', sessionId)).stdout, /kept/);
  assert.equal((await client.cancel(sessionId, turn.id)).status, 409, 'it has ended');
});

test('a turn that waits for its session can be cancelled before it runs, over a WebSocket too [turn-cancel]', async () => {
  const { client } = fleet();
  const sessionId = 'cancelled-waiting';
  const first = await client.exec({ prompt: 'stall', session_id: sessionId, background: true });
  await eventually(
    'the first runs',
    10_000,
    async () => (await client.turn(sessionId, first.body.turn_id)).status === 'running',
  );
  const [second, third] = [
    await client.startTurn('say: never', sessionId),
    await client.startTurn('say: never', sessionId),
  ];
  assert.equal((await client.cancel(sessionId, second.id)).body.status, 'cancelled');
  const socket = await client.ws();
  try {
    socket.send({ type: 'cancel', session_id: sessionId, turn_id: third.id, ref: 'c' });
    await socket.frame('the answer to cancel', (frame) => frame.ref === 'c');
  } finally {
    await socket.close();
  }
  assert.equal((await client.turnEnded(sessionId, third.id)).status, 'cancelled');
  assert.equal((await client.turn(sessionId, first.body.turn_id)).status, 'running', 'the first is not disturbed');
  assert.equal((await client.cancel(sessionId, first.body.turn_id)).body.status, 'cancelled');
  const events = await client.pages(sessionId);
  assertConsecutive(events);
  assert.equal(events.filter((event) => event.type === 'turn.started').length, 1);
});

test('kill -9 of Codex in mid-turn gives one terminal event, and the session goes on with its files [turn-crash]', async () => {
  const { client } = fleet();
  const sessionId = 'crashed';
  await client.completed('write: kept.txt: kept', sessionId);
  const duration = uniqueDuration();
  const answer = client.exec({ prompt: `write: half.txt: half\nrun: sleep ${duration}`, session_id: sessionId });
  const sleeping = await eventually('the command runs', 10_000, () => findByArgs('sleep', duration)[0]);
  const codex = codexAbove(sleeping.pid);
  assert.ok(codex !== null, 'the command was started by Codex');
  process.kill(codex.pid, 'SIGKILL');

  const { status, body, text } = await answer;
  assert.equal(status, 200, text);
  assert.deepEqual([body.status, body.exit_code, body.error?.code], ['failed', 1, 'agent_crashed']);
  await nothingRuns(duration);
  assert.equal(isAlive(codex), false);
  assert.equal(await terminalEvents(body.session_id, body.turn_id), 'turn.failed');

  const next = await client.completed('run: cat kept.txt half.txt', sessionId);
  assert.match(next.stdout, /kept\n?half/);
  assert.match((await client.completed('recall', sessionId)).stdout, /write: kept\.txt/, 'and with its history');
});

test('a Codex that dies between turns is replaced unnoticed [turn-crash]', async () => {
  const { client } = fleet();
  const sessionId = 'crashed-idle';
  const duration = uniqueDuration();
  const answer = client.exec({
    prompt: `write: kept.txt: kept\nrun: sleep ${duration.replace('600', '1')}`,
    session_id: sessionId,
  });
  const sleeping = await eventually(
    'the command runs',
    10_000,
    () => findByArgs('sleep', duration.replace('600', '1'))[0],
  );
  const codex = codexAbove(sleeping.pid);
  assert.equal((await answer).body.status, 'completed');
  assert.ok(codex !== null && isAlive(codex), 'it waits for the next turn');
  const before = await crashes();
  process.kill(codex.pid, 'SIGKILL');
  await eventually('its end is noticed', 5_000, async () => (await crashes()) === before + 1);
  assert.match((await client.completed('run: cat kept.txt', sessionId)).stdout, /kept/);
});

async function crashes(): Promise<number> {
  const { text } = await fleet().client.request('GET', '/metrics');
  return Number(/^codex_fleet_slot_recycles_total\{reason="crashed"\} (\d+)$/m.exec(text)?.[1]);
}

async function nothingRuns(duration: string): Promise<void> {
  await eventually('none of its processes is alive', 2_000, () => findByArgs('sleep', duration).length === 0).catch(
    () => assert.fail(`still alive:\n${describe(findByArgs('sleep', duration))}`),
  );
}

/** The types of the turn's terminal events, joined: one name when all is well. */
async function terminalEvents(sessionId: string, turnId: string): Promise<string> {
  const events = await fleet().client.pages(sessionId);
  assertConsecutive(events);
  return events
    .filter((event) => event.turn_id === turnId && isTerminalEventType(event.type))
    .map((event) => event.type)
    .join(', ');
}
