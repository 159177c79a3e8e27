import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CodexErrorInfo } from './generated/v2/CodexErrorInfo.ts';
import { toTurnFailure } from './turn-error.ts';

function failureOf(message: string, codexErrorInfo: CodexErrorInfo | null): unknown {
  return toTurnFailure({ message, codexErrorInfo, additionalDetails: null, misalignment: null });
}

test('what the provider did is told from what the turn did', () => {
  const codes = [
    ['model_unavailable', { httpConnectionFailed: { httpStatusCode: 401 } }],
    ['model_unavailable', { responseTooManyFailedAttempts: { httpStatusCode: 429 } }],
    ['model_unavailable', 'internalServerError'],
    ['model_unavailable', 'usageLimitExceeded'],
    ['turn_failed', 'contextWindowExceeded'],
    ['turn_failed', 'other'],
    ['turn_failed', null],
  ] as const;
  for (const [code, info] of codes) assert.deepEqual(failureOf('why', info), { code, message: 'why' });
});

test('a stream that broke for the last time is the provider, though Codex calls it other', () => {
  const message = 'stream disconnected before completion: error sending request';
  assert.deepEqual(failureOf(message, 'other'), { code: 'model_unavailable', message });
});

test('a refusal that arrives as JSON is read', () => {
  const body = '{"error":{"message":"upstream says no","type":"x","code":null}}';
  assert.deepEqual(failureOf(body, 'other'), { code: 'turn_failed', message: 'upstream says no' });
  assert.deepEqual(failureOf('{not json', 'other'), { code: 'turn_failed', message: '{not json' });
});

test('a failure without a reason still has words', () => {
  assert.deepEqual(toTurnFailure(null), {
    code: 'turn_failed',
    message: 'Codex ended the turn without saying why.',
  });
});
