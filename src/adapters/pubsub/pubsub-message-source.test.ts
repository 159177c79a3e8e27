// The rules of reading, on a clock: the calls to Pub/Sub are a script here.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MessageAnswer } from '../../contracts/message-source.ts';
import { FakeClock } from '../../testing/fake-clock.ts';
import { silentLogger } from '../../testing/pubsub-consumers.ts';
import { deadLetterOf } from './dead-letter.ts';
import { type MessageSourceOptions, PubsubMessageSource, sourceDefaults } from './pubsub-message-source.ts';
import type { Answered, PulledMessage, StreamListener, SubscriptionCalls } from './pubsub-subscription.ts';

const nobody: Answered = { again: [], lost: [] };

class ScriptedCalls implements SubscriptionCalls {
  readonly name = 'projects/p/subscriptions/s';
  readonly acknowledged: string[] = [];
  readonly extended: string[] = [];
  readonly givenBack: string[] = [];
  readonly openings: number[] = [];
  isPaused = false;
  isClosed = false;
  listener: StreamListener | null = null;
  answer: (ackIds: readonly string[]) => Answered = () => nobody;
  readonly #clock: FakeClock;

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  open(_limits: unknown, listener: StreamListener) {
    this.openings.push(this.#clock.monotonicMs());
    this.listener = listener;
    return {
      pause: () => void (this.isPaused = true),
      resume: () => void (this.isPaused = false),
      close: () => void (this.listener = null),
    };
  }

  async acknowledge(ackIds: readonly string[]): Promise<Answered> {
    this.acknowledged.push(...ackIds);
    return this.answer(ackIds);
  }

  async extend(ackIds: readonly string[], seconds: number): Promise<Answered> {
    (seconds === 0 ? this.givenBack : this.extended).push(...ackIds);
    return this.answer(ackIds);
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}

function started(
  handle: (id: string) => Promise<MessageAnswer>,
  changes: Partial<MessageSourceOptions> = {},
): { calls: ScriptedCalls; clock: FakeClock; source: PubsubMessageSource; send(...pulled: PulledMessage[]): void } {
  const clock = new FakeClock();
  const calls = new ScriptedCalls(clock);
  const source = new PubsubMessageSource({
    ...sourceDefaults,
    calls,
    deadLetters: null,
    maxMessages: 3,
    clock,
    logger: silentLogger,
    ...changes,
  });
  source.start(({ id }) => handle(id));
  calls.listener?.opened();
  return { calls, clock, source, send: (...pulled) => calls.listener?.messages(pulled) };
}

function pulled(id: string, orderingKey = '', bytes = 1): PulledMessage {
  const data = Buffer.alloc(bytes);
  return { ackId: id, message: { id, data, attributes: {}, orderingKey, publishedAt: 0, deliveryAttempt: 0 } };
}

test('a message answered later is handled again, ever more slowly, and given back when it was held for too long', async () => {
  const times: number[] = [];
  const { calls, clock, send, source } = started(async () => {
    times.push(clock.monotonicMs());
    return { outcome: 'later' };
  });
  send(pulled('a'));
  await clock.advanceAsync(sourceDefaults.longestHoldMs + 60_000);
  assert.deepEqual(times.slice(0, 5), [0, 500, 1_500, 3_500, 7_500]);
  const gaps = times.map((time, at) => time - (times[at - 1] ?? 0));
  assert.ok(Math.max(...gaps) <= 30_000);
  assert.deepEqual(calls.givenBack, ['a']);
  assert.deepEqual(calls.acknowledged, []);
  await source.stop();
  assert.equal(clock.pendingTimers, 0);
});

test('the lease of a message in hand is extended in time, and not beyond the bound', async () => {
  const { calls, clock, send, source } = started(() => new Promise(() => {}), {
    longestHoldMs: 100_000,
    stopTimeoutMs: 10,
  });
  send(pulled('a'));
  const extensions: number[] = [];
  let before = 0;
  for (let second = 0; second < 200; second += 1) {
    await clock.advanceAsync(1_000);
    if (calls.extended.length > before) extensions.push(clock.monotonicMs());
    before = calls.extended.length;
  }
  assert.ok(extensions.length > 3);
  const gaps = extensions.map((time, at) => time - (extensions[at - 1] ?? 0));
  assert.ok(Math.max(...gaps) < sourceDefaults.leaseMs, gaps.join());
  assert.ok(Math.max(...extensions) <= 100_000, extensions.join());
  const stopped = source.stop();
  await clock.advanceAsync(10);
  await stopped;
});

test('those of one key are handled one after the other; one that is given back takes the rest of its key with it', async () => {
  const asked: string[] = [];
  const { calls, clock, send, source } = started(
    async (id) => {
      asked.push(id);
      return { outcome: id === 'a2' ? 'later' : 'done' };
    },
    { maxMessages: 10, longestHoldMs: 1_000 },
  );
  send(pulled('a1', 'a'), pulled('a2', 'a'), pulled('a3', 'a'), pulled('b1', 'b'), pulled('c'));
  await clock.advanceAsync(100);
  assert.deepEqual(asked, ['a1', 'b1', 'c', 'a2']);
  await clock.advanceAsync(10_000);
  assert.ok(!asked.includes('a3'));
  assert.deepEqual(calls.givenBack, ['a2', 'a3']);
  assert.deepEqual(calls.acknowledged.toSorted(), ['a1', 'b1', 'c']);
  // What comes of that key from now on is handled.
  send(pulled('a4', 'a'));
  await clock.advanceAsync(10);
  assert.equal(asked.at(-1), 'a4');
  await source.stop();
});

test('with enough in hand, by number or by bytes, nothing more is read; with room again it is', async () => {
  const answers: ((answer: MessageAnswer) => void)[] = [];
  const { calls, clock, send, source } = started(() => new Promise((resolve) => answers.push(resolve)), {
    maxBytes: 100,
  });
  send(pulled('a'), pulled('b'));
  assert.equal(calls.isPaused, false);
  send(pulled('c'), pulled('d'));
  assert.equal(calls.isPaused, true);
  assert.equal(answers.length, 3);
  for (const answer of answers.splice(0)) answer({ outcome: 'done' });
  await clock.advanceAsync(0);
  assert.deepEqual([answers.length, calls.isPaused], [1, false]);
  send(pulled('e', '', 100));
  assert.deepEqual([answers.length, calls.isPaused], [2, true]);
  for (const answer of answers.splice(0)) answer({ outcome: 'done' });
  await clock.advanceAsync(0);
  assert.equal(calls.isPaused, false);
  await source.stop();
});

test('an acknowledgement that failed for now is repeated; one whose lease is over is not', async () => {
  const { calls, clock, send, source } = started(async () => ({ outcome: 'done' }));
  let calling = 0;
  calls.answer = (ackIds) => {
    calling += 1;
    return calling === 1
      ? { again: ackIds.filter((id) => id === 'a'), lost: ackIds.filter((id) => id === 'b') }
      : nobody;
  };
  send(pulled('a'), pulled('b'));
  await clock.advanceAsync(1_000);
  assert.deepEqual(calls.acknowledged, ['a', 'b', 'a']);
  await source.stop();
});

test('a server that never takes an acknowledgement gets five, and the place is free again', async () => {
  const { calls, clock, send, source } = started(async () => ({ outcome: 'done' }), { maxMessages: 1 });
  calls.answer = (again) => ({ again, lost: [] });
  send(pulled('a'));
  await clock.advanceAsync(10_000);
  assert.deepEqual(calls.acknowledged, ['a', 'a', 'a', 'a', 'a']);
  assert.equal(calls.isPaused, false);
  await source.stop();
});

test('a stream that cannot be opened is tried ever more slowly; one that was open and ended is opened at once and no news', async () => {
  const { calls, clock, source } = started(async () => ({ outcome: 'done' }));
  assert.deepEqual(source.state(), { state: 'reading' });
  calls.listener?.ended('unreachable', null);
  assert.deepEqual(source.state(), { state: 'reading' });
  await clock.advanceAsync(250);
  assert.equal(calls.openings.length, 2);
  for (let attempt = 0; attempt < 12; attempt += 1) {
    calls.listener?.ended('permission_denied', null);
    assert.deepEqual(source.state(), { state: 'unavailable', reason: 'permission_denied' });
    await clock.advanceAsync(15_000);
  }
  assert.equal(calls.openings.length, 14);
  calls.listener?.opened();
  assert.deepEqual(source.state(), { state: 'reading' });
  await source.stop();
  assert.equal(clock.pendingTimers, 0);
});

test('a handler that rejects is as one that answers later', async () => {
  let calls = 0;
  const {
    calls: script,
    clock,
    send,
    source,
  } = started(async () => {
    calls += 1;
    if (calls === 1) throw new TypeError('a defect');
    return { outcome: 'done' };
  });
  send(pulled('a'));
  await clock.advanceAsync(1_000);
  assert.equal(calls, 2);
  assert.deepEqual(script.acknowledged, ['a']);
  await source.stop();
});

test('a stop waits for what is being handled, gives back the rest, and ends also when a handler does not', async () => {
  const answers = new Map<string, (answer: MessageAnswer) => void>();
  const { calls, clock, send, source } = started((id) => new Promise((resolve) => answers.set(id, resolve)));
  send(pulled('a'), pulled('b', 'k'), pulled('c', 'k'), pulled('d'));
  let isStopped = false;
  const stopped = source.stop().then(() => {
    isStopped = true;
  });
  answers.get('a')?.({ outcome: 'done' });
  await clock.advanceAsync(100);
  assert.equal(isStopped, false);
  assert.deepEqual(calls.acknowledged, ['a']);
  await clock.advanceAsync(sourceDefaults.stopTimeoutMs);
  await stopped;
  assert.deepEqual(calls.givenBack.toSorted(), ['b', 'c', 'd']);
  assert.equal(calls.isClosed, true);
  assert.equal(clock.pendingTimers, 0);
  assert.deepEqual([...answers.keys()], ['a', 'b']);
});

test('poison that nobody puts aside is given back ever more slowly, however soon it comes again', async () => {
  const { calls, clock, send, source } = started(async () => ({ outcome: 'poison', reason: 'never' }));
  const times: number[] = [];
  send(pulled('a'));
  for (let second = 0; second < 120; second += 0.1) {
    await clock.advanceAsync(100);
    if (calls.givenBack.length === times.length) continue;
    times.push(clock.monotonicMs());
    send(pulled('a'));
  }
  const gaps = times.map((time, at) => time - (times[at - 1] ?? 0));
  assert.ok(times.length >= 6 && times.length <= 10, `${times.length} times`);
  assert.ok((gaps[0] ?? 0) >= 500 && (gaps[3] ?? 0) >= 4_000, gaps.join());
  assert.ok(Math.max(...gaps) <= 31_000, gaps.join());
  // After a restart the server may tell how often it came.
  const other = pulled('b');
  send({ ...other, message: { ...other.message, deliveryAttempt: 6 } });
  await clock.advanceAsync(15_000);
  assert.equal(calls.givenBack.includes('b'), false);
  await clock.advanceAsync(2_000);
  assert.equal(calls.givenBack.includes('b'), true);
  await source.stop();
  assert.deepEqual(calls.acknowledged, []);
  assert.equal(clock.pendingTimers, 0);
});

test('what is put aside keeps within the limits of Pub/Sub, and says why in any case', () => {
  const many = Object.fromEntries([...Array(100).keys()].map((number) => [`name${number}`, 'x']));
  const message = { ...pulled('1').message, attributes: { ...many, googclient_x: 'y' } };
  const { attributes } = deadLetterOf(message, '€'.repeat(1_000), 'projects/p/subscriptions/s');
  assert.equal(Object.keys(attributes).length, 100);
  assert.equal('googclient_x' in attributes, false);
  const reason = attributes['CodexFleetDeadLetterReason'] ?? '';
  assert.ok(Buffer.byteLength(reason) <= 1_024 && reason.startsWith('€€'), `${Buffer.byteLength(reason)}`);
});
