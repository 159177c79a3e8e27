import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { ErrorCode } from '../../src/core/errors.ts';
import { useFleet } from '../e2e/use-fleet.ts';
import { assertRefusal } from './problem-checks.ts';
import { ask, portOf, requestBytes } from './raw-client.ts';

const fleet = useFleet();

/** Of the server, for refusing; a slow test machine gets several tries to show it. */
const answerLimitMs = 50;
const tries = 5;

type Case = readonly [name: string, code: ErrorCode, bytes: () => Buffer];

const exec = 'POST /api/v1/exec HTTP/1.1';
const host = (): string => `host: ${new URL(fleet().client.url).host}`;
const bearer = (): string => `authorization: Bearer ${fleet().client.token}`;
const json = 'content-type: application/json';

function get(path: string, ...headers: string[]): () => Buffer {
  return () => requestBytes(`GET ${path} HTTP/1.1`, [host(), bearer(), ...headers]);
}

function post(body: string | Buffer, ...headers: string[]): () => Buffer {
  return () => requestBytes(exec, [host(), bearer(), ...(headers.length === 0 ? [json] : headers)], body);
}

function field(name: string, source: string): () => Buffer {
  return post(name === 'prompt' ? `{"prompt":${source}}` : `{"prompt":"x","${name}":${source}}`);
}

const chunkedBody = '10\r\n{"prompt":"x" } \r\n0\r\n\r\n';

const bodies: readonly Case[] = [
  ...[
    ['null'],
    ['[]'],
    ['"prompt"'],
    ['7'],
    ['true'],
    [''.padEnd(5000)],
    ['{'],
    ['{"prompt":}'],
    ["{'prompt':'x'}"],
  ].map(([body = '']): Case => [`the body ${body.slice(0, 20)}`, 'invalid_json', post(body)]),
  ['no body', 'invalid_request', () => requestBytes(exec, [host(), bearer(), json])],
  ['an empty object', 'invalid_request', post('{}')],
  ['garbage behind the JSON', 'invalid_json', post('{"prompt":"x"} {}')],
  ['two documents', 'invalid_json', post('{"prompt":"x"}\n{"prompt":"y"}')],
  ['a comment', 'invalid_json', post('{"prompt":"x" /* y */}')],
  ['depth 100,000 in a value', 'invalid_json', post(`{"prompt":${'['.repeat(100_000)}${']'.repeat(100_000)}}`)],
  ['depth 100,000 without an end', 'invalid_json', post('{"a":'.repeat(100_000))],
  ['depth 8,000,000', 'invalid_json', post('['.repeat(8_000_000))],
  ['a million values', 'invalid_json', post(`{"prompt":[${'0,'.repeat(1_000_000)}0]}`)],
  ['a million objects', 'invalid_json', post(`{"prompt":[${'{},'.repeat(1_000_000)}0]}`)],
  [
    'nine thousand unknown keys',
    'invalid_request',
    post(`{${Array.from({ length: 9000 }, (_, n) => `"promp${n}":0`).join(',')}}`),
  ],
  ['a key twice', 'invalid_json', post('{"prompt":"x","prompt":"y"}')],
  ['a key twice, once in disguise', 'invalid_json', post('{"prompt":"x","pr\\u006fmpt":"y"}')],
  ['__proto__', 'invalid_json', post('{"prompt":"x","__proto__":{"stream":true}}')],
  ['__proto__ in disguise', 'invalid_json', post('{"prompt":"x","\\u005f_proto__":null}')],
  ['constructor.prototype', 'invalid_json', post('{"prompt":"x","constructor":{"prototype":{}}}')],
  ['toString as a field', 'invalid_request', post('{"prompt":"x","toString":1}')],
  ['an unknown field of a megabyte', 'invalid_request', post(`{"prompt":"x","${'k'.repeat(1_000_000)}":1}`)],
  ['UTF-16 with a mark', 'invalid_json', post(Buffer.from('\ufeff{"prompt":"x"}', 'utf16le'))],
  ['UTF-16 without a mark', 'invalid_json', post(Buffer.from('{"prompt":"x"}', 'utf16le'))],
  ['UTF-32', 'invalid_json', post(Buffer.from('7b00000022000000', 'hex'))],
  ['overlong UTF-8', 'invalid_json', post(Buffer.from('7b2270726f6d7074223a22c0af227d', 'hex'))],
  ['a surrogate in UTF-8', 'invalid_json', post(Buffer.from('7b2270726f6d7074223a22eda080227d', 'hex'))],
  ['a raw NUL in a string', 'invalid_json', post('{"prompt":"a\0b"}')],
  ['a raw newline in a string', 'invalid_json', post('{"prompt":"a\nb"}')],
  ['a gzip', 'unsupported_media_type', post(Buffer.from('1f8b0800', 'hex'), json, 'content-encoding: gzip')],
  ['a brotli', 'unsupported_media_type', post('{}', json, 'content-encoding: br')],
  ['two encodings', 'unsupported_media_type', post('{}', json, 'content-encoding: identity, gzip')],
];

const numbers: readonly Case[] = [
  ...[
    '0',
    '-1',
    '1.5',
    '1e309',
    '-1e309',
    '"5"',
    '5e-324',
    '9007199254740993',
    '86400001',
    '[5]',
    '{}',
    'true',
  ].flatMap((source): Case[] => [
    [`timeout_ms ${source}`, 'invalid_request', field('timeout_ms', source)],
    [`queue_timeout_ms ${source}`, 'invalid_request', field('queue_timeout_ms', source)],
  ]),
  ...['-1', '600001', '0.1', '"0"'].map(
    (source): Case => [`wait_ms ${source}`, 'invalid_request', field('wait_ms', source)],
  ),
  ...['NaN', 'Infinity', '0x10', '010', '+1', '1_000', '.5', '5.'].map(
    (source): Case => [`the number ${source}`, 'invalid_json', field('timeout_ms', source)],
  ),
];

const texts: readonly Case[] = [
  ['a million and one emoji', 'invalid_request', field('prompt', `"${'😀'.repeat(1_048_577)}"`)],
  ['a prompt one too long', 'invalid_request', field('prompt', `"${'x'.repeat(1_048_577)}"`)],
  ['a lone surrogate', 'invalid_request', field('prompt', '"\\udc00"')],
  ['an empty prompt', 'invalid_request', field('prompt', '""')],
  ['a body of 20 MB', 'payload_too_large', field('prompt', `"${'x'.repeat(20_000_000)}"`)],
  ...[
    '"a\\u0000"',
    '"a\\u202eb"',
    '"\\ufeffa"',
    '"a\\nb"',
    '"а"',
    '"ⅰ"',
    '"a b"',
    '"a/b"',
    '"-a"',
    '".."',
    '"a..b"',
    '"%2e%2e"',
    `"${'a'.repeat(65_536)}"`,
    '"a\\r\\nset-cookie: x"',
    '7',
    '[]',
    '{}',
    '""',
  ].map((source): Case => [`session_id ${source.slice(0, 30)}`, 'invalid_request', field('session_id', source)]),
  ...['"gpt 5"', '"../x"', '"a\\u0000"', '""', `"${'m'.repeat(1000)}"`].map(
    (source): Case => [`model ${source.slice(0, 20)}`, 'invalid_request', field('model', source)],
  ),
];

const paths: readonly Case[] = [
  ['two slashes', 'not_found', get('//health')],
  ['a slash at the end', 'not_found', get('/health/')],
  ['a parameter of the path', 'not_found', get('/health;x=1')],
  ['dots', 'not_found', get('/api/v1/../../health')],
  ['a dot in escapes', 'invalid_request', get('/api/v1/sessions/%2e%2e')],
  ['a slash in escapes', 'invalid_request', get('/api/v1/sessions/..%2f..%2fetc%2fpasswd')],
  ['a NUL in escapes', 'invalid_request', get('/api/v1/sessions/a%00b')],
  ['a newline in escapes', 'invalid_request', get('/api/v1/sessions/a%0d%0ax')],
  ['bidi in escapes', 'invalid_request', get('/api/v1/sessions/%E2%80%AEa')],
  ['a look-alike of an id', 'invalid_request', get('/api/v1/sessions/%D0%B0bc')],
  ['a broken escape', 'invalid_request', get('/api/v1/sessions/%zz')],
  ['half an escape', 'invalid_request', get('/api/v1/sessions/%')],
  ['overlong UTF-8 in escapes', 'invalid_request', get('/api/v1/sessions/%c0%af')],
  ['an id twice escaped', 'invalid_request', get('/api/v1/sessions/%252e')],
  ['an id of 12 KB', 'invalid_request', get(`/api/v1/sessions/${'a'.repeat(12_000)}`)],
  ['an id of 65 KB', 'headers_too_large', get(`/api/v1/sessions/${'a'.repeat(65_536)}`)],
  ['an id in other letters', 'session_not_found', get('/api/v1/sessions/00000000-0000-7000-8000-00000000000A')],
  ['a turn id that is none', 'invalid_request', get('/api/v1/sessions/x/turns/00000000-0000-7000-8000-00000000000g')],
  ['a query of 12 KB', 'invalid_request', get(`/api/v1/sessions?${'a&'.repeat(6_000)}`)],
  ['a query that pollutes', 'invalid_request', get('/api/v1/sessions?__proto__[x]=1&constructor=2')],
  ['a parameter twice', 'invalid_request', get('/api/v1/sessions?limit=1&limit=2')],
  ['a parameter as an array', 'invalid_request', get('/api/v1/sessions?limit[]=1')],
  ...['0', '-1', '1.5', '1e309', '%220%22', '101', '99999999999999999999', '0x10', '%20', '٣'].map(
    (limit): Case => [
      `limit ${limit}`,
      'invalid_request',
      get(`/api/v1/sessions?limit=${encodeURI(decodeURI(limit))}`),
    ],
  ),
  ['a cursor of somebody', 'cursor_invalid', get('/api/v1/sessions?after=00000000-0000-8000-8000-000000000000')],
  ['a token in the query', 'unauthenticated', get('/api/v1/sessions?access_token=x')],
  ['a token in the query, in capitals', 'unauthenticated', get('/api/v1/sessions?ACCESS_TOKEN=x')],
  ['the whole server', 'not_found', () => requestBytes('OPTIONS * HTTP/1.1', [host(), bearer()])],
];

const headers: readonly Case[] = [
  [
    '2,000 headers',
    'headers_too_large',
    () => requestBytes('GET /health HTTP/1.1', [host(), ...Array.from({ length: 2000 }, (_, n) => `x-${n}: y`)]),
  ],
  [
    '2,000 headers of a byte',
    'headers_too_large',
    () => requestBytes('GET /health HTTP/1.1', [host(), ...Array.from({ length: 2000 }, () => 'a:')]),
  ],
  [
    '300 headers',
    'headers_too_large',
    () => requestBytes('GET /health HTTP/1.1', [host(), ...Array.from({ length: 300 }, (_, n) => `x-${n}: y`)]),
  ],
  ['a header of 64 KB', 'headers_too_large', get('/health', `x: ${'a'.repeat(65_536)}`)],
  ['a header of 5 MB', 'headers_too_large', get('/health', `x: ${'a'.repeat(5_000_000)}`)],
  [
    'Content-Length and Transfer-Encoding',
    'invalid_request',
    () => requestBytes(exec, [host(), bearer(), json, 'content-length: 5', 'transfer-encoding: chunked'], chunkedBody),
  ],
  [
    'Content-Length twice',
    'invalid_request',
    () => requestBytes(exec, [host(), bearer(), json, 'content-length: 2', 'content-length: 3'], '{}'),
  ],
  [
    'Content-Length with a sign',
    'invalid_request',
    () => requestBytes(exec, [host(), bearer(), json, 'content-length: +2'], '{}'),
  ],
  [
    'Content-Length of a list',
    'invalid_request',
    () => requestBytes(exec, [host(), bearer(), json, 'content-length: 2, 2'], '{}'),
  ],
  ...['gzip, chunked', 'chunked, identity', 'xchunked', 'chunked, chunked', 'identity'].map(
    (coding): Case => [
      `Transfer-Encoding: ${coding}`,
      'invalid_request',
      () => requestBytes(exec, [host(), bearer(), json, `transfer-encoding: ${coding}`], chunkedBody),
    ],
  ),
  [
    'Transfer-Encoding in HTTP/1.0',
    'invalid_request',
    () =>
      requestBytes('POST /api/v1/exec HTTP/1.0', [host(), bearer(), json, 'transfer-encoding: chunked'], chunkedBody),
  ],
  [
    'a chunk that is no number',
    'invalid_request',
    () => requestBytes(exec, [host(), bearer(), json, 'transfer-encoding: chunked'], 'zz\r\nx\r\n0\r\n\r\n'),
  ],
  [
    'a chunk that ends in LF',
    'invalid_request',
    () => requestBytes(exec, [host(), bearer(), json, 'transfer-encoding: chunked'], '1\nx\r\n0\r\n\r\n'),
  ],
  [
    'an extension of a chunk of 64 KB',
    'headers_too_large',
    () =>
      requestBytes(
        exec,
        [host(), bearer(), json, 'transfer-encoding: chunked'],
        `1;${'e'.repeat(65_536)}\r\nx\r\n0\r\n\r\n`,
      ),
  ],
  [
    'trailers of 64 KB',
    'headers_too_large',
    () =>
      requestBytes(
        exec,
        [host(), bearer(), json, 'transfer-encoding: chunked'],
        `1\r\nx\r\n0\r\nt: ${'e'.repeat(65_536)}\r\n\r\n`,
      ),
  ],
  ['a folded header', 'invalid_request', get('/health', 'x-a: one\r\n two')],
  [
    'a folded credential',
    'invalid_request',
    () => requestBytes('GET /api/v1/sessions HTTP/1.1', [host(), 'authorization: Bearer\r\n x']),
  ],
  ['a bare LF', 'invalid_request', () => Buffer.from(`GET /health HTTP/1.1\n${host()}\n\n`)],
  ['a bare CR', 'invalid_request', get('/health', 'x: a\rb')],
  ['a NUL in a header', 'invalid_request', get('/health', 'x: a\0b')],
  ['a space before the colon', 'invalid_request', get('/health', 'x : a')],
  ['no Host', 'invalid_request', () => requestBytes('GET /health HTTP/1.1', [])],
  ['two Hosts', 'invalid_request', get('/health', 'host: localhost')],
  ['two credentials', 'invalid_request', get('/api/v1/sessions', 'authorization: Bearer x')],
  ['two content types', 'invalid_request', post('{}', 'content-type: text/plain', json)],
  ['two Idempotency-Keys', 'invalid_request', post('{"prompt":"x"}', json, 'idempotency-key: a', 'idempotency-key: b')],
  ['an Idempotency-Key with a space', 'invalid_request', post('{"prompt":"x"}', json, 'idempotency-key: a b')],
  ['an Idempotency-Key of 256', 'invalid_request', post('{"prompt":"x"}', json, `idempotency-key: ${'k'.repeat(256)}`)],
  ...[
    'text/plain',
    'application/jsonx',
    'text/plain, application/json',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/merge-patch+json',
    'x',
  ].map(
    (type): Case => [
      `Content-Type: ${type}`,
      'unsupported_media_type',
      post('{"prompt":"x"}', `content-type: ${type}`),
    ],
  ),
  ['an Expect of tea', 'invalid_request', post('{"prompt":"x"}', json, 'expect: tea')],
  [
    'a wait for a word without a credential',
    'unauthenticated',
    () => requestBytes(exec, [host(), json, 'expect: 100-continue', 'content-length: 10']),
  ],
  [
    'a wait for a word for 17 MB',
    'payload_too_large',
    () => requestBytes(exec, [host(), bearer(), json, 'expect: 100-continue', 'content-length: 17000000']),
  ],
  ['a Range of a session', 'session_not_found', get('/api/v1/sessions/none', 'range: bytes=0-,0-,0-')],
  [
    'another name of this server',
    'forbidden',
    () => requestBytes('GET /health HTTP/1.1', ['host: rebound.example', bearer()]),
  ],
  [
    'a name that begins like ours',
    'forbidden',
    () => requestBytes('GET /health HTTP/1.1', ['host: 127.0.0.1.evil.example', bearer()]),
  ],
  [
    'another name in the target',
    'forbidden',
    () => requestBytes('GET http://rebound.example/health HTTP/1.1', [host(), bearer()]),
  ],
  ['a page of another origin', 'forbidden', post('{"prompt":"x"}', json, 'origin: https://evil.example')],
  ['a page without an origin', 'forbidden', post('{"prompt":"x"}', json, 'origin: null')],
  [
    "a form of another origin's page",
    'forbidden',
    () =>
      requestBytes(
        'POST /api/v1/tickets HTTP/1.1',
        [host(), bearer(), 'origin: https://evil.example', 'content-type: text/plain'],
        'x',
      ),
  ],
  [
    'a question of another origin',
    'forbidden',
    () =>
      requestBytes('OPTIONS /api/v1/exec HTTP/1.1', [
        host(),
        'origin: https://evil.example',
        'access-control-request-method: POST',
      ]),
  ],
  ['no credential', 'unauthenticated', () => requestBytes(exec, [host(), json], '{"prompt":"x"}')],
  [
    'a credential of 8 KB',
    'unauthenticated',
    () => requestBytes(exec, [host(), json, `authorization: Bearer ${'x'.repeat(8000)}`], '{}'),
  ],
  ['a credential with a tail', 'unauthenticated', () => requestBytes(exec, [host(), json, `${bearer()} x`], '{}')],
  [
    'no credential and a body of 10 MB',
    'unauthenticated',
    () => requestBytes(exec, [host(), json], 'x'.repeat(10_000_000)),
  ],
];

const methods: readonly Case[] = [
  ...['HEAD', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND', 'QUERY']
    .filter((method) => method !== 'HEAD')
    .map(
      (method): Case => [
        `${method} of exec`,
        'method_not_allowed',
        () => requestBytes(`${method} /api/v1/exec HTTP/1.1`, [host(), bearer()]),
      ],
    ),
  ['a method of nobody', 'invalid_request', () => requestBytes('BREW /health HTTP/1.1', [host()])],
  ['a method in small letters', 'invalid_request', () => requestBytes('get /health HTTP/1.1', [host()])],
  ['CONNECT', 'invalid_request', () => requestBytes('CONNECT evil.example:443 HTTP/1.1', [host()])],
  ['HTTP/2', 'invalid_request', () => Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')],
  ['HTTP/2 in the words of HTTP/1', 'invalid_request', () => requestBytes('GET /health HTTP/2.0', [host()])],
  ['TLS', 'invalid_request', () => Buffer.from('16030100a5010000a10303', 'hex')],
  ['Redis', 'invalid_request', () => Buffer.from('*1\r\n$4\r\nPING\r\n')],
  ['four gigabytes of nothing much', 'invalid_request', () => Buffer.alloc(1_000_000)],
  ['a WebSocket without a key', 'invalid_request', get('/ws', 'connection: upgrade', 'upgrade: websocket')],
  [
    'a WebSocket of another version',
    'invalid_request',
    get(
      '/ws',
      'connection: upgrade',
      'upgrade: websocket',
      'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
      'sec-websocket-version: 12',
    ),
  ],
  [
    'a WebSocket by POST',
    'method_not_allowed',
    () => requestBytes('POST /ws HTTP/1.1', [host(), bearer(), 'connection: upgrade', 'upgrade: websocket'], '{}'),
  ],
  ['a WebSocket elsewhere', 'not_found', get('/api/v1/exec', 'connection: upgrade', 'upgrade: websocket')],
  ['a WebSocket of two Hosts', 'invalid_request', get('/ws', 'connection: upgrade', 'upgrade: websocket', 'host: x')],
];

const slowest: { name: string; waitedMs: number }[] = [];

for (const [title, cases] of Object.entries({ bodies, numbers, texts, paths, headers, methods })) {
  test(`hostile ${title} get a typed 4xx within ${answerLimitMs} ms [hostile-typed]`, async (t) => {
    const port = portOf(fleet().client.url);
    for (const [name, code, bytes] of cases) {
      await t.test(name, async () => {
        let fastestMs = Number.POSITIVE_INFINITY;
        for (let tried = 0; tried < tries && fastestMs > answerLimitMs; tried += 1) {
          const answer = await ask(port, bytes());
          assertRefusal(answer, code);
          assert.ok(answer.status >= 400 && answer.status < 500);
          assert.ok(!answer.body.includes(fleet().client.token), 'the credential is not repeated');
          fastestMs = Math.min(fastestMs, answer.waitedMs);
        }
        slowest.push({ name, waitedMs: fastestMs });
        assert.ok(fastestMs <= answerLimitMs, `answered after ${Math.round(fastestMs)} ms at best`);
      });
    }
  });
}

test('what is strange and harmless is taken', async () => {
  const port = portOf(fleet().client.url);
  const statusOf = async (bytes: Buffer): Promise<number> => (await ask(port, bytes)).status;
  assert.equal(await statusOf(get('/livez', 'range: bytes=0-10,5-6')()), 200);
  assert.equal(await statusOf(get('/%6civez')()), 200);
  assert.equal(await statusOf(requestBytes(`GET ${fleet().client.url}/livez HTTP/1.1`, ['host: other.example'])), 200);
  const chunked = requestBytes(
    exec,
    [host(), bearer(), json, 'transfer-encoding: Chunked'],
    `19\r\n{"prompt":"x","wait_ms":0\r\n1\r\n}\r\n0\r\n\r\n`,
  );
  assert.equal(await statusOf(chunked), 202);
  const waits = requestBytes(exec, [host(), bearer(), json, 'expect: 100-continue'], '{"prompt":"x","wait_ms":0}');
  assert.equal(await statusOf(waits), 202);
});

test('hostile requests make nothing, and the fleet works as before [hostile-healthy]', async () => {
  const { client } = fleet();
  assert.equal((await client.completed('say: unharmed')).stdout, 'unharmed');
  const health = await client.request<{ status: string }>('GET', '/health');
  assert.equal(health.body.status, 'ok');
});

after(() => {
  slowest.sort((a, b) => b.waitedMs - a.waitedMs);
  const words = slowest.slice(0, 5).map(({ name, waitedMs }) => `${name} ${waitedMs.toFixed(1)} ms`);
  process.stderr.write(`slowest refusals: ${words.join(', ')}\n`);
});
