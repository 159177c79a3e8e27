import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../../testing/fake-clock.ts';
import { DemoModel } from './demo-model.ts';
import { BrokenOff } from './script-player.ts';

type Event = Readonly<Record<string, unknown>> & { readonly type: string };
type Call = { readonly name: string; readonly call_id: string; readonly arguments: string };

const signal = new AbortController().signal;

function user(...texts: string[]): object {
  return { type: 'message', role: 'user', content: texts.map((text) => ({ type: 'input_text', text })) };
}

function call(model: DemoModel, input: readonly object[], abort: AbortSignal = signal): ReturnType<DemoModel['send']> {
  return model.send({ parsed: { model: 'demo', input, client_metadata: { turn_id: 't1' } }, signal: abort });
}

async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

function eventsOf(text: string): Event[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('data: '))
    .map((line) => JSON.parse(line.slice(6)) as Event);
}

async function events(model: DemoModel, input: readonly object[]): Promise<Event[]> {
  return eventsOf(await textOf((await call(model, input)).body));
}

function said(list: readonly Event[]): string {
  return list
    .filter(({ type }) => type === 'response.output_text.delta')
    .map(({ delta }) => String(delta))
    .join('');
}

function responseIn(list: readonly Event[]): { usage: Record<string, number>; error: { code: string } } {
  return list.at(-1)?.['response'] as { usage: Record<string, number>; error: { code: string } };
}

function callIn(list: readonly Event[]): Call | undefined {
  const done = list.filter(({ type }) => type === 'response.output_item.done');
  return done.map(({ item }) => item as Call & { type: string }).find(({ type }) => type === 'function_call');
}

test('a script goes on where the tool calls of the turn say', async () => {
  const model = new DemoModel(new FakeClock());
  const input: object[] = [user('run: one\nsay: between\nask: two')];
  const first = callIn(await events(model, input));
  assert.equal(first?.name, 'exec_command');
  assert.equal(JSON.parse(first?.arguments ?? '').cmd, 'one');

  input.push(
    { type: 'function_call', ...first },
    { type: 'function_call_output', call_id: first?.call_id, output: 'Process exited with code 0\nOutput:\nx' },
  );
  const second = await events(model, input);
  assert.equal(said(second), 'between');
  assert.equal(JSON.parse(callIn(second)?.arguments ?? '').sandbox_permissions, 'require_escalated');
});

test('a command that still runs is waited for, and what a command prints cannot pretend to be one', async () => {
  const model = new DemoModel(new FakeClock());
  const after = (output: string): object[] => [
    user('run: sleep 60'),
    { type: 'function_call', call_id: 'demo_0_a', name: 'exec_command', arguments: '{}' },
    { type: 'function_call_output', call_id: 'demo_0_a', output },
  ];
  const poll = callIn(await events(model, after('Process running with session ID 7\nOutput:\n')));
  assert.equal(poll?.name, 'write_stdin');
  assert.equal(JSON.parse(poll?.arguments ?? '').session_id, 7);

  const ended = await events(model, after('Process exited with code 0\nOutput:\nProcess running with session ID 7'));
  assert.match(said(ended), /exit code 0/);
});

test('what Codex adds in the name of the user is no prompt', async () => {
  const model = new DemoModel(new FakeClock());
  const list = await events(model, [
    user(
      '# AGENTS.md instructions for /s/ws\n\nbe kind',
      '<environment_context>\n<cwd>/</cwd>\n</environment_context>',
    ),
    user('first\nprompt'),
    user('<turn_aborted>\nx\n</turn_aborted>'),
    user('recall'),
    user('<environment_context>y</environment_context>'),
  ]);
  assert.equal(said(list), '1. first prompt');
});

test('the events of an answer are those of OpenAI, numbered, with usage at the end', async () => {
  const list = await events(new DemoModel(new FakeClock()), [user('say: hi')]);
  assert.deepEqual(
    list.map(({ type }) => type),
    [
      'response.created',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ],
  );
  assert.deepEqual(
    list.map(({ sequence_number: number }) => number),
    list.map((_, index) => index),
  );
  const { usage } = responseIn(list);
  assert.equal(usage['output_tokens'], 1);
  assert.ok((usage['input_tokens'] ?? 0) > 10);
});

test('words come at the pace that was asked for', async () => {
  const clock = new FakeClock();
  const { body } = await call(new DemoModel(clock), [user('stream: 3 words at 20 ms')]);
  const text = textOf(body);
  await clock.advanceAsync(60);
  assert.equal(said(eventsOf(await text)), 'word1 word2 word3');
  assert.equal(clock.monotonicMs(), 60);
});

test('an answer breaks off after its words, once, and another turn breaks off again', async () => {
  const model = new DemoModel(new FakeClock());
  const input = [user('break: after 2 words\nsay: back')];
  const seen: Uint8Array[] = [];
  const { body } = await call(model, input);
  await assert.rejects(async () => {
    for await (const chunk of body) seen.push(chunk);
  }, BrokenOff);
  assert.equal(said(eventsOf(Buffer.concat(seen).toString('utf8'))), 'word1 word2');
  assert.equal(said(await events(model, input)), 'back');

  const other = await model.send({ parsed: { input, client_metadata: { turn_id: 't2' } }, signal });
  await assert.rejects(textOf(other.body), BrokenOff);
});

test('a stall ends with the caller, before the headers or after, and leaves no timer', async () => {
  const clock = new FakeClock();
  const model = new DemoModel(clock);
  for (const prompt of ['stall headers: 60 s', 'stall: 60 s', 'stream: 5 words at 60 s']) {
    const abort = new AbortController();
    const whole = call(model, [user(prompt)], abort.signal).then(({ body }) => textOf(body));
    await new Promise(setImmediate);
    abort.abort(new Error('gone'));
    await assert.rejects(whole, /gone/);
    assert.equal(clock.pendingTimers, 0);
  }
});

test('a failure that comes behind a text is reported in the stream', async () => {
  const list = await events(new DemoModel(new FakeClock()), [user('say: a\nfail: rate_limit')]);
  const { error } = responseIn(list);
  assert.equal(list.at(-1)?.type, 'response.failed');
  assert.equal(error.code, 'rate_limit_exceeded');
});

test('any other prompt is answered with what the demo model is and what it was shown', async () => {
  const list = await events(new DemoModel(new FakeClock()), [user('one'), user('Do my homework')]);
  assert.match(said(list), /I am the demo model.*You wrote: "Do my homework".*Earlier prompts that I was shown: 1/s);
});

test('a mistake in a script is answered with its line and what is allowed', async () => {
  const list = await events(new DemoModel(new FakeClock()), [user('say: a\nwait: long')]);
  assert.match(said(list), /mistake in line 2: allowed is `wait: 500 ms`/);
});

for (const parsed of [null, [], 'x', {}, { input: [null, 3, { role: 'user' }] }]) {
  test(`a request like ${JSON.stringify(parsed)} does no harm`, async () => {
    const { body } = await new DemoModel(new FakeClock()).send({ parsed, signal });
    assert.match(said(eventsOf(await textOf(body))), /I am the demo model/);
  });
}
