import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { test } from 'node:test';
import { jsonOf, startGateway, token } from '../testing/gateway-fixture.ts';

const exec = '/api/v1/exec';
const auth = { authorization: `Bearer ${token}` };
const json = { ...auth, 'content-type': 'application/json' };

type Hostile = {
  readonly what: string;
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
  readonly status: number;
  readonly code: string;
  readonly says?: RegExp;
};

const deep = '['.repeat(200_000);

const table: readonly Hostile[] = [
  { what: 'an empty body', body: '', status: 400, code: 'invalid_request', says: /JSON object/ },
  { what: 'broken JSON', body: '{"prompt": ', status: 400, code: 'invalid_json' },
  { what: 'an array', body: '[]', status: 400, code: 'invalid_json', says: /object/ },
  { what: 'a string', body: '"prompt"', status: 400, code: 'invalid_json' },
  { what: 'null', body: 'null', status: 400, code: 'invalid_json' },
  { what: 'a very deep body', body: deep, status: 400, code: 'invalid_json' },
  {
    what: 'a deep value',
    body: `{"prompt":${deep}${']'.repeat(200_000)}}`,
    status: 400,
    code: 'invalid_json',
    says: /deep/,
  },
  { what: '__proto__', body: '{"prompt":"x","__proto__":{"a":1}}', status: 400, code: 'invalid_json' },
  {
    what: 'constructor.prototype',
    body: '{"prompt":"x","constructor":{"prototype":{}}}',
    status: 400,
    code: 'invalid_json',
  },
  { what: 'no prompt', body: '{}', status: 400, code: 'invalid_request', says: /prompt is required/ },
  { what: 'an empty prompt', body: '{"prompt":""}', status: 400, code: 'invalid_request', says: /empty/ },
  { what: 'a prompt of another type', body: '{"prompt":7}', status: 400, code: 'invalid_request', says: /string/ },
  {
    what: 'an unknown field',
    body: '{"prompt":"x","sessionId":"a"}',
    status: 400,
    code: 'invalid_request',
    says: /did you mean session_id/,
  },
  {
    what: 'a negative time-out',
    body: '{"prompt":"x","timeout_ms":-1}',
    status: 400,
    code: 'invalid_request',
    says: /timeout_ms/,
  },
  { what: 'a fraction of a time-out', body: '{"prompt":"x","timeout_ms":1.5}', status: 400, code: 'invalid_request' },
  {
    what: 'a time-out of more than a day',
    body: '{"prompt":"x","timeout_ms":86400001}',
    status: 400,
    code: 'invalid_request',
  },
  {
    what: 'a wait of more than ten minutes',
    body: '{"prompt":"x","wait_ms":600001}',
    status: 400,
    code: 'invalid_request',
  },
  { what: 'a number that is none', body: '{"prompt":"x","timeout_ms":1e999}', status: 400, code: 'invalid_request' },
  { what: 'a lone surrogate', body: '{"prompt":"\\ud800"}', status: 400, code: 'invalid_request', says: /surrogate/ },
  {
    what: 'bytes that are not UTF-8',
    body: Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]),
    status: 400,
    code: 'invalid_json',
    says: /UTF-8/,
  },
  {
    what: 'a session id that climbs',
    body: '{"prompt":"x","session_id":"../other"}',
    status: 400,
    code: 'invalid_request',
  },
  { what: 'a session id of dots', body: '{"prompt":"x","session_id":"a..b"}', status: 400, code: 'invalid_request' },
  { what: 'an empty session id', body: '{"prompt":"x","session_id":""}', status: 400, code: 'invalid_request' },
  {
    what: 'stream and background',
    body: '{"prompt":"x","stream":true,"background":true}',
    status: 400,
    code: 'invalid_request',
  },
  {
    what: 'a prompt that is too long',
    body: JSON.stringify({ prompt: 'x'.repeat(1_048_577) }),
    status: 400,
    code: 'invalid_request',
  },
  {
    what: 'a body that is too large',
    body: JSON.stringify({ prompt: 'x'.repeat(17_000_000) }),
    status: 413,
    code: 'payload_too_large',
  },
  {
    what: 'a large body elsewhere',
    path: '/api/v1/sessions',
    body: JSON.stringify({ title: 'x'.repeat(2_000_000) }),
    status: 413,
    code: 'payload_too_large',
  },
  {
    what: 'another content type',
    headers: { ...auth, 'content-type': 'text/plain' },
    body: 'prompt',
    status: 415,
    code: 'unsupported_media_type',
  },
  {
    what: 'a form',
    headers: { ...auth, 'content-type': 'application/x-www-form-urlencoded' },
    body: 'prompt=x',
    status: 415,
    code: 'unsupported_media_type',
  },
  { what: 'no content type', headers: auth, body: '{"prompt":"x"}', status: 415, code: 'unsupported_media_type' },
  {
    what: 'a compressed body',
    headers: { ...json, 'content-encoding': 'gzip' },
    body: '{"prompt":"x"}',
    status: 415,
    code: 'unsupported_media_type',
  },
  {
    what: 'a bad Idempotency-Key',
    headers: { ...json, 'idempotency-key': 'a b' },
    body: '{"prompt":"x"}',
    status: 400,
    code: 'invalid_request',
  },
  {
    what: 'no token',
    headers: { 'content-type': 'application/json' },
    body: '{"prompt":"x"}',
    status: 401,
    code: 'unauthenticated',
  },
  {
    what: 'a wrong token',
    headers: { ...json, authorization: 'Bearer nonsense' },
    body: '{"prompt":"x"}',
    status: 401,
    code: 'unauthenticated',
  },
  {
    what: 'another scheme',
    headers: { ...json, authorization: `Basic ${token}` },
    body: '{"prompt":"x"}',
    status: 401,
    code: 'unauthenticated',
  },
  {
    what: 'a token in the query',
    method: 'GET',
    path: `/api/v1/sessions?token=${token}`,
    status: 401,
    code: 'unauthenticated',
    says: /query/,
  },
  { what: 'an unknown route', method: 'GET', path: '/api/v1/nothing', headers: auth, status: 404, code: 'not_found' },
  { what: 'another method', method: 'GET', path: exec, headers: auth, status: 405, code: 'method_not_allowed' },
  {
    what: 'DELETE of the lot',
    method: 'DELETE',
    path: '/api/v1/sessions',
    headers: auth,
    status: 405,
    code: 'method_not_allowed',
  },
  {
    what: 'a path that is badly escaped',
    method: 'GET',
    path: '/api/v1/sessions/%zz',
    headers: auth,
    status: 400,
    code: 'invalid_request',
  },
  {
    what: 'a path that climbs',
    method: 'GET',
    path: '/api/v1/sessions/..%2f..%2fetc',
    headers: auth,
    status: 400,
    code: 'invalid_request',
  },
  {
    what: 'a very long id',
    method: 'GET',
    path: `/api/v1/sessions/${'a'.repeat(600)}`,
    headers: auth,
    status: 400,
    code: 'invalid_request',
  },
  {
    what: 'an unknown parameter',
    method: 'GET',
    path: '/api/v1/sessions?limits=3',
    headers: auth,
    status: 400,
    code: 'invalid_request',
    says: /did you mean limit/,
  },
  {
    what: 'a limit of nothing',
    method: 'GET',
    path: '/api/v1/sessions?limit=0',
    headers: auth,
    status: 400,
    code: 'invalid_request',
  },
  {
    what: 'a parameter given twice',
    method: 'GET',
    path: '/api/v1/sessions?limit=1&limit=2',
    headers: auth,
    status: 400,
    code: 'invalid_request',
  },
  {
    what: 'a session that is not there',
    method: 'GET',
    path: '/api/v1/sessions/none',
    headers: auth,
    status: 404,
    code: 'session_not_found',
  },
  {
    what: 'a turn in a session that is not there',
    path: '/api/v1/sessions/none/turns',
    body: '{"prompt":"x"}',
    status: 404,
    code: 'session_not_found',
  },
  {
    what: 'a sandbox that is not allowed',
    path: '/api/v1/sessions',
    body: '{"sandbox":"danger-full-access"}',
    status: 403,
    code: 'forbidden',
  },
  {
    what: 'a page of a foreign origin',
    headers: { ...json, origin: 'https://evil.example' },
    body: '{"prompt":"x"}',
    status: 403,
    code: 'forbidden',
    says: /allowed_origins/,
  },
  {
    what: 'a name that is not of loopback',
    method: 'GET',
    path: '/health',
    headers: { ...auth, host: 'rebound.example' },
    status: 403,
    code: 'forbidden',
    says: /allowed_hosts/,
  },
];

test('each hostile request gets its typed answer, and the fleet is healthy after', async (t) => {
  const { port, post, worker } = await startGateway(t);
  for (const { what, method = 'POST', path = exec, headers = json, body, status, code, says } of table) {
    await t.test(what, async () => {
      const answer = await send(port, method, path, headers, body);
      assert.equal(answer.status, status, answer.body);
      assert.equal(answer.headers['content-type'], 'application/problem+json');
      const problem = JSON.parse(answer.body) as Record<string, unknown>;
      assert.equal(problem['code'], code);
      assert.equal(problem['status'], status);
      assert.equal(problem['request_id'], answer.headers['x-request-id']);
      if (says !== undefined) assert.match(answer.body, says);
      if (status === 405) assert.ok(answer.headers['allow']);
      if (status === 401) assert.match(answer.headers['www-authenticate'] ?? '', /^Bearer/);
    });
  }
  assert.deepEqual(worker.taken, []);
  const healthy = await post(exec, { prompt: 'say 1' });
  assert.equal((await jsonOf(healthy))['status'], 'completed');
});

test('the longest legal prompt is taken, whichever characters it is of', async (t) => {
  const { post } = await startGateway(t);
  for (const character of ['x', 'é', '😀']) {
    const response = await post(exec, { prompt: character.repeat(1_048_576), wait_ms: 0 });
    assert.equal(response.status, 202);
  }
});

test('what other serializers write is taken: null for absent, a byte order mark', async (t) => {
  const { post } = await startGateway(t);
  const nulls = { prompt: 'say 1', session_id: null, stream: null, timeout_ms: null, wait_ms: null, background: null };
  assert.equal((await post(exec, nulls)).status, 200);
  assert.equal((await post(exec, `\ufeff${JSON.stringify({ prompt: 'say 1' })}`)).status, 200);
});

type Answer = { readonly status: number; readonly headers: Record<string, string | undefined>; readonly body: string };

/** By hand, because fetch would mend what is wrong with these. */
function send(
  port: number,
  method: string,
  path: string,
  headers: Record<string, string>,
  body?: string | Buffer,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: '127.0.0.1', port, method, path, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers as Record<string, string>, body: text }),
      );
    });
    request.on('error', reject);
    request.end(body);
  });
}
