// A cluster of every role for a benchmark, with the product's own times and the demo model; spoken to at its
// first gateway.

import path from 'node:path';
import { Client } from 'undici';
import type { ExecResponse } from '../../src/api/exec.ts';
import type { SessionResource } from '../../src/api/sessions.ts';
import { mintId } from '../../src/core/ids.ts';
import { LocalCluster, type LocalClusterOptions } from '../../tools/local-cluster.ts';
import type { Lab } from '../harness/benchmark.ts';
import { sleep } from '../harness/benchmark.ts';

export type BenchClusterOptions = Pick<LocalClusterOptions, 'gateways' | 'workers' | 'managers' | 'storage'> & {
  /** Of the cluster; what stands in it is gone on with. */
  readonly dir?: string;
  readonly slots: number;
  readonly warmSlots: number;
  readonly env?: Readonly<Record<string, string>>;
};

const settleMs = 60_000;

export class BenchCluster {
  readonly cluster: LocalCluster;
  readonly dir: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly #client: Client;

  private constructor(cluster: LocalCluster, dir: string) {
    const url = cluster.members('gateway')[0]?.url;
    if (url === undefined || url === null) throw new Error('the gateway has not said where it listens');
    this.cluster = cluster;
    this.dir = dir;
    this.url = url;
    this.headers = { authorization: `Bearer ${cluster.token}`, 'content-type': 'application/json' };
    this.#client = new Client(url);
  }

  static async start(lab: Lab, options: BenchClusterOptions): Promise<BenchCluster> {
    const { gateways, managers, slots, storage = 'sqlite', warmSlots, workers } = options;
    const dir = options.dir ?? path.join(lab.dir, mintId());
    const cluster = await LocalCluster.start({
      ...{ dataDir: dir, gateways, workers, managers, storage, port: 0 },
      flags: {
        'model-proxy': ['--model-provider', 'demo'],
        worker: ['--slots', String(slots), '--warm-slots', String(warmSlots)],
      },
      env: {
        PATH: process.env['PATH'],
        HOME: lab.dir,
        CODEX_FLEET_LOG_FORMAT: 'json',
        CODEX_FLEET_LOG_LEVEL: 'info',
        ...options.env,
      },
    });
    lab.defer(() => cluster.stop());
    const started = new BenchCluster(cluster, dir);
    lab.defer(() => started.#client.destroy());
    return started;
  }

  async exec(prompt: string, sessionId: string | null): Promise<ExecResponse> {
    const body = { prompt, ...(sessionId === null ? {} : { session_id: sessionId }) };
    const { status, text } = await this.request('POST', '/api/v1/exec', body);
    const answer = JSON.parse(text) as ExecResponse;
    if (status !== 200 || answer.status !== 'completed') throw new Error(`exec: ${status} ${text}`);
    return answer;
  }

  async session(id: string): Promise<SessionResource> {
    return JSON.parse((await this.request('GET', `/api/v1/sessions/${id}`)).text) as SessionResource;
  }

  async request(
    method: 'GET' | 'POST' | 'DELETE',
    route: string,
    body?: unknown,
  ): Promise<{ readonly status: number; readonly text: string }> {
    const payload = body === undefined ? null : JSON.stringify(body);
    const answer = await this.#client.request({ method, path: route, headers: this.headers, body: payload });
    return { status: answer.statusCode, text: await answer.body.text() };
  }

  /** Resolves when so many workers are seen, each ready and with a warm slot. */
  async isWarm(workers: number): Promise<void> {
    const endMs = performance.now() + settleMs;
    while (performance.now() < endMs) {
      const { text } = await this.request('GET', '/api/v1/workers');
      const { data } = JSON.parse(text) as { data: { status: string; slots: { idle: number } }[] };
      if (data.filter(({ slots, status }) => status === 'ready' && slots.idle > 0).length >= workers) return;
      await sleep(100);
    }
    throw new Error(`the cluster has not ${workers} warm workers within ${settleMs} ms`);
  }
}
