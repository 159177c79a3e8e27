import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UsageTail } from './usage-tail.ts';

const usage = {
  input_tokens: 100,
  input_tokens_details: { cached_tokens: 60 },
  output_tokens: 20,
  output_tokens_details: { reasoning_tokens: 5 },
  total_tokens: 120,
};
const expected = { inputTokens: 100, cachedInputTokens: 60, outputTokens: 20, reasoningOutputTokens: 5, costUsd: null };

function read(text: string, chunkBytes: number): ReturnType<UsageTail['read']> {
  const tail = new UsageTail();
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += chunkBytes) tail.push(bytes.subarray(at, at + chunkBytes));
  return tail.read();
}

const completed = (response: object): string =>
  `event: response.completed\ndata: ${JSON.stringify({ type: 'response.completed', response })}\n\n`;

test('finds the usage however the bytes are cut', () => {
  for (const chunkBytes of [1, 7, 1024, 1_000_000]) {
    assert.deepEqual(read(completed({ id: 'r', usage, metadata: {} }), chunkBytes), expected);
  }
});

test('finds it behind an answer far larger than what is kept', () => {
  assert.deepEqual(read(completed({ output: 'x'.repeat(1_000_000), usage }), 16_384), expected);
});

test('a text of the model cannot pose as the usage', () => {
  const text = '"usage":{"input_tokens":999999,"output_tokens":1}';
  assert.deepEqual(read(completed({ usage, output: [{ text }] }), 100), expected);
  assert.equal(read(completed({ output: [{ text }], usage: null }), 100), null);
});

test('an answer without usage has none', () => {
  for (const text of ['', 'event: x', completed({ usage: null }), '"usage":{', '"usage":{"input_tokens":"1"}']) {
    assert.equal(read(text, 10), null);
  }
});
