import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isServiceError } from '../core/errors.ts';
import { refusedReceiverUrls } from '../testing/refused-receiver-urls.ts';
import { addressRanges, assertReceiverUrl, isDeliverable, readReceiverUrl } from './receiver-url.ts';

const strict = { allowHttp: false, allowPrivate: [] };
const withHttp = { allowHttp: true, allowPrivate: [] };

test('every spelling of an address that is not public is refused', () => {
  assert.ok(refusedReceiverUrls.length >= 25);
  assert.deepEqual(
    refusedReceiverUrls.filter((url) => typeof readReceiverUrl(url, withHttp) !== 'string'),
    [],
  );
});

test('public addresses and names are taken, with any port but 0', () => {
  const taken = [
    'https://hooks.example.com/a?b=c',
    'https://hooks.example.com:8443/',
    'https://8.8.8.8/',
    'https://[2606:4700:4700::1111]/',
    'https://[::ffff:8.8.8.8]/',
    'https://bücher.example/',
    'https://hooks.example.com./',
    'https://1e100.net/',
    'https://localhost.example.com/',
    'https://100.63.255.255/',
    'https://172.32.0.1/',
  ];
  assert.deepEqual(
    taken.filter((url) => typeof readReceiverUrl(url, strict) === 'string'),
    [],
  );
});

test('a URL is read into what is connected to and what is said', () => {
  assert.deepEqual(readReceiverUrl('https://HOOKS.Example.com.:8443/a%20b?c=d#e', strict), {
    isSecure: true,
    host: 'hooks.example.com',
    address: null,
    port: 8443,
    pathAndQuery: '/a%20b?c=d',
    authority: 'hooks.example.com.:8443',
  });
  assert.deepEqual(readReceiverUrl('https://[2606:4700:4700::1111]', strict), {
    isSecure: true,
    host: '2606:4700:4700::1111',
    address: '2606:4700:4700::1111',
    port: 443,
    pathAndQuery: '/',
    authority: '[2606:4700:4700::1111]',
  });
});

test('what is wrong with a URL is said in words, as a problem of its field', () => {
  const problems: [url: string, message: string][] = [
    ['hooks', 'must be an absolute URL'],
    ['http://hooks.example.com/', 'must begin with https://'],
    ['ftp://hooks.example.com/', 'must begin with https://'],
    ['javascript:alert(1)', 'must be an absolute URL'],
    ['https://user:secret@hooks.example.com/', 'must have no user name or password'],
    ['https://hooks.example.com:0/', 'must not have the port 0'],
    ['https://hooks.example.com/a b', 'must have no spaces, control characters or backslashes'],
    ['https:\\\\hooks.example.com\\', 'must have no spaces, control characters or backslashes'],
    ['https://hooks.exa\nmple.com/', 'must have no spaces, control characters or backslashes'],
    ['https://127.0.0.1/', 'must not lead to an address that is not public'],
    [`https://hooks.example.com/${'a'.repeat(2_048)}`, 'must have at most 2048 characters'],
  ];
  for (const [url, message] of problems)
    assert.throws(
      () => assertReceiverUrl(url, strict, 'webhook.url'),
      (error: unknown) => {
        assert.ok(isServiceError(error, 'invalid_request'));
        assert.deepEqual(error.details['errors'], [{ field: 'webhook.url', message }]);
        return true;
      },
      url,
    );
  assertReceiverUrl('https://hooks.example.com/', strict);
  assertReceiverUrl('http://hooks.example.com/', withHttp);
});

test('a range that was opened is open, and nothing beside it', () => {
  const allowPrivate = addressRanges(['10.8.0.0/16', 'fd00:1::/32', '127.0.0.2']);
  const open = ['10.8.0.1', '10.8.255.255', '::ffff:10.8.0.1', 'fd00:1::5', '127.0.0.2', '8.8.8.8'];
  const closed = [
    '10.9.0.1',
    '10.7.255.255',
    'fd00:2::5',
    '127.0.0.1',
    '127.0.0.3',
    '169.254.169.254',
    '::1',
    '::a08:1',
  ];
  assert.deepEqual(
    open.filter((address) => !isDeliverable(address, allowPrivate)),
    [],
  );
  assert.deepEqual(
    closed.filter((address) => isDeliverable(address, allowPrivate)),
    [],
  );
  assert.throws(() => addressRanges(['10.8.0.0/33']), { code: 'invalid_request' });
  assert.throws(() => addressRanges(['everything']), { code: 'invalid_request' });
});

test('of a range all parts are to be written: none is opened that was not meant', () => {
  for (const text of [
    '10.8/16',
    '10/8',
    '10.8.0/24',
    '0x0a.0.0.0/8',
    '010.0.0.0/8',
    '10.0.0.0/08',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '/8',
    '',
    '::ffff:10.0.0.0/104',
    '::ffff:a00:0/104',
    '0:0:0:0:0:ffff:a00:0/104',
    '::ffff:10.0.0.1',
    'fe80::1%eth0/64',
    'fd00::/129',
  ])
    assert.throws(() => addressRanges([text]), { code: 'invalid_request' }, text);
});

test('text that is no address, or one of a zone, is no address to deliver to', () => {
  for (const text of [
    '',
    '8.8.8',
    '0x8.8.8.8',
    '8.8.8.8.',
    'dns.google',
    '2606:4700::1%eth0',
    '8.8.8.8/32',
    ' 8.8.8.8',
  ])
    assert.ok(!isDeliverable(text, addressRanges(['0.0.0.0/0', '::/0'])), text);
});
