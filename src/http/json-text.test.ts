import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseJsonObject } from './json-text.ts';

const refusal = (text: string): string => {
  try {
    parseJsonObject(text, 'body');
  } catch (error) {
    return (error as Error).message;
  }
  return 'taken';
};

test('a key that stands twice in one object is refused by its name, however it is written', () => {
  const name = JSON.stringify('a');
  assert.equal(refusal('{"a":1,"a":2}'), `The body has the key ${name} twice.`);
  assert.equal(refusal('{"a":1,"\\u0061":2}'), `The body has the key ${name} twice.`);
  assert.equal(refusal('{"x":[{"a":{"a":1},"b":"a","a":2}]}'), `The body has the key ${name} twice.`);
  assert.match(refusal(`{"${'k'.repeat(500)}":1,"${'k'.repeat(500)}":1}`), /^.{90,120}$/);
  for (const text of [
    '{"a":{"a":{"a":1}}}',
    '{"a":[{"a":1},{"a":2}],"b":{"a":1}}',
    '{"a":"a","b":"a","c":["a","a"]}',
  ]) {
    assert.equal(refusal(text), 'taken', text);
  }
});

test('what would cost the parser memory is refused before it is parsed', () => {
  for (const text of [`{"a":${'['.repeat(100_000)}`, `{"a":${'{"a":'.repeat(65)}1${'}'.repeat(66)}`]) {
    assert.equal(refusal(text), 'The body is nested more than 64 deep.');
  }
  assert.equal(refusal(`{"a":[${'1,'.repeat(20_000)}1]}`), 'The body has more than 10000 values.');
  assert.equal(refusal(`{"a":"${'[{,'.repeat(20_000)}"}`), 'taken');
  assert.equal(refusal(`{"a":[${'1,'.repeat(9_000)}1]}`), 'taken');
});

test('keys that change what an object is are refused', () => {
  for (const text of ['{"__proto__":{}}', '{"a":{"\\u005f_proto__":1}}', '{"constructor":{"prototype":{}}}']) {
    assert.match(refusal(text), /not taken/, text);
  }
  assert.equal(refusal('{"constructor":"x","prototype":"y","a":"__proto__"}'), 'taken');
});

test('whatever JSON writes is read as JSON reads it, and whatever else is typed', () => {
  const keyed = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 5 }));
  fc.assert(
    fc.property(keyed, fc.constantFrom(0, 1, '\t'), (value, space) => {
      const text = JSON.stringify(value, null, space);
      fc.pre(!/__proto__|prototype/.test(text));
      assert.deepEqual(parseJsonObject(text, 'body'), JSON.parse(text));
    }),
  );
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'{}[]",:\\ \n1au0'.split('')) }), (text) => {
      let isObject = false;
      try {
        const value: unknown = JSON.parse(text);
        isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
      } catch {
        // Not JSON.
      }
      const isTaken = refusal(text) === 'taken';
      assert.ok(isObject || !isTaken);
      if (isObject && !isTaken) assert.match(refusal(text), /twice/);
    }),
    { numRuns: 2000 },
  );
});
