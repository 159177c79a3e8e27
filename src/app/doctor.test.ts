import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test, type TestContext } from 'node:test';
import { loadConfig } from '../config/load.ts';
import { readHostFacts } from '../config/host-facts.ts';
import type { Config } from '../config/resolve.ts';
import { diagnose } from './doctor.ts';
import { checkDataDir, checkNode, checkPort, checkSockets } from './doctor-host.ts';
import { checkClock, checkResources, checkUserNamespaces } from './doctor-machine.ts';
import { checkModel } from './doctor-model.ts';

const scratch = mkdtempSync(path.join(tmpdir(), 'fleet-doctor-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

function config(flags: Record<string, string>): Config {
  const input = { env: {}, flags: { '--data-dir': path.join(scratch, 'data'), ...flags }, readFile: () => null };
  return loadConfig({ ...input, facts: readHostFacts() }).config;
}

test('a diagnosis of this machine names every check once, is quick, and leaves nothing', async () => {
  const startedMs = performance.now();
  const checks = await diagnose(config({ '--port': '0' }));
  assert.ok(performance.now() - startedMs < 5000, 'each check has a deadline');
  const names = ['node', 'codex', 'cage', 'sandbox', 'user_namespaces', 'model', 'port', 'clock', 'data_dir', 'disk'];
  assert.deepEqual(
    checks.map(({ name }) => name),
    [...names, 'sockets', 'resources'],
  );
  for (const { name, status, message, advice } of checks) {
    assert.ok(message !== '' && (status === 'ok') === (advice === null), name);
  }
  assert.deepEqual(readdirSync(scratch), []);
});

test('Node is new enough or not', () => {
  const statuses = ['24.1.0', '22.18.0', '22.17.9', '20.19.5'].map((version) => checkNode(version).status);
  assert.deepEqual(statuses, ['ok', 'ok', 'fail', 'fail']);
});

test('a taken port fails, unless it is our own fleet that has it', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const at = { host: '127.0.0.1', port };
  assert.equal((await checkPort(at, async () => null)).status, 'fail');
  assert.equal((await checkPort(at, async () => `http://127.0.0.1:${port}/`)).status, 'ok');
  assert.equal((await checkPort({ host: '192.0.2.1', port: 1 }, async () => null)).status, 'fail');
  assert.equal((await checkPort({ host: '127.0.0.1', port: 0 }, async () => null)).status, 'ok');
});

test('a data directory that cannot be written fails, one that can is left as it was', async () => {
  assert.equal((await checkDataDir(path.join(scratch, 'a/b/c'))).status, 'ok');
  const good = mkdtempSync(path.join(scratch, 'good-'));
  assert.equal((await checkDataDir(good)).status, 'ok');
  assert.deepEqual(readdirSync(good), []);
  assert.equal((await checkDataDir('/proc/self/data')).status, 'fail');
  assert.match((await checkDataDir('/etc/hostname')).message, /not a directory|cannot be written/);
  if (process.getuid?.() === 0) return;
  chmodSync(good, 0o500);
  assert.equal((await checkDataDir(good)).status, 'fail');
});

test('names too long for unix sockets are seen before a start is', () => {
  const long = `/${'x'.repeat(100)}`;
  assert.deepEqual(
    [checkSockets('/data', '/tmp'), checkSockets(long, '/tmp'), checkSockets(long, long)].map(({ status }) => status),
    ['ok', 'ok', 'fail'],
  );
});

test('a clock in another age fails, one that was moved warns', async () => {
  const clockAt = (...times: number[]) => ({
    now: () => times.shift() ?? 0,
    monotonicMs: () => 0,
    after: (_delayMs: number, callback: () => void) => {
      callback();
      return () => {};
    },
  });
  const today = Date.UTC(2026, 10, 1);
  assert.equal((await checkClock(clockAt(0))).status, 'fail');
  assert.equal((await checkClock(clockAt(today, today + 3_600_000))).status, 'warn');
  assert.equal((await checkClock(clockAt(today, today + 5))).status, 'ok');
});

test('memory is weighed against the slots', () => {
  const GiB = 1024 ** 3;
  assert.deepEqual(
    [checkResources(2, GiB / 4, 1), checkResources(2, GiB, 8), checkResources(2, 8 * GiB, 4)].map(
      ({ status }) => status,
    ),
    ['fail', 'warn', 'ok'],
  );
});

test('a kernel setting that forbids user namespaces is named', async () => {
  const forbidding = async (file: string): Promise<string | null> => (file.endsWith('userns_clone') ? '0\n' : null);
  const { status, message, advice } = await checkUserNamespaces(forbidding);
  assert.equal(status, 'warn');
  assert.match(message, /unprivileged_userns_clone is 0/);
  assert.match(advice ?? '', /=1$/);
  assert.equal((await checkUserNamespaces(async () => null)).status, 'ok');
});

async function startProvider(t: TestContext, status: number, body: string): Promise<{ url: string; keys: unknown[] }> {
  const keys: unknown[] = [];
  const server = createHttpServer((request, response) => {
    keys.push(request.headers.authorization);
    response.writeHead(request.url === '/v1/models' ? status : 500).end(body);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.closeAllConnections());
  t.after(() => server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, keys };
}

const models = JSON.stringify({ data: [{ id: 'm' }] });
const answers: readonly [title: string, status: number, body: string, name: string, outcome: string][] = [
  ['it offers the model', 200, models, 'm', 'ok'],
  ['it does not list the model', 200, models, 'other', 'warn'],
  ['its answer is no list', 200, 'hello', 'm', 'ok'],
  ['it refuses the key', 401, '{}', 'm', 'fail'],
  ['it has no such route', 404, '', 'm', 'warn'],
  ['it is ill', 503, '', 'm', 'warn'],
];
for (const [title, status, body, name, outcome] of answers) {
  test(`the model provider is asked with the key: ${title}`, async (t) => {
    const { url, keys } = await startProvider(t, status, body);
    const { model } = config({ '--base-url': url, '--model': name });
    const check = await checkModel(model, () => 'sk-hush', 2000);
    assert.equal(check.status, outcome, check.message);
    assert.deepEqual(keys, ['Bearer sk-hush']);
    assert.equal(JSON.stringify(check).includes('sk-hush'), false);
  });
}

test('a provider that is not there fails, and the demo needs none', async () => {
  const { model } = config({ '--base-url': 'http://127.0.0.1:9/v1', '--model': 'm' });
  const check = await checkModel(model, () => null, 2000);
  assert.equal(check.status, 'fail');
  assert.match(check.message, /does not answer \((ECONNREFUSED|bad port)\)/);
  assert.equal((await checkModel(config({}).model, () => null, 2000)).status, 'ok');
});
