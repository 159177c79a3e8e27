// A gateway and workers in processes of their own, with real Redis, records and snapshots, and agents that
// cost nothing; driven by so many clients at once, each with a session of its own.

import path from 'node:path';
import { Pool } from 'undici';
import type { ExecResponse } from '../../src/api/exec.ts';
import { mintId } from '../../src/core/ids.ts';
import { RedisServer } from '../../src/testing/redis-server.ts';
import type { Lab } from '../harness/benchmark.ts';
import { sleep } from '../harness/benchmark.ts';
import { Child } from '../harness/child.ts';
import { redisFacts, redisUse } from './redis-info.ts';
import type { ScriptedMemberReady } from './scripted-cluster-facts.ts';

export type Driven = {
  readonly turns: number;
  readonly ms: number;
  readonly gatewayMs: number;
  readonly workersMs: number;
  readonly redisMs: number;
};

const readyMs = 30_000;
const body = JSON.stringify({ prompt: 'say: pong' });

export class ScriptedCluster {
  readonly #gateway: Child;
  readonly #workers: readonly Child[];
  readonly #redis: RedisServer;
  readonly #pool: Pool;
  readonly #headers: Readonly<Record<string, string>>;
  #sessions: readonly string[] = [];

  private constructor(
    redis: RedisServer,
    gateway: Child,
    { token, url }: ScriptedMemberReady,
    workers: readonly Child[],
    clients: number,
  ) {
    this.#redis = redis;
    this.#gateway = gateway;
    this.#workers = workers;
    this.#pool = new Pool(url, { connections: clients });
    this.#headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  }

  /** Each client has its session, and that is bound. */
  static async start(lab: Lab, workerCount: number, clients: number): Promise<ScriptedCluster> {
    const redis = await RedisServer.start('everysec');
    if (redis === null) throw new Error('needs redis-server');
    lab.defer(() => redis.stop());
    const env = {
      CODEX_FLEET_REDIS_URL: redis.url,
      // Nobody asks it for anything: the agents call no model.
      CODEX_FLEET_MODEL_PROXY_URL: 'http://127.0.0.1:1',
      CODEX_FLEET_MODEL_PROXY_CONTROL_URL: 'http://127.0.0.1:1',
    };
    const flags = { '--data-dir': path.join(lab.dir, mintId()) };
    const workers: Child[] = [];
    for (let at = 1; at <= workerCount; at += 1) {
      const slots = { '--slots': String(clients), '--warm-slots': String(Math.ceil(clients / workerCount)) };
      const member = { ...env, WORKER_ID: `worker-${at}` };
      const { child } = await Child.start(lab, 'scripted-worker-child.ts', { flags: { ...flags, ...slots } }, member);
      workers.push(child);
    }
    const { child, ready } = await Child.start<ScriptedMemberReady>(
      lab,
      'scripted-gateway-child.ts',
      { flags: { ...flags, '--port': '0' } },
      env,
    );
    const cluster = new ScriptedCluster(redis, child, ready, workers, clients);
    lab.defer(() => cluster.#pool.destroy());
    await cluster.#seesWorkers();
    cluster.#sessions = await Promise.all(Array.from({ length: clients }, () => cluster.#exec(null)));
    return cluster;
  }

  /** So many turns in all, each client with its next when it has the answer to its last. */
  async drive(turns: number): Promise<Driven> {
    const before = await this.#used();
    const redisBefore = await redisFacts(this.#redis.url);
    const startedMs = performance.now();
    let left = turns;
    await Promise.all(
      this.#sessions.map(async (id) => {
        while (left > 0) {
          left -= 1;
          await this.#exec(id);
        }
      }),
    );
    const ms = performance.now() - startedMs;
    const after = await this.#used();
    const { cpuMs: redisMs } = redisUse(redisBefore, await redisFacts(this.#redis.url));
    return {
      ...{ turns, ms, redisMs },
      gatewayMs: after.gatewayMs - before.gatewayMs,
      workersMs: after.workersMs - before.workersMs,
    };
  }

  async #used(): Promise<Pick<Driven, 'gatewayMs' | 'workersMs'>> {
    const gatewayUs = await this.#gateway.cpuUs();
    const workersUs = await Promise.all(this.#workers.map((worker) => worker.cpuUs()));
    return { gatewayMs: gatewayUs / 1_000, workersMs: workersUs.reduce((sum, one) => sum + one, 0) / 1_000 };
  }

  async #exec(sessionId: string | null): Promise<string> {
    const answer = await this.#pool.request({
      method: 'POST',
      path: '/api/v1/exec',
      headers: this.#headers,
      body: sessionId === null ? body : JSON.stringify({ prompt: 'say: pong', session_id: sessionId }),
    });
    const text = await answer.body.text();
    const { session_id: id, status } = JSON.parse(text) as ExecResponse;
    if (answer.statusCode !== 200 || status !== 'completed') throw new Error(`exec: ${answer.statusCode} ${text}`);
    return id;
  }

  async #seesWorkers(): Promise<void> {
    const endMs = performance.now() + readyMs;
    while (performance.now() < endMs) {
      const answer = await this.#pool.request({ method: 'GET', path: '/api/v1/workers', headers: this.#headers });
      const { data } = (await answer.body.json()) as { data: { status: string }[] };
      if (data.filter(({ status }) => status === 'ready').length === this.#workers.length) return;
      await sleep(50);
    }
    throw new Error('the gateway does not see its workers');
  }
}
