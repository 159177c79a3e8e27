import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cutText, fitJson, utf8Length } from './cut.ts';

test('lengths are those of UTF-8', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      assert.equal(utf8Length(text), Buffer.byteLength(text));
    }),
  );
});

test('a cut never leaves half a character', () => {
  assert.equal(cutText('ab😀', 3), 'ab');
  assert.equal(cutText('ab😀', 4), 'ab😀');
});

test('a value that fits is the same object', () => {
  const value = { text: 'short' };
  assert.equal(fitJson(value, 100, { keep: [] }), value);
});

test('any value fits after the cut, and keeps the fields it must', () => {
  const bytes = 2000;
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 4 })), fc.nat(4000), (fields, length) => {
      const value: Record<string, unknown> = { ...fields, id: 'x', text: '\u0001'.repeat(length) };
      const fitted = fitJson(value, bytes, { keep: ['id', 'status'] });
      assert.ok(Buffer.byteLength(JSON.stringify(fitted)) <= bytes);
      assert.equal(fitted['id'], 'x');
      assert.equal('status' in fitted, 'status' in value);
      assert.equal(fitted === value, Buffer.byteLength(JSON.stringify(value)) <= bytes);
    }),
  );
});
