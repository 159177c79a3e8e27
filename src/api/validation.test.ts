import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as z from 'zod';
import { isServiceError } from '../core/errors.ts';
import { execRequestSchema } from './exec.ts';
import { operations } from './operations.ts';
import { hasAtMostCodePoints } from './text.ts';
import { type FieldProblem, validate } from './validation.ts';
import { eventWithRef } from './ws-frames.ts';

function problemsOf(schema: z.ZodType, value: unknown): readonly FieldProblem[] {
  try {
    validate(schema, value, 'body');
  } catch (error) {
    assert.ok(isServiceError(error, 'invalid_request'));
    return error.details['errors'] as FieldProblem[];
  }
  return [];
}

test('each problem of a request is named, with what would do', () => {
  const value = { timeout: 1, session_id: 'a/b', wait_ms: 'soon', Stream: true };
  assert.deepEqual(problemsOf(execRequestSchema, value), [
    { field: 'prompt', message: 'is required' },
    {
      field: 'session_id',
      message: 'must be 1 to 128 of A-Z a-z 0-9 . _ - and the first a letter or digit, without ".."',
    },
    { field: 'wait_ms', message: 'must be a number' },
    { field: 'timeout', message: 'is not known here: did you mean timeout_ms?', did_you_mean: 'timeout_ms' },
    { field: 'Stream', message: 'is not known here: did you mean stream?', did_you_mean: 'stream' },
  ]);
});

test('a name that is like none is not guessed at, and a long one is cut', () => {
  const [problem] = problemsOf(execRequestSchema, { prompt: 'x', ['z'.repeat(5000)]: 1 });
  assert.equal(problem?.did_you_mean, undefined);
  assert.ok((problem?.field.length ?? 0) < 80);
});

test('a request of a thousand unknown fields is answered with a few', () => {
  const fields = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`f${index}`, 1]));
  assert.equal(problemsOf(execRequestSchema, { prompt: 'x', ...fields }).length, 20);
});

test('text is measured in code points', () => {
  assert.equal(hasAtMostCodePoints('😀'.repeat(5), 5), true);
  assert.equal(hasAtMostCodePoints('😀'.repeat(5), 4), false);
  assert.equal(hasAtMostCodePoints('xxxxx', 4), false);
});

test('a UUID in capitals is the same session', () => {
  const id = '0190A0B0-0000-7000-8000-00000000ABCD';
  assert.equal(validate(execRequestSchema, { prompt: 'x', session_id: id }, 'body').session_id, id.toLowerCase());
  assert.equal(validate(execRequestSchema, { prompt: 'x', session_id: 'My-Session' }, 'body').session_id, 'My-Session');
});

test('a ref goes in front of an event without touching it', () => {
  const body = '{"seq":1,"type":"item.delta"}';
  assert.equal(eventWithRef(body, null), body);
  assert.deepEqual(JSON.parse(eventWithRef(body, 'a"\\')), { ref: 'a"\\', seq: 1, type: 'item.delta' });
});

test('every schema of the table can be printed as JSON Schema', () => {
  for (const operation of Object.values(operations)) {
    const answers = Object.values(operation.answers).flat();
    for (const schema of [
      operation.params,
      operation.query,
      operation.body,
      ...answers.map((answer) => answer.schema),
    ]) {
      if (schema !== undefined) assert.equal(typeof z.toJSONSchema(schema, { io: 'input' }), 'object');
    }
  }
});
