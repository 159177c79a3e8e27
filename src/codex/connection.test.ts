import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../testing/fake-clock.ts';
import { Connection, type ConnectionOptions, type ProtocolProblem } from './connection.ts';
import { CallTimedOut, CodexRefused, ConnectionClosed, TooManyCalls } from './connection-errors.ts';
import { LineTooLong } from './framing.ts';
import type { RequestAnswer } from './server-requests.ts';

type Sent = { id?: number | string; method?: string; params?: unknown; result?: unknown; error?: unknown };

function connect(changes: Partial<ConnectionOptions> = {}) {
  const clock = new FakeClock();
  const sent: Sent[] = [];
  const heard: [string, string][] = [];
  const problems: ProtocolProblem[] = [];
  const connection = new Connection({
    write: (bytes) => sent.push(JSON.parse(bytes.toString('utf8')) as Sent),
    clock,
    onNotification: ({ method }, line) => heard.push([method, line]),
    onServerRequest: async () => ({ result: 'answer' }),
    onProblem: (problem) => problems.push(problem),
    random: () => 0,
    ...changes,
  });
  const say = (message: unknown): void => connection.receive(Buffer.from(`${JSON.stringify(message)}\n`));
  return { clock, sent, heard, problems, connection, say };
}

test('each answer settles its own call, in whatever order they come', async () => {
  const { connection, sent, say, clock } = connect();
  const one = connection.call('one', { a: 1 }, 100);
  const two = connection.call('two', {}, 100);
  assert.deepEqual(sent, [
    { id: 1, method: 'one', params: { a: 1 } },
    { id: 2, method: 'two', params: {} },
  ]);
  say({ id: 2, error: { code: -32600, message: 'no', data: { why: 'x' } } });
  say({ id: 1, result: { b: 2 } });
  assert.deepEqual(await one, { b: 2 });
  await assert.rejects(two, (error: unknown) => {
    assert.ok(error instanceof CodexRefused);
    assert.deepEqual([error.method, error.code, error.message, error.data], ['two', -32600, 'no', { why: 'x' }]);
    return true;
  });
  assert.equal(clock.pendingTimers, 0);
});

test('a call without an answer is rejected at its deadline, and a late answer is dropped', async () => {
  const { connection, clock, say, problems } = connect();
  const call = assert.rejects(connection.call('slow', {}, 100), CallTimedOut);
  clock.advance(100);
  await call;
  say({ id: 1, result: {} });
  assert.deepEqual(problems, [{ kind: 'unexpected_answer', id: 1 }]);
});

test('no more than the limit is in flight, the others wait in order, and beyond the queue they are refused', async () => {
  const { connection, sent, say, clock } = connect({ maxInFlight: 2, maxWaiting: 2 });
  const calls = ['a', 'b', 'c', 'd'].map((method) => connection.call(method, {}, 100));
  await assert.rejects(connection.call('e', {}, 100), TooManyCalls);
  assert.deepEqual(
    sent.map(({ method }) => method),
    ['a', 'b'],
  );
  say({ id: 2, result: 'B' });
  assert.equal(await calls[1], 'B');
  assert.deepEqual(
    sent.map(({ method }) => method),
    ['a', 'b', 'c'],
  );
  // The wait counts: d's deadline passes while it was never sent; a's frees its place for nobody.
  const rejected = Promise.all(
    [0, 2, 3].map((index) => assert.rejects(calls[index] ?? Promise.resolve(), CallTimedOut)),
  );
  clock.advance(100);
  await rejected;
  assert.equal(clock.pendingTimers, 0);
});

test('an overloaded Codex is asked again, later each time, until the deadline', async () => {
  const { connection, sent, say, clock } = connect();
  const overloaded = { code: -32001, message: 'overloaded' };
  const call = connection.call('m', {}, 120);
  say({ id: 1, error: overloaded });
  clock.advance(24);
  assert.equal(sent.length, 1);
  clock.advance(1);
  say({ id: 2, error: overloaded });
  clock.advance(50);
  assert.deepEqual(
    sent.map(({ id }) => id),
    [1, 2, 3],
  );
  const rejected = assert.rejects(call, (error: unknown) => error instanceof CodexRefused && error.code === -32001);
  say({ id: 3, error: overloaded });
  await rejected;
  assert.equal(clock.pendingTimers, 0);
});

test('closing rejects each waiting call, sent or not, with its own error, and nothing goes in or out afterwards', async () => {
  const { connection, sent, say, heard, clock } = connect({ maxInFlight: 1 });
  const calls = [connection.call('a', {}, 100), connection.call('b', {}, 100)];
  const rejected = Promise.all(calls.map((call) => assert.rejects(call, ConnectionClosed)));
  connection.close('its output ended');
  connection.close('again');
  await rejected;
  await assert.rejects(connection.call('c', {}, 100), /its output ended/);
  connection.notify('n');
  say({ method: 'late' });
  assert.deepEqual([sent.length, heard, clock.pendingTimers], [1, [], 0]);
});

test('a notification comes with the line as it was written; a listener that throws stops nothing', () => {
  const { connection, heard, problems } = connect({
    onNotification: ({ method }, line) => {
      if (method === 'bad') throw new Error('listener');
      heard.push([method, line]);
    },
  });
  connection.receive(Buffer.from('{"method":"bad"}\n{ "method": "x", "params": {"é": 1} }\n'));
  assert.deepEqual(heard, [['x', '{ "method": "x", "params": {"é": 1} }']]);
  assert.equal(problems[0]?.kind, 'listener_failed');
});

test('lines that are no messages are counted and passed over', () => {
  const { connection, problems, heard } = connect();
  connection.receive(Buffer.from('{"half\n\n[]\n"text"\nnull\n{"id":null,"method":"m"}\n{"id":{},"result":1}\n{}\n'));
  connection.receive(Buffer.from([0xff, 0xfe, 0x0a]));
  connection.receive(Buffer.from('{"method":"fine"}\n'));
  assert.deepEqual(
    problems.map(({ kind }) => kind),
    [...Array.from({ length: 5 }, () => 'malformed_line'), 'unexpected_answer', 'unexpected_answer', 'malformed_line'],
  );
  assert.equal(heard.length, 1);
});

test('a line beyond the limit is thrown to the owner of the process', () => {
  const { connection } = connect({ maxLineBytes: 10 });
  assert.throws(() => connection.receive(Buffer.alloc(11, 0x61)), LineTooLong);
});

test("a request of Codex's gets the handler's answer, or a refusal when that fails or is late", async () => {
  const answers: Record<string, Promise<RequestAnswer>> = {
    good: Promise.resolve({ result: { decision: 'decline' } }),
    refused: Promise.resolve({ error: { code: 1, message: 'no' } }),
    throws: Promise.reject(new Error('secret detail')),
    unwritable: Promise.resolve({ result: '\ud800' }),
    never: new Promise(() => {}),
  };
  const signals: AbortSignal[] = [];
  const { say, sent, clock, problems } = connect({
    serverRequestDeadlineMs: 1_000,
    onServerRequest: (request, signal) => {
      signals.push(signal);
      return answers[request.method] ?? Promise.reject(new Error('unknown'));
    },
  });
  for (const method of Object.keys(answers)) say({ id: `r-${method}`, method, params: {} });
  await clock.advanceAsync(1_000);
  const refusal = (message: string): unknown => ({ code: -32603, message });
  assert.deepEqual(
    sent.toSorted((a, b) => String(a.id).localeCompare(String(b.id))),
    [
      { id: 'r-good', result: { decision: 'decline' } },
      { id: 'r-never', error: refusal('no answer came in time') },
      { id: 'r-refused', error: { code: 1, message: 'no' } },
      { id: 'r-throws', error: refusal('the request could not be handled') },
      { id: 'r-unwritable', error: refusal('the request could not be handled') },
    ],
  );
  assert.deepEqual(
    signals.map(({ aborted }) => aborted),
    [false, false, true, false, true],
  );
  assert.equal(problems.filter(({ kind }) => kind === 'request_refused').length, 3);
  assert.equal(clock.pendingTimers, 0);
});

test('an approval has no deadline here: who asks a person keeps the time of it', async () => {
  const approval = Promise.withResolvers<RequestAnswer>();
  const { say, sent, clock, problems } = connect({
    serverRequestDeadlineMs: 1_000,
    onServerRequest: () => approval.promise,
  });
  say({ id: 5, method: 'item/commandExecution/requestApproval', params: {} });
  await clock.advanceAsync(1_000_000);
  assert.deepEqual([sent, clock.pendingTimers], [[], 0]);
  approval.resolve({ result: { decision: 'accept' } });
  await clock.advanceAsync(0);
  assert.deepEqual([sent, problems], [[{ id: 5, result: { decision: 'accept' } }], []]);
});

test('closing aborts what handles a request, and no answer is sent', async () => {
  let aborted = false;
  const { say, sent, connection, clock } = connect({
    onServerRequest: (_request, signal) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => {
          aborted = true;
          resolve({ result: 'late' });
        });
      }),
  });
  say({ id: 7, method: 'ask' });
  connection.close('it ended');
  await clock.advanceAsync(0);
  assert.deepEqual([aborted, sent, clock.pendingTimers], [true, [], 0]);
});
