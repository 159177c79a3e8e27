import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { readHostFacts } from '../config/host-facts.ts';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/resolve.ts';
import { diagnose } from './doctor.ts';
import { checkModelProxy, checkRunning, roleOfContainer } from './doctor-role.ts';

test('the role of a container is the command of its pid 1, an init before it or not', async () => {
  const roles = await Promise.all(
    [
      ['/usr/bin/tini', '-s', '--', 'codex-fleet', 'gateway', ''],
      ['/usr/local/bin/node', '/app/bin/../dist/cli/main.js', 'session-manager', '--port', '0'],
      ['/usr/bin/tini', '-s', '--', 'codex-fleet', 'up'],
      ['/sbin/init'],
    ].map((words) => roleOfContainer(async () => words.join('\0'))),
  );
  assert.deepEqual(roles, ['gateway', 'session-manager', null, null]);
  assert.equal(await roleOfContainer(async () => Promise.reject(new Error('not to be read'))), null);
});

test('a role that does not answer fails where the container is there for it, and is said elsewhere', async (t) => {
  const config = configAt(t, { CODEX_FLEET_MANAGER_PORT: '1' });
  const must = await checkRunning(config, 'session-manager', true, 1_000);
  const may = await checkRunning(config, 'session-manager', false, 1_000);
  assert.deepEqual([must.check.status, must.isRunning, may.check.status], ['fail', false, 'ok']);
});

test('a role that lives and is not ready warns with its reason; one that is ready is well', async (t) => {
  const busy = configAt(t, { CODEX_FLEET_MANAGER_PORT: String(await serve(t, 503, { detail: 'Redis is away' })) });
  const well = configAt(t, { CODEX_FLEET_MANAGER_PORT: String(await serve(t, 200, {})) });
  const notReady = await checkRunning(busy, 'session-manager', true, 1_000);
  assert.deepEqual([notReady.check.status, notReady.isRunning], ['warn', true]);
  assert.match(notReady.check.message, /Redis is away/);
  assert.equal((await checkRunning(well, 'session-manager', true, 1_000)).check.status, 'ok');
});

test('a model proxy that is not named or not there fails', async (t) => {
  const at = (url: string): Config =>
    configAt(t, { CODEX_FLEET_MODEL_PROXY_URL: url, CODEX_FLEET_MODEL_PROXY_CONTROL_URL: url });
  assert.equal((await checkModelProxy(configAt(t, {}), 1_000)).status, 'fail');
  assert.equal((await checkModelProxy(at('http://127.0.0.1:1'), 1_000)).status, 'fail');
  assert.equal((await checkModelProxy(at(`http://127.0.0.1:${await serve(t, 200, {})}`), 1_000)).status, 'ok');
});

test('a gateway is asked for what it needs, and not for a Codex', async (t) => {
  const checks = await diagnose(configAt(t, { CODEX_FLEET_REDIS_URL: 'redis://127.0.0.1:1' }), 'gateway');
  const names = checks.map(({ name }) => name);
  assert.deepEqual(names, ['gateway', 'node', 'redis', 'model_proxy', 'clock', 'data_dir', 'disk']);
  assert.equal(checks.find(({ name }) => name === 'redis')?.status, 'fail');
});

function configAt(t: TestContext, env: Record<string, string>): Config {
  const dataDir = mkdtempSync(path.join(tmpdir(), 'fleet-doctor-role-'));
  t.after(() => rmSync(dataDir, { recursive: true, force: true }));
  const input = { env, flags: { '--data-dir': dataDir }, readFile: () => null, facts: readHostFacts() };
  return loadConfig(input).config;
}

async function serve(t: TestContext, readyStatus: number, body: object): Promise<number> {
  const server = createServer((request, response) => {
    const status = request.url === '/livez' ? 200 : readyStatus;
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  t.after(() => server.closeAllConnections());
  return (server.address() as AddressInfo).port;
}
