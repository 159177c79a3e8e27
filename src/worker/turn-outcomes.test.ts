import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TurnTranslator } from '../protocol/translate.ts';
import { codexOutcome } from './turn-outcomes.ts';

const sessionId = '019a0000-0000-7000-8000-000000000001';

function heard(...notifications: readonly { readonly method: string; readonly params: unknown }[]): TurnTranslator {
  const translator = new TurnTranslator({ sessionId, turnId: 'turn' });
  for (const notification of notifications) translator.feed(notification, JSON.stringify(notification));
  return translator;
}

const completed = {
  method: 'turn/completed',
  params: { threadId: sessionId, turn: { id: 't', status: 'completed', items: [], error: null } },
};

test('a turn that Codex completed is completed', () => {
  assert.deepEqual(codexOutcome(heard(completed)), { status: 'completed', reason: null, error: null });
});

test('a turn that Codex calls completed and could not save is no plain completed', () => {
  const message = 'Failed to save the conversation transcript: No space left on device (os error 28)';
  const { status, error } = codexOutcome(heard({ method: 'warning', params: { threadId: null, message } }, completed));
  assert.deepEqual([status, error?.code], ['failed', 'storage_full']);
});
