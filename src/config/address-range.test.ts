import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isAddressRange } from './address-range.ts';

test('a range of addresses has all its parts, and a length that its kind can have', () => {
  for (const text of ['10.8.0.0/16', '0.0.0.0/0', '127.0.0.2', 'fd00:1::/32', '::/0', '::1', 'fd00::/128'])
    assert.ok(isAddressRange(text), text);
  for (const text of [
    '',
    '10.8/16',
    '10/8',
    '010.0.0.0/8',
    '0x0a.0.0.0/8',
    '10.0.0.0/33',
    '10.0.0.0/08',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    'fd00::/129',
    'fe80::1%eth0/64',
    '::ffff:10.0.0.0/104',
    '0:0:0:0:0:FFFF:a00:0/104',
    'everything',
  ])
    assert.ok(!isAddressRange(text), text);
});
