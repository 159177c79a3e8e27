import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plainOf, segmentOf, timestampOf, valueOf } from './document.ts';

test('whatever a tenant or an alias is called, it is one segment that Firestore takes, and another for each', () => {
  const names = [
    '',
    '.',
    '..',
    '...',
    '__x__',
    '__',
    '_',
    'a/b',
    'a~002fb',
    '~',
    '~~',
    'é',
    'A',
    'a',
    'my.alias-1_b',
    '\ud800',
    '\udc00',
    'a\u0000',
    ' ',
    '~005f_x__',
  ];
  const segments = names.map(segmentOf);
  assert.equal(new Set(segments).size, names.length);
  for (const segment of segments) {
    assert.match(segment, /^[A-Za-z0-9._~-]+$/);
    assert.doesNotMatch(segment, /^\.+$|^__.*__$/);
  }
  assert.equal(segmentOf('019f0000-0000-7000-8000-000000000001'), '019f0000-0000-7000-8000-000000000001');
  assert.notEqual(segmentOf('é'.repeat(1_000)), segmentOf('é'.repeat(1_001)));
  assert.ok(segmentOf('é'.repeat(1_000)).length < 100);
});

test('numbers and texts come back as they were, times to the millisecond', () => {
  for (const plain of ['', 'é', 0, -1, 1.5, Number.MAX_SAFE_INTEGER, 1e300])
    assert.equal(plainOf(valueOf(plain)), plain);
  assert.equal(plainOf(undefined), null);
  assert.deepEqual(timestampOf(1_700_000_000_123), { seconds: '1700000000', nanos: 123_000_000 });
});
