import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isServiceError } from '../core/errors.ts';
import { encodeLine, LineReader, LineTooLong } from './framing.ts';

function read(chunks: readonly Buffer[], maxLineBytes = 1_000): { lines: string[]; pendingBytes: number } {
  const lines: string[] = [];
  const reader = new LineReader({ maxLineBytes, onLine: (line) => lines.push(line.toString('utf8')) });
  for (const chunk of chunks) reader.push(chunk);
  return { lines, pendingBytes: reader.pendingBytes };
}

test('lines come out as they went in, however the bytes are cut', () => {
  const anyLine = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((line) => !line.includes('\n'));
  fc.assert(
    fc.property(fc.array(anyLine), fc.array(fc.nat(30)), (lines, cuts) => {
      let rest = Buffer.from(lines.map((line) => `${line}\n`).join(''), 'utf8');
      const chunks: Buffer[] = [];
      for (const cut of cuts) {
        chunks.push(rest.subarray(0, cut));
        rest = rest.subarray(cut);
      }
      assert.deepEqual(read([...chunks, rest]), { lines, pendingBytes: 0 });
    }),
  );
});

test('half a line is kept and not told', () => {
  assert.deepEqual(read([Buffer.from('one\ntw')]), { lines: ['one'], pendingBytes: 2 });
});

test('a line at the limit passes and one byte more is a failure of its own type, newline or not', () => {
  assert.deepEqual(read([Buffer.from('12345\n')], 5).lines, ['12345']);
  assert.throws(() => read([Buffer.from('123456\n')], 5), LineTooLong);
  assert.throws(() => read([Buffer.from('123'), Buffer.from('456')], 5), LineTooLong);
});

test('a line of 50 MB in small pieces costs its length, not its square', () => {
  const piece = Buffer.alloc(4_096, 0x61);
  const startedAt = performance.now();
  const { lines } = read([...Array.from({ length: 12_800 }, () => piece), Buffer.from('\n')], 64 * 1024 * 1024);
  assert.equal(lines[0]?.length, 12_800 * 4_096);
  // Joined anew for each piece it would copy 335 GB.
  assert.ok(performance.now() - startedAt < 5_000);
});

test('a lone surrogate is refused on the way out, text that only looks like one passes', () => {
  assert.throws(
    () => encodeLine({ params: { input: [{ text: 'a\ud800b' }] } }),
    (error: unknown) => isServiceError(error, 'invalid_request') && error.details['field'] === 'text',
  );
  assert.throws(
    () => encodeLine({ params: { 'a\udc00': 1 } }),
    (error: unknown) => isServiceError(error),
  );
  const fine = { text: 'the escape \\ud800, and 😀' };
  assert.equal(encodeLine(fine).toString('utf8'), `${JSON.stringify(fine)}\n`);
});
