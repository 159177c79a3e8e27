// A cluster for a test, on a data directory of its own, with short leases; spoken to at any of its gateways.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { missingRedis } from '../../src/testing/redis-server.ts';
import { LocalCluster, type LocalClusterOptions, RedisMissing } from '../../tools/local-cluster.ts';
import { eventually } from '../e2e/eventually.ts';
import { FleetClient } from '../e2e/fleet-client.ts';
import { plainEnvironment } from '../e2e/fleet-under-test.ts';
import { findByMark, isAlive } from '../e2e/processes.ts';
import type { FleetAtRisk } from '../faults/kept-history.ts';
import { GoogleServices } from './google-services.ts';

export type ClusterSetup = Partial<
  Pick<LocalClusterOptions, 'gateways' | 'workers' | 'managers' | 'redisFlags' | 'memberEnv' | 'storeDoor'>
> & {
  /** How the model is reached; default: the demo model. */
  readonly modelFlags?: readonly string[];
  readonly workerFlags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** google: records and snapshots there, on services of the test's own. Default: sqlite. */
  readonly storage?: 'sqlite' | 'google';
  /** Those services, stopped with the cluster, instead of new ones. */
  readonly google?: GoogleServices;
  /** Another Redis than the cluster's own. */
  readonly redisUrl?: string;
};

/** Behind what was done, in a line of the record of reliability. */
export function placeOf(storage: NonNullable<ClusterSetup['storage']>): string {
  return storage === 'google' ? ', on Firestore, Cloud Storage and Pub/Sub' : '';
}

/** Short, so that a test need not wait for a lease of ten seconds; all other proportions are the product's. */
const shortTimes = {
  CODEX_FLEET_CLUSTER_LEASE_MS: '4000',
  CODEX_FLEET_CLUSTER_HEARTBEAT_MS: '400',
  CODEX_FLEET_SERVER_DRAIN_TIMEOUT_MS: '10000',
};

export class RunningCluster implements FleetAtRisk {
  readonly cluster: LocalCluster;
  readonly dataDir: string;
  /** null with records in a file. */
  readonly google: GoogleServices | null;
  #next = 0;

  private constructor(cluster: LocalCluster, dataDir: string, google: GoogleServices | null) {
    this.cluster = cluster;
    this.dataDir = dataDir;
    this.google = google;
  }

  /** null, and the test is skipped by name, where there is no Redis or no emulator. Stopped with the test. */
  static async start(t: TestContext, setup: ClusterSetup = {}): Promise<RunningCluster | null> {
    const { storage = 'sqlite' } = setup;
    const google = storage === 'google' ? (setup.google ?? (await GoogleServices.start())) : null;
    if (typeof google === 'string') {
      t.skip(google);
      return null;
    }
    const scratch = mkdtempSync(path.join(tmpdir(), 'fleet-cluster-'));
    const dataDir = path.join(scratch, 'cluster');
    const said: string[] = [];
    try {
      const cluster = await LocalCluster.start({
        dataDir,
        gateways: setup.gateways ?? 2,
        workers: setup.workers ?? 2,
        managers: setup.managers ?? 1,
        port: 0,
        flags: {
          'model-proxy': setup.modelFlags ?? ['--model-provider', 'demo'],
          worker: ['--slots', '4', '--warm-slots', '1', ...(setup.workerFlags ?? [])],
        },
        env: { ...plainEnvironment(scratch), ...shortTimes, ...google?.environment, ...setup.env },
        storage,
        ...(setup.storeDoor === undefined ? {} : { storeDoor: setup.storeDoor }),
        ...(setup.redisFlags === undefined ? {} : { redisFlags: setup.redisFlags }),
        ...(setup.memberEnv === undefined ? {} : { memberEnv: setup.memberEnv }),
        ...(setup.redisUrl === undefined ? {} : { redisUrl: setup.redisUrl }),
        onLine: (member, line) => {
          said.push(`${member} ${line}`);
          if (said.length > 4_000) said.splice(0, 1_000);
          if (process.env['CODEX_FLEET_INTERNAL_SHOW_CLUSTER'] !== undefined)
            process.stderr.write(`${member} ${line}\n`);
        },
      });
      const running = new RunningCluster(cluster, dataDir, google);
      t.after(async () => {
        await cluster.stop();
        await google?.stop();
        const left = findByMark(dataDir).filter(isAlive);
        rmSync(scratch, { recursive: true, force: true, maxRetries: 5 });
        assert.deepEqual(left, [], 'no process is left');
      });
      return running;
    } catch (error) {
      await google?.stop();
      rmSync(scratch, { recursive: true, force: true, maxRetries: 5 });
      if (!(error instanceof RedisMissing)) throw new Error(`${String(error)}\n${said.slice(-40).join('\n')}`);
      t.skip(missingRedis);
      return null;
    }
  }

  /** A gateway that runs, each in its turn. */
  get client(): FleetClient {
    const living = this.cluster.members('gateway').filter(({ pid, url }) => pid !== null && url !== null);
    const chosen = living[this.#next++ % Math.max(1, living.length)] ?? this.cluster.members('gateway')[0];
    return this.#clientAt(chosen?.url ?? null);
  }

  /** The gateway of that number, from 1. */
  gateway(number: number): FleetClient {
    const member = this.cluster.members('gateway').find(({ name }) => name === `gateway-${number}`);
    return this.#clientAt(member?.url ?? null);
  }

  /** Resolves when every member runs again and the gateways take turns. */
  async whole(): Promise<void> {
    await eventually('every member of the cluster is ready', 60_000, async () => {
      if (this.cluster.members().some(({ pid }) => pid === null)) return false;
      const answers = await Promise.all(
        this.cluster.members('gateway').map(async ({ url }) => {
          const answer = await fetch(`${url}/readyz`).catch(() => null);
          await answer?.body?.cancel();
          return answer?.ok === true;
        }),
      );
      return answers.every(Boolean);
    });
  }

  /** Streams end with it, whoever reads them. */
  async restartGateways(): Promise<void> {
    await Promise.all(this.cluster.members('gateway').map(({ name }) => this.cluster.kill9(name)));
    await this.whole();
  }

  get isReady(): boolean {
    return this.cluster.members('gateway').every(({ pid }) => pid !== null);
  }

  get starts(): number {
    return this.cluster.members().reduce((sum, { starts }) => sum + starts, 0);
  }

  #clientAt(url: string | null): FleetClient {
    assert.ok(url, 'the gateway has said where it listens');
    return new FleetClient(url, this.cluster.token);
  }
}
