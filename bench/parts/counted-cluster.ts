// A cluster on Firestore and Cloud Storage whose every call there is counted and can be made slower, and the short
// ways to ask it things. Firestore is behind a proxy: what it counts are calls, what its client counts are documents.

import path from 'node:path';
import { Pool } from 'undici';
import type { ExecResponse } from '../../src/api/exec.ts';
import { FirestoreProxy } from '../../src/testing/firestore-proxy.ts';
import { RedisServer } from '../../src/testing/redis-server.ts';
import { mintId } from '../../src/core/ids.ts';
import type { Lab } from '../harness/benchmark.ts';
import { sleep } from '../harness/benchmark.ts';
import { Child } from '../harness/child.ts';
import { type Billed, billedKinds } from '../google-prices.ts';
import type { CountedRolesJob, CountedRolesReady, Counts } from './google-facts.ts';
import { GoogleStores } from './google-stores.ts';

/** Nothing was written for so long: what a turn left to be done is done. */
const quietMs = 2_500;
const quietLimitMs = 60_000;

export type Answer = { readonly status: number; readonly text: string };

export class CountedCluster {
  readonly stores: GoogleStores;
  /** Calls to Firestore since the start. */
  firestoreCalls = 0;
  firestoreDelayMs = 0;
  readonly #child: Child;
  readonly #client: Pool;
  readonly #headers: Readonly<Record<string, string>>;

  private constructor(stores: GoogleStores, child: Child, { token, url }: CountedRolesReady) {
    this.stores = stores;
    this.#child = child;
    this.#client = new Pool(url);
    this.#headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  }

  static async start(lab: Lab, slots: number): Promise<CountedCluster> {
    const stores = await GoogleStores.start(lab);
    const proxy = await FirestoreProxy.start(stores.firestore.host);
    lab.defer(() => proxy.stop());
    const redis = await RedisServer.start();
    if (redis === null) throw new Error('there is no Redis');
    lab.defer(() => redis.stop());
    const job: CountedRolesJob = { dataDir: path.join(lab.dir, mintId()), slots };
    const env = {
      ...stores.environment(proxy.host),
      CODEX_FLEET_REDIS_URL: redis.url,
      CODEX_FLEET_CLUSTER_SECRET: 'the-secret-of-a-cluster-that-only-the-benchmark-uses',
      CODEX_FLEET_MODEL_PROXY_PORT: '0',
      CODEX_FLEET_MODEL_PROXY_CONTROL_PORT: '0',
      CODEX_FLEET_MANAGER_PORT: '0',
      CODEX_FLEET_WEBHOOKS_ALLOW_HTTP: 'true',
      CODEX_FLEET_WEBHOOKS_ALLOW_PRIVATE: '127.0.0.1/32',
    };
    const { child, ready } = await Child.start<CountedRolesReady>(lab, 'counted-roles-child.ts', job, env);
    const cluster = new CountedCluster(stores, child, ready);
    lab.defer(() => cluster.#client.destroy());
    proxy.faultOf = () => {
      cluster.firestoreCalls += 1;
      return cluster.firestoreDelayMs === 0 ? null : { kind: 'delay', ms: cluster.firestoreDelayMs };
    };
    return cluster;
  }

  async request(method: 'GET' | 'POST' | 'DELETE', route: string, body?: unknown): Promise<Answer> {
    const payload = body === undefined ? null : JSON.stringify(body);
    const answer = await this.#client.request({ method, path: route, headers: this.#headers, body: payload });
    return { status: answer.statusCode, text: await answer.body.text() };
  }

  /** Rejects unless the answer is a success. */
  async ask<T>(method: 'GET' | 'POST' | 'DELETE', route: string, body?: unknown): Promise<T> {
    const { status, text } = await this.request(method, route, body);
    if (status >= 300) throw new Error(`${method} ${route}: ${status} ${text}`);
    return (text === '' ? null : JSON.parse(text)) as T;
  }

  async exec(prompt: string, sessionId: string | null): Promise<ExecResponse> {
    const body = { prompt, ...(sessionId === null ? {} : { session_id: sessionId }) };
    const answer = await this.ask<ExecResponse>('POST', '/api/v1/exec', body);
    if (answer.status !== 'completed') throw new Error(`exec: ${JSON.stringify(answer)}`);
    return answer;
  }

  async counts(): Promise<Counts> {
    return await this.#child.ask<Counts>('counts');
  }

  /** Resolves when nothing has been written for a while. */
  async isQuiet(): Promise<void> {
    const endMs = performance.now() + quietLimitMs;
    let sinceMs = performance.now();
    for (let before = await this.#written(); performance.now() < endMs; ) {
      await sleep(200);
      const now = await this.#written();
      if (now !== before) sinceMs = performance.now();
      before = now;
      if (performance.now() - sinceMs >= quietMs) return;
    }
    throw new Error(`the cluster still writes after ${quietLimitMs} ms`);
  }

  async #written(): Promise<number> {
    const billed = billedOf(await this.counts());
    return billed.writes + billed.deletes + billed.class_a;
  }
}

export function difference(before: Counts, after: Counts): Counts {
  return Object.fromEntries(
    Object.entries(after).flatMap(([name, count]) => {
      const grown = count - (before[name] ?? 0);
      return grown === 0 ? [] : [[name, grown]];
    }),
  );
}

export function billedOf(counts: Counts): Billed {
  const sum = (kind: string): number =>
    Object.entries(counts).reduce((all, [name, count]) => all + (name.split(' ')[1] === kind ? count : 0), 0);
  const [reads = 0, writes = 0, deletes = 0, classA = 0, classB = 0] = billedKinds.map(sum);
  return { reads, writes, deletes, class_a: classA, class_b: classB };
}
