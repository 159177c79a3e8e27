import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jsonOf, otherTenantToken, startGateway } from '../testing/gateway-fixture.ts';

const exec = '/api/v1/exec';

test('a tenant sees nothing of another', async (t) => {
  const { post, get } = await startGateway(t);
  const mine = await jsonOf(await post(exec, { prompt: 'say 1', session_id: 'mine' }));
  const stranger = { authorization: `Bearer ${otherTenantToken}` };
  for (const ref of ['mine', String(mine['session_id'])]) {
    for (const rest of ['', '/turns', `/turns/${String(mine['turn_id'])}`, '/events', '/items']) {
      assert.equal((await get(`/api/v1/sessions/${ref}${rest}`, stranger)).status, 404);
    }
  }
  const theirs = await jsonOf(await post(exec, { prompt: 'say 1', session_id: 'mine' }, stranger));
  assert.notEqual(theirs['session_id'], mine['session_id']);
});

test('open routes answer without a credential and tell little; the rest need one', async (t) => {
  const { url, get, worker } = await startGateway(t);
  for (const path of ['/', '/health', '/livez', '/readyz', '/readyz/gateway'])
    assert.equal((await fetch(url + path)).status, 200, path);
  assert.equal((await fetch(url, { method: 'HEAD' })).status, 200);
  assert.deepEqual(await jsonOf(await fetch(`${url}/health`)), { status: 'ok' });
  const detailed = await jsonOf(await get('/health'));
  assert.deepEqual([detailed['status'], detailed['version']], ['ok', '0.0.0']);
  for (const path of ['/metrics', '/api/v1/workers', '/api/v1/models', '/api/v1/sessions', '/nothing']) {
    assert.equal((await fetch(url + path)).status, 401, path);
  }
  const page = await fetch(url);
  assert.match(page.headers.get('content-security-policy') ?? '', /default-src 'none'/);
  assert.match(await page.text(), /Codex Fleet/);

  worker.state = 'starting';
  const unready = await fetch(`${url}/readyz`);
  assert.deepEqual([unready.status, (await jsonOf(unready))['code']], [503, 'no_worker_ready']);
  assert.deepEqual(await jsonOf(await fetch(`${url}/health`)), { status: 'unavailable' });
  assert.equal((await fetch(`${url}/readyz/gateway`)).status, 200, 'the gateway itself can answer');
});

test('pages of allowed origins may call, and of our own', async (t) => {
  const origin = 'https://app.example';
  const { url, port, post } = await startGateway(t, { allowedOrigins: [origin] });
  const asks = { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' };
  const preflight = await fetch(url + exec, { method: 'OPTIONS', headers: asks });
  assert.equal(preflight.status, 204);
  assert.equal(preflight.headers.get('access-control-allow-origin'), origin);
  const called = await post(exec, { prompt: 'say 1' }, { origin });
  assert.deepEqual([called.status, called.headers.get('access-control-allow-origin')], [200, origin]);
  assert.equal((await post(exec, { prompt: 'say 1' }, { origin: `http://127.0.0.1:${port}` })).status, 200);
  const foreign = { ...asks, origin: 'https://evil.example' };
  assert.equal((await fetch(url + exec, { method: 'OPTIONS', headers: foreign })).status, 403);
});

test('requests are counted by route and class of status, with the names that monitoring knows', async (t) => {
  const { post, get } = await startGateway(t);
  await post(exec, { prompt: 'say 1' });
  await (await post(exec, { prompt: 'say 1', stream: true })).text();
  await post(exec, {});
  const text = await (await get('/metrics')).text();
  assert.match(text, /codex_requests_total\{route="exec",status_class="2xx"\} 2\n/);
  assert.match(text, /codex_requests_total\{route="exec",status_class="4xx"\} 1\n/);
  assert.match(text, /codex_request_duration_seconds_count\{route="exec"\} 3\n/);
});
