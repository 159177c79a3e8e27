import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { test, type TestContext } from 'node:test';
import type { FastifyInstance } from 'fastify';
import { openApiDocument } from '../api/openapi.ts';
import { operations } from '../api/operations.ts';
import { webSocketPath } from '../api/plain-operations.ts';
import { jsonOf, startGateway, type GatewayFixture } from '../testing/gateway-fixture.ts';

/** `GET /livez`, for every route that is really registered; fastify announces each server that is made. */
async function registeredRoutes(t: TestContext): Promise<string[]> {
  const routes = new Set<string>();
  const onServer = (message: unknown): void => {
    (message as { fastify: FastifyInstance }).fastify.addHook('onRoute', ({ method, url }) => {
      for (const each of [method].flat())
        routes.add(`${each} ${url.replaceAll(/:(\w+)/g, '{$1}').replace(/\*$/, '{path}')}`);
    });
  };
  subscribe('fastify.initialization', onServer);
  try {
    await startGateway(t);
  } finally {
    unsubscribe('fastify.initialization', onServer);
  }
  return [...routes].sort();
}

test('every route of the gateway is in the document, and everything in the document is a route', async (t) => {
  const documented = Object.entries(openApiDocument('0.0.0')['paths'] as Record<string, object>).flatMap(
    ([path, item]) => Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
  );
  // An upgrade passes no route.
  const upgrades = [`GET ${webSocketPath}`];
  assert.deepEqual(await registeredRoutes(t), documented.filter((route) => !upgrades.includes(route)).sort());
});

test('/openapi.json is the document, for anyone', async (t) => {
  const { url } = await startGateway(t);
  const response = await fetch(`${url}/openapi.json`);
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(), JSON.parse(JSON.stringify(openApiDocument('0.0.0'))));
});

test('/docs is a page that needs nothing from elsewhere and describes every operation', async (t) => {
  const { url } = await startGateway(t);
  const response = await fetch(`${url}/docs`);
  const html = await response.text();
  assert.equal(response.status, 200);
  assert.match(response.headers.get('content-security-policy') ?? '', /^default-src 'none'; style-src 'sha256-/);
  assert.doesNotMatch(html, /<script|<link rel="stylesheet"|src=|https?:\/\//);
  for (const { id, path } of Object.values(operations)) {
    assert.ok(html.includes(`<details id="${id}">`) && html.includes(`<code>${path}</code>`), id);
  }
  const anchors = new Set([...html.matchAll(/ id="([^"]+)"/g)].map((match) => match[1]));
  const lost = [...html.matchAll(/href="#([^"]+)"/g)].map((match) => match[1]).filter((anchor) => !anchors.has(anchor));
  assert.deepEqual(lost, []);
  assert.ok(html.includes('curl -X POST &quot;$CODEX_FLEET_URL/api/v1/exec&quot;'));
});

async function execSome(fleet: GatewayFixture): Promise<void> {
  await fleet.post('/api/v1/sessions', { id: 'with-model', model: 'm-session' });
  for (const body of [
    { prompt: 'say 1' },
    { prompt: 'say 1', session_id: 'with-model' },
    { prompt: 'say 1', session_id: 'with-model', model: 'm-turn' },
  ]) {
    assert.equal((await fleet.post('/api/v1/exec', body)).status, 200);
  }
}

test('usage is summed over the turns of the tenant, by model and by day', async (t) => {
  const models = async () =>
    ({ provider: 'demo', baseUrl: null, models: [{ id: 'm-default', isDefault: true }] }) as const;
  const fleet = await startGateway(t, { models });
  await execSome(fleet);
  const report = await jsonOf(await fleet.get('/api/v1/usage'));
  const byModel = report['by_model'] as { model: string; turns: number }[];
  assert.deepEqual(byModel.map(({ model, turns }) => `${turns} ${model}`).sort(), [
    '1 m-default',
    '1 m-session',
    '1 m-turn',
  ]);
  assert.equal((report['total'] as { turns: number }).turns, 3);
  assert.equal(
    (report['by_day'] as { turns: number }[]).reduce((sum, day) => sum + day.turns, 0),
    3,
  );
  assert.equal(report['is_complete'], true);

  const later = await jsonOf(await fleet.get('/api/v1/usage?since=2999-01-01'));
  assert.equal((later['total'] as { turns: number }).turns, 0);
  assert.equal((await fleet.get('/api/v1/usage?since=yesterday')).status, 400);
});
