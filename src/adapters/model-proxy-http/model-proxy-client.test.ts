import assert from 'node:assert/strict';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, test } from 'node:test';
import { isServiceError } from '../../core/errors.ts';
import { SystemClock } from '../../observability/system-clock.ts';
import { controlCredential, runModelProxy, testSession } from '../../testing/running-model-proxy.ts';
import type { RunningModelProxy } from '../../testing/running-model-proxy.ts';
import { MemoryGrantStore } from '../memory/memory-grant-store.ts';
import { ModelProxyClient } from './model-proxy-client.ts';

const demo = { kind: 'demo', baseUrl: null, apiKey: null, defaultModel: null, models: [] } as const;
const request = { tenant: 'default', sessionId: testSession, epoch: 2, models: [] };

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function start(): Promise<RunningModelProxy> {
  const running = await runModelProxy({ provider: demo });
  cleanups.push(running.stop);
  return running;
}

function clientFor(options: Partial<ConstructorParameters<typeof ModelProxyClient>[0]>): ModelProxyClient {
  const address = { host: '127.0.0.1', port: 1 };
  const client = new ModelProxyClient({ address, credential: controlCredential, clock: new SystemClock(), ...options });
  cleanups.push(() => client.close());
  return client;
}

function unavailableBecause(reason: string): (error: unknown) => boolean {
  return (error) => isServiceError(error, 'model_unavailable') && error.details['reason'] === reason;
}

test('a grant lives from its issue to its end, over a unix socket that is ours alone', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'model-proxy-'));
  cleanups.push(() => rm(directory, { recursive: true }));
  const address = { path: path.join(directory, 'control.sock') };
  const running = await runModelProxy({ provider: demo, controlAddress: address });
  cleanups.push(running.stop);
  assert.equal((await stat(address.path)).mode & 0o777, 0o600);

  const client = clientFor({ address });
  const grant = await client.issue(request);
  await client.beginTurn(grant.id, 'turn-9');
  const headers = { authorization: `Bearer ${grant.credential}` };
  const call = (): Promise<Response> => running.post({ model: 'demo', input: 'say: hi' }, { headers });
  assert.match(await (await call()).text(), /response\.completed/);
  await client.endTurn(grant.id, 'turn-9');
  await client.endTurn(grant.id, 'turn-9');
  assert.equal((await call()).status, 400);
  await client.revoke(grant.id);
  await client.revoke(grant.id);
  await assert.rejects(client.beginTurn(grant.id, 'turn-10'), (error) => isServiceError(error, 'grant_not_found'));
  await assert.rejects(
    client.issue({ ...request, epoch: 1 }),
    (error) => isServiceError(error, 'stale_epoch') && error.details['epoch'] === 2,
  );
});

test('the status says who answers, with which models', async () => {
  const running = await start();
  assert.deepEqual(await running.client.status(), {
    provider: 'demo',
    baseUrl: null,
    models: [{ id: 'demo', isDefault: true }],
  });
});

test('a proxy that is not there, or does not answer, is model_unavailable in time', async () => {
  await assert.rejects(clientFor({}).status(), unavailableBecause('proxy_unreachable'));
  const silent = createServer((socket) => void socket.on('error', () => {}).resume());
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => new Promise((resolve) => silent.close(resolve)));
  const { port } = silent.address() as AddressInfo;
  const client = clientFor({ address: { host: '127.0.0.1', port }, deadlineMs: 30 });
  await assert.rejects(client.status(), unavailableBecause('proxy_timed_out'));
});

test('a proxy that was started again, and knows nothing, is told what its worker remembers', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'model-proxy-'));
  cleanups.push(() => rm(directory, { recursive: true }));
  const address = { path: path.join(directory, 'control.sock') };
  const mine = { ...request, sessionId: `${testSession}-2` };
  let running = await runModelProxy({ provider: demo, controlAddress: address });
  const client = clientFor({ address, checkMs: 20 });
  const [busy, idle] = [await client.issue(mine), await client.issue(mine)];
  await client.beginTurn(busy.id, 'turn-1');
  await running.stop();
  // In the meantime a turn begins, and waits for the proxy.
  const begun = client.beginTurn(idle.id, 'turn-2');
  running = await runModelProxy({ provider: demo, controlAddress: address });
  cleanups.push(running.stop);
  await begun;
  const call = (credential: string): Promise<Response> =>
    running.post({ model: 'demo', input: 'say: hi' }, { headers: { authorization: `Bearer ${credential}` } });
  for (const { credential } of [busy, idle]) assert.match(await (await call(credential)).text(), /response\.completed/);
  await client.endTurn(busy.id, 'turn-1');
  assert.equal((await call(busy.credential)).status, 400);
  await client.revoke(idle.id);
  assert.equal((await call(idle.credential)).status, 400);
});

test('a grant that was revoked while the proxy was away is revoked when it is back', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'model-proxy-'));
  cleanups.push(() => rm(directory, { recursive: true }));
  const address = { path: path.join(directory, 'control.sock') };
  const clock = new SystemClock();
  const grantStore = new MemoryGrantStore(clock);
  let running = await runModelProxy({ provider: demo, controlAddress: address, grantStore });
  const client = clientFor({ address, checkMs: 20, patienceMs: 300 });
  const grant = await client.issue({ ...request, sessionId: `${testSession}-2` });
  await client.beginTurn(grant.id, 'turn-1');
  await running.stop();
  await assert.rejects(client.revoke(grant.id), unavailableBecause('proxy_unreachable'));
  running = await runModelProxy({ provider: demo, controlAddress: address, grantStore });
  cleanups.push(running.stop);
  for (const endMs = performance.now() + 5_000; (await grantStore.find(grant.id)) !== 'ended'; ) {
    assert.ok(performance.now() < endMs, 'revoked in time');
    await new Promise((resolve) => clock.after(20, () => resolve(null)));
  }
});

test('the control face takes its own credential alone', async () => {
  const running = await start();
  const address = { host: '127.0.0.1', port: Number(new URL(running.controlUrl).port) };
  for (const credential of ['wrong', running.grant.credential]) {
    await assert.rejects(clientFor({ address, credential }).issue(request), unavailableBecause('proxy_refused'));
  }
  const status = async (route: string, init: RequestInit = {}): Promise<number> =>
    (await fetch(`${running.controlUrl}${route}`, init)).status;
  const headers = { authorization: `Bearer ${controlCredential}` };
  assert.deepEqual(await Promise.all(['/livez', '/readyz'].map((route) => status(route))), [200, 200]);
  assert.deepEqual(
    await Promise.all(['/status', '/metrics', '/nothing'].map((route) => status(route))),
    [401, 401, 401],
  );
  assert.deepEqual(
    await Promise.all(['/metrics', '/nothing', '/grants'].map((route) => status(route, { headers }))),
    [200, 404, 405],
  );
});

test('broken words about grants are refused with what is wrong', async () => {
  const running = await start();
  const send = async (method: string, route: string, body?: string): Promise<[number, unknown]> => {
    const headers = { authorization: `Bearer ${controlCredential}` };
    const response = await fetch(`${running.controlUrl}${route}`, { method, headers, ...(body && { body }) });
    return [response.status, ((await response.json()) as { code: unknown }).code];
  };
  const { id } = running.grant;
  assert.deepEqual(await send('PUT', `/grants/${id}`, '{}'), [400, 'invalid_request']);
  assert.deepEqual(await send('POST', '/grants/check', '{"grants":[{"id":""}]}'), [400, 'invalid_request']);
  assert.deepEqual(await send('POST', `/grants/${id}/turns/t?revision=-1`), [400, 'invalid_request']);
  assert.deepEqual(await send('POST', `/grants/${id}/turns/t?revision=`), [400, 'invalid_request']);
});

test('the health says whether to all, and what to those who may know', async () => {
  const running = await start();
  const health = async (headers = {}): Promise<unknown> =>
    (await fetch(`${running.controlUrl}/health`, { headers })).json();
  assert.deepEqual(await health(), { status: 'ok' });
  assert.deepEqual(await health({ authorization: `Bearer ${controlCredential}` }), {
    status: 'ok',
    provider: 'demo',
    grants: 1,
    open_calls: 0,
    grant_store: 'ok',
  });
});

test('a broken or excessive grant request is refused with what is wrong', async () => {
  const running = await start();
  const send = async (body: string): Promise<[number, unknown]> => {
    const headers = { authorization: `Bearer ${controlCredential}` };
    const response = await fetch(`${running.controlUrl}/grants`, { method: 'POST', headers, body });
    return [response.status, ((await response.json()) as { code: unknown }).code];
  };
  assert.deepEqual(await send('{'), [400, 'invalid_json']);
  assert.deepEqual(await send('{"tenant":"a"}'), [400, 'invalid_request']);
  assert.deepEqual(await send(' '.repeat(100_000)), [413, 'payload_too_large']);
});

test('the metrics count calls and tokens', async () => {
  const running = await start();
  await (await running.post({ model: 'demo', input: 'say: four' })).text();
  const headers = { authorization: `Bearer ${controlCredential}` };
  const text = await (await fetch(`${running.controlUrl}/metrics`, { headers })).text();
  assert.match(text, /codex_fleet_model_requests_total\{outcome="completed"\} 1/);
  assert.match(text, /codex_fleet_model_tokens_total\{kind="output"\} 1/);
});
