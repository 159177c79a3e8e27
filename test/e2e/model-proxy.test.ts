import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { after, type TestContext, test } from 'node:test';
import { ModelProxyClient } from '../../src/adapters/model-proxy-http/model-proxy-client.ts';
import { internalCredential } from '../../src/adapters/worker-http/internal-credential.ts';
import type { Grant } from '../../src/contracts/model-grants.ts';
import { SystemClock } from '../../src/observability/system-clock.ts';
import { missingRedis, RedisServer } from '../../src/testing/redis-server.ts';
import { eventually, within } from './eventually.ts';
import { newDirectory, plainEnvironment, repository } from './fleet-under-test.ts';

const secret = 'a-secret-of-tests-a-secret-of-tests';
const home = newDirectory();
after(() => rmSync(home, { recursive: true, force: true }));

/** `codex-fleet model-proxy` as a process, killed and started again on its ports. */
class ModelProxyRole {
  readonly #env: Readonly<Record<string, string>>;
  readonly #ports: readonly [number, number];
  #child: ChildProcess | null = null;

  private constructor(env: Readonly<Record<string, string>>, ports: readonly [number, number]) {
    this.#env = env;
    this.#ports = ports;
  }

  static async start(t: TestContext, env: Readonly<Record<string, string>>): Promise<ModelProxyRole> {
    const role = new ModelProxyRole(env, [await freePort(), await freePort()]);
    t.after(() => role.kill9());
    await role.startAgain();
    return role;
  }

  get controlUrl(): string {
    return `http://127.0.0.1:${this.#ports[1]}`;
  }

  async startAgain(): Promise<void> {
    const child = spawn('sh', ['bin/run-node.sh', '--die-with-parent', 'src/cli/main.ts', 'model-proxy'], {
      cwd: repository,
      env: {
        ...plainEnvironment(home),
        CODEX_FLEET_DATA_DIR: home,
        CODEX_FLEET_CLUSTER_SECRET: secret,
        CODEX_FLEET_MODEL_PROXY_PORT: String(this.#ports[0]),
        CODEX_FLEET_MODEL_PROXY_CONTROL_PORT: String(this.#ports[1]),
        ...this.#env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text: Buffer) => (said += String(text)));
    await eventually('the model proxy says ready', 20_000, () => {
      assert.equal(child.exitCode, null, said);
      return /^ready$/m.test(said);
    });
  }

  async kill9(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  terminate(): Promise<number | null> {
    const child = this.#child ?? assert.fail('it runs');
    const exited = once(child, 'exit').then(([code]) => code as number | null);
    child.kill('SIGTERM');
    return exited;
  }

  client(t: TestContext): ModelProxyClient {
    const credential = internalCredential(secret, 'model-proxy', '');
    const client = new ModelProxyClient({ address: { url: this.controlUrl }, credential, clock: new SystemClock() });
    t.after(() => client.close());
    return client;
  }

  async call({ credential }: Grant, input: string): Promise<Response> {
    return await fetch(`http://127.0.0.1:${this.#ports[0]}/v1/responses`, {
      method: 'POST',
      headers: { authorization: `Bearer ${credential}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'demo', stream: true, input }),
    });
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function startRedis(t: TestContext): Promise<RedisServer | null> {
  const redis = await RedisServer.start();
  if (redis === null) t.skip(missingRedis);
  else t.after(() => redis.stop());
  return redis;
}

const request = { tenant: 'default', sessionId: '019a0000-0000-7000-8000-000000000001', epoch: 1, models: [] };

async function isCut(response: Response): Promise<boolean> {
  return await response.text().then(
    (text) => !text.includes('response.completed'),
    () => true,
  );
}

test('a call that is cut with its killed proxy is served by another one, and by the next start', async (t) => {
  const redis = await startRedis(t);
  if (redis === null) return;
  const env = { REDIS_URL: redis.url };
  const [first, second] = await Promise.all([ModelProxyRole.start(t, env), ModelProxyRole.start(t, env)]);
  const client = first.client(t);
  const grant = await client.issue(request);
  await client.beginTurn(grant.id, 'turn-1');
  const cut = await first.call(grant, 'stream: 100 words at 50 ms');
  assert.equal(cut.status, 200);
  await first.kill9();
  assert.equal(await isCut(cut), true);
  assert.match(await (await second.call(grant, 'say: hi')).text(), /response\.completed/);
  await first.startAgain();
  assert.match(await (await first.call(grant, 'say: hi')).text(), /response\.completed/);

  const open = await second.call(grant, 'stream: 200 words at 50 ms');
  await client.endTurn(grant.id, 'turn-1');
  assert.equal(await within('a turn that ended at one ends at the other', 2_000, isCut(open)), true);
  assert.equal((await second.call(grant, 'say: hi')).status, 400);
});

test('while Redis is away, or empty, or both a proxy and Redis lost everything, a running turn is served', async (t) => {
  const redis = await startRedis(t);
  if (redis === null) return;
  const proxy = await ModelProxyRole.start(t, { REDIS_URL: redis.url });
  const client = proxy.client(t);
  const grant = await client.issue(request);
  await client.beginTurn(grant.id, 'turn-1');
  const isServed = async (what: string): Promise<void> => {
    const response = await proxy.call(grant, 'say: hi');
    assert.match(await response.text(), /response\.completed/, what);
  };
  await redis.kill9();
  await isServed('Redis is away');
  await client.endTurn(grant.id, 'turn-1');
  await client.beginTurn(grant.id, 'turn-2');
  await isServed('a turn that began while Redis was away');
  await redis.startAgain();
  await isServed('Redis came back empty');
  await Promise.all([redis.kill9(), proxy.kill9()]);
  await redis.startAgain();
  await proxy.startAgain();
  await isServed('everything was lost');
});

test('a proxy that is told to stop is not ready at once, lets the call under way end and leaves with 0', async (t) => {
  const proxy = await ModelProxyRole.start(t, {});
  const client = proxy.client(t);
  const grant = await client.issue(request);
  await client.beginTurn(grant.id, 'turn-1');
  const open = await proxy.call(grant, 'stream: 40 words at 50 ms');
  const exit = proxy.terminate();
  const probe = async (route: string): Promise<number> => (await fetch(`${proxy.controlUrl}${route}`)).status;
  let ready = 200;
  for (const endMs = performance.now() + 1_000; ready === 200 && performance.now() < endMs; )
    ready = await probe('/readyz');
  assert.deepEqual([ready, await probe('/livez')], [503, 200]);
  assert.match(await open.text(), /response\.completed/);
  assert.equal(await within('it ends after its last call', 3_000, exit), 0);
});
