// Lines in testdata were recorded from codex 0.169 with the pinned settings, against a scripted model.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { EventDraft } from '../core/event.ts';
import { itemOfLine } from './items.ts';
import { type Notification, TurnTranslator } from './translate.ts';

const sessionId = '019a0000-0000-7000-8000-000000000001';
const turnId = '019a0000-0000-7000-8000-00000000000a';

function recorded(name: string): string[] {
  return readFileSync(join(import.meta.dirname, 'testdata', `${name}.jsonl`), 'utf8')
    .trimEnd()
    .split('\n');
}

function newTranslator(): TurnTranslator {
  return new TurnTranslator({ sessionId, turnId });
}

function feedAll(translator: TurnTranslator, lines: readonly string[]): EventDraft[] {
  return lines.flatMap((line) => translator.feed(JSON.parse(line) as Notification, line));
}

function feedOne(translator: TurnTranslator, method: string, params: unknown): EventDraft[] {
  return feedAll(translator, [JSON.stringify({ method, params })]);
}

function play(name: string): { translator: TurnTranslator; events: EventDraft[]; lines: string[] } {
  const translator = newTranslator();
  const lines = recorded(name);
  return { translator, lines, events: feedAll(translator, lines) };
}

function typesOf(events: readonly EventDraft[]): string[] {
  return events.map((event) => event.type);
}

function itemsOf(events: readonly EventDraft[], type: string): unknown[] {
  return events.filter((event) => event.type === type).map((event) => event.fields['item']);
}

describe('a turn of the real Codex', () => {
  test('an answer becomes items, deltas and usage, in the order in which Codex said them', () => {
    const { translator, events, lines } = play('answer');
    assert.equal(events.length, lines.length);
    assert.deepEqual(typesOf(events), [
      'codex.thread.status.changed',
      'codex.thread.settings.updated',
      'codex.thread.status.changed',
      'codex.turn.started',
      'item.started',
      'item.completed',
      'item.started',
      'codex.item.reasoning.summaryPartAdded',
      'item.delta',
      'item.completed',
      'item.started',
      'item.delta',
      'item.delta',
      'item.delta',
      'item.completed',
      'usage.updated',
      'codex.thread.status.changed',
      'codex.turn.completed',
    ]);
    assert.deepEqual(itemsOf(events, 'item.completed').slice(1), [
      { id: 'rs10', type: 'reasoning', text: 'thinking about it' },
      { id: 'm11', type: 'agent_message', text: 'Hello there friend' },
    ]);
    assert.deepEqual(events[11]?.fields, { item_id: 'm11', kind: 'agent_message', delta: 'Hello ' });
    assert.deepEqual(events[15]?.fields, {
      usage: {
        input_tokens: 10,
        cached_input_tokens: 2,
        output_tokens: 3,
        reasoning_output_tokens: 1,
        cost_usd: null,
      },
    });
    assert.deepEqual(translator.outcome, { status: 'completed', error: null });
    assert.equal(translator.finalMessage, 'Hello there friend');
  });

  test('every event is of our turn and carries the line it came from, deltas none', () => {
    const { events, lines } = play('answer');
    assert.ok(events.every((event) => event.turnId === turnId));
    assert.deepEqual(
      events.map((event) => event.raw),
      events.map((event, index) => (event.type === 'item.delta' ? null : lines[index])),
    );
  });

  test('commands and patches have the shapes of the Codex SDK', () => {
    const { translator, events } = play('tools');
    const tools = events.flatMap((event) => {
      const item = event.fields['item'] as { type: string } | undefined;
      return item?.type === 'command_execution' || item?.type === 'file_change' ? [[event.type, item]] : [];
    });
    const command = { id: 'c11', type: 'command_execution', command: "/bin/bash -c 'echo hi > a.txt; ls'" };
    const failing = { id: 'c30', type: 'command_execution', command: "/bin/bash -c 'exit 3'", aggregated_output: '' };
    const changes = [
      { path: '/s/ws/a.txt', kind: 'update' },
      { path: '/s/ws/b.txt', kind: 'add' },
    ];
    assert.deepEqual(tools, [
      ['item.started', { ...command, aggregated_output: '', status: 'in_progress' }],
      ['item.completed', { ...command, aggregated_output: 'a.txt\n', exit_code: 0, status: 'completed' }],
      ['item.started', { id: 'cc20', type: 'file_change', changes, status: 'in_progress' }],
      ['item.completed', { id: 'cc20', type: 'file_change', changes, status: 'completed' }],
      ['item.started', { ...failing, status: 'in_progress' }],
      ['item.completed', { ...failing, exit_code: 3, status: 'failed' }],
    ]);
    assert.match(String(events.find((event) => event.type === 'diff.updated')?.fields['diff']), /\+\+\+ b\/b\.txt/);
    assert.equal(translator.finalMessage, 'All done now');
    assert.equal(translator.usage.inputTokens, 40);
  });

  test('an answer that Codex asks for again supersedes the one that broke off', () => {
    const { translator, events, lines } = play('retried-stream');
    assert.equal(events.length, lines.length + 1);
    const error = events.findIndex((event) => event.type === 'codex.error');
    assert.deepEqual(events[error + 1], {
      type: 'item.superseded',
      turnId,
      fields: { item_id: 'm10', item_type: 'agent_message' },
      raw: null,
    });
    assert.equal(translator.finalMessage, 'Whole sentence here');
  });

  test('a refusal of the provider is model_unavailable, without the address that Codex called', () => {
    const { translator } = play('refused-by-model');
    assert.deepEqual(translator.outcome, {
      status: 'failed',
      error: { code: 'model_unavailable', message: 'unexpected status 401 Unauthorized: upstream says no' },
    });
  });

  test('an interrupted turn keeps what the agent had said', () => {
    const { translator } = play('interrupted');
    assert.deepEqual(translator.outcome, { status: 'interrupted', error: null });
    assert.equal(translator.finalMessage, 'Let me wait');
    assert.equal(translator.codexTurnId?.length, 36);
  });

  test('a declined command is an item of that status', () => {
    const { events } = play('declined');
    const statuses = itemsOf(events, 'item.completed').map((item) => (item as { status?: string }).status);
    assert.deepEqual(statuses, [undefined, 'declined', undefined]);
  });

  test('what a command prints while it runs arrives as deltas of its item', () => {
    const { events } = play('command-output');
    const output = events.filter((event) => event.fields['kind'] === 'command_output');
    assert.ok(output.length > 0);
    assert.deepEqual(output[0]?.fields, { item_id: 'c10', kind: 'command_output', delta: 'tick 2\n' });
  });
});

describe('what else Codex says', () => {
  test('a plan and warnings have events of their own', () => {
    const translator = newTranslator();
    const plan = [{ step: 'look', status: 'inProgress' }];
    const events = [
      ...feedOne(translator, 'turn/plan/updated', { threadId: sessionId, turnId: 't', explanation: null, plan }),
      ...feedOne(translator, 'warning', { threadId: null, message: 'careful' }),
      ...feedOne(translator, 'configWarning', { summary: 'odd', details: 'here' }),
    ];
    assert.deepEqual(
      events.map(({ type, fields }) => ({ type, fields })),
      [
        { type: 'plan.updated', fields: { explanation: null, plan: [{ step: 'look', status: 'in_progress' }] } },
        { type: 'warning', fields: { message: 'careful', details: null } },
        { type: 'warning', fields: { message: 'odd', details: 'here' } },
      ],
    );
  });

  test('a transcript that could not be written is remembered', () => {
    const translator = newTranslator();
    const message = 'Failed to save the conversation transcript. Codex will continue retrying.';
    feedOne(translator, 'warning', { threadId: sessionId, message });
    assert.equal(translator.transcriptProblem, message);
  });

  test('another thread ends neither our turn nor changes our message', () => {
    const translator = new TurnTranslator({ sessionId: '019a0000-0000-7000-8000-0000000000ff', turnId });
    const events = feedAll(translator, recorded('answer'));
    assert.ok(events.every((event) => event.type.startsWith('codex.') && event.fields['thread_id'] === sessionId));
    assert.equal(translator.outcome, null);
    assert.equal(translator.finalMessage, '');
  });

  test('the usage of a turn leaves out what the thread had used before', () => {
    const count = (n: number): unknown => ({
      inputTokens: n,
      cachedInputTokens: 0,
      outputTokens: 1,
      reasoningOutputTokens: 0,
    });
    const report = (of: string, total: number, last: number): unknown => ({
      threadId: sessionId,
      turnId: of,
      tokenUsage: { total: count(total), last: count(last), modelContextWindow: null },
    });
    const translator = newTranslator();
    feedOne(translator, 'turn/started', { threadId: sessionId, turn: { id: 'now' } });
    feedOne(translator, 'thread/tokenUsage/updated', report('now', 1030, 30));
    feedOne(translator, 'thread/tokenUsage/updated', report('now', 1070, 40));
    feedOne(translator, 'thread/tokenUsage/updated', report('now', 1070, 40));
    assert.equal(translator.usage.inputTokens, 70);

    const resumed = newTranslator();
    feedOne(resumed, 'thread/tokenUsage/updated', report('before', 1000, 500));
    assert.equal(resumed.usage.inputTokens, 0);
    feedOne(resumed, 'turn/started', { threadId: sessionId, turn: { id: 'now' } });
    feedOne(resumed, 'thread/tokenUsage/updated', report('now', 1030, 30));
    assert.equal(resumed.usage.inputTokens, 30);
  });

  test('a notification that this version does not know is an event under its own name', () => {
    const [event] = feedOne(newTranslator(), 'thread/brandNew/thing', { threadId: sessionId, x: 1 });
    assert.equal(event?.type, 'codex.thread.brandNew.thing');
    assert.deepEqual(event?.fields, { params: { threadId: sessionId, x: 1 } });
  });

  test('whatever the notification, it yields at least one event and at most 256 KiB of each', () => {
    const methods = fc.constantFrom(
      ...new Set(
        [...recorded('tools'), ...recorded('retried-stream')].map((line) => (JSON.parse(line) as Notification).method),
      ),
      'turn/plan/updated',
      'warning',
      'no/such/method',
    );
    const params = fc.oneof(
      fc.jsonValue(),
      fc.record({ threadId: fc.constant(sessionId), item: fc.jsonValue(), delta: fc.string(), turn: fc.jsonValue() }),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(methods, params), { maxLength: 20 }), (notifications) => {
        const translator = newTranslator();
        for (const [method, value] of notifications) {
          const events = feedOne(translator, method, value);
          const ours = events.filter((event) => event.type !== 'item.superseded');
          assert.equal(ours.length, 1);
          assert.ok(Buffer.byteLength(JSON.stringify(ours[0]?.fields)) <= 256 * 1024);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('what is too large for an event', () => {
  const started = (text: string): unknown => ({
    threadId: sessionId,
    turnId: 't',
    item: { type: 'userMessage', id: 'u1', clientId: null, content: [{ type: 'text', text, text_elements: [] }] },
  });

  test('an item over 256 KiB is cut in its event and handed out whole', () => {
    const prompt = 'é'.repeat(1_048_576);
    const [event] = feedOne(newTranslator(), 'item/completed', started(prompt));
    const item = event?.fields['item'] as { id: string; text: string; truncated: boolean };
    assert.equal(item.id, 'u1');
    assert.equal(item.truncated, true);
    assert.ok(prompt.startsWith(item.text) && item.text.length >= 64 * 1024);
    assert.ok(Buffer.byteLength(JSON.stringify(event?.fields)) <= 256 * 1024);
    assert.deepEqual(itemOfLine(event?.raw ?? '{}'), { id: 'u1', type: 'user_message', text: prompt });
  });

  test('an item that fits is not touched', () => {
    const [event] = feedOne(newTranslator(), 'item/completed', started('x'.repeat(200 * 1024)));
    assert.doesNotMatch(JSON.stringify(event?.fields), /truncated/);
    assert.notEqual(event?.raw, null);
  });

  test('a delta and a diff say that they were cut, and keep the line that has them whole', () => {
    const translator = newTranslator();
    const text = 'y'.repeat(400 * 1024);
    const [delta] = feedOne(translator, 'item/agentMessage/delta', { threadId: sessionId, itemId: 'm', delta: text });
    const [diff] = feedOne(translator, 'turn/diff/updated', { threadId: sessionId, turnId: 't', diff: text });
    for (const event of [delta, diff]) {
      assert.equal(event?.fields['truncated'], true);
      assert.ok(event.raw?.includes(text));
      assert.ok(Buffer.byteLength(JSON.stringify(event?.fields)) <= 256 * 1024);
    }
  });
});

test('a command that prints without end fills the log so far and no further: its later deltas are empty', () => {
  const sessionId = '019f0000-0000-7000-8000-000000000001';
  const translator = new TurnTranslator({ sessionId, turnId: null });
  const params = { threadId: sessionId, turnId: 't', itemId: 'c1', delta: 'x'.repeat(8_192) };
  const line = JSON.stringify({ method: 'item/commandExecution/outputDelta', params });
  const events = Array.from({ length: 200 }, () => translator.feed(JSON.parse(line) as Notification, line)).flat();
  assert.equal(events.length, 200);
  const kept = events.reduce((sum, { fields }) => sum + String(fields['delta']).length, 0);
  assert.equal(kept, 1024 * 1024);
  assert.deepEqual([events[127]?.fields['truncated'], events.at(-1)?.fields['truncated']], [undefined, true]);
  assert.ok(events.every(({ raw }) => raw === null));
});
