import assert from 'node:assert/strict';
import test from 'node:test';
import { MarkCounter } from './mark-counter.ts';

test('a mark is counted once, wherever the bytes are cut', () => {
  const bytes = Buffer.from('..mark.mamarkmark..');
  for (let size = 1; size <= bytes.length; size += 1) {
    const counter = new MarkCounter('mark');
    for (let at = 0; at < bytes.length; at += size) counter.take(bytes.subarray(at, at + size));
    assert.equal(counter.count, 3, `in pieces of ${size}`);
  }
});
