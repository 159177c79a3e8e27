import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { createOutput, printable } from './output.ts';

test('a write to a slow reader resolves when it has caught up', async () => {
  const waiting: (() => void)[] = [];
  const stream = new Writable({ highWaterMark: 1, write: (_chunk, _encoding, done) => void waiting.push(done) });
  const output = createOutput(stream, () => {});
  let isWritten = false;
  const writing = output.write('ab').then(() => {
    isWritten = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(isWritten, false);
  for (const done of waiting) done();
  await writing;
});

test('a reader that goes away is told once, frees who waits, and later writes do nothing', async () => {
  let gone = 0;
  const stream = new Writable({
    highWaterMark: 1,
    write: (_chunk, _encoding, done) => done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })),
  });
  const output = createOutput(stream, () => {
    gone += 1;
  });
  await output.write('ab');
  await output.write('cd');
  assert.equal(gone, 1);
});

test('text for a terminal keeps its lines and loses its control characters', () => {
  assert.equal(printable('a\tb\nc\u001b[31m\u202e\u0000é'), 'a\tb\nc\ufffd[31m\ufffd\ufffdé');
});
