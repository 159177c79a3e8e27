// A whole fleet in containers: Redis, model proxy, session manager, gateway, workers. As in the manifests, workers
// have no directory and no identity in common with the others, and reach the stores by the session manager's door.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { freePort } from '../../tools/local-cluster.ts';
import { eventually } from '../e2e/eventually.ts';
import { FleetClient } from '../e2e/fleet-client.ts';
import { Container, type ContainerOptions, type Profile } from './container.ts';
import { type Images, ownedDir, removeDir } from './images.ts';

export type FleetSetup = {
  readonly images: Images;
  readonly profile: Profile;
  readonly workers: number;
  readonly workerEnv?: Readonly<Record<string, string>>;
  readonly workerMemory?: string;
  /** Of another tenant, beside the data directory's own. */
  readonly otherToken?: string;
};

const readyMs = 60_000;

type Ports = Readonly<Record<'control' | 'gateway' | 'manager' | 'proxy' | 'redis' | 'store', number>>;

export class ContainedFleet {
  readonly containers = new Map<string, Container>();
  readonly dir: string;
  readonly #setup: FleetSetup;
  readonly #ports: Ports;
  readonly #secret = randomBytes(24).toString('hex');
  readonly #workerPorts = new Map<string, number>();
  readonly #mark: string;

  private constructor(setup: FleetSetup, ports: Ports) {
    this.#setup = setup;
    this.#ports = ports;
    this.dir = mkdtempSync(path.join(tmpdir(), 'fleet-containers-'));
    this.#mark = path.basename(this.dir);
  }

  static async start(setup: FleetSetup): Promise<ContainedFleet> {
    const [control, gateway, manager, proxy, redis, store] = await Promise.all(Array.from({ length: 6 }, freePort));
    assert.ok(control && gateway && manager && proxy && redis && store);
    const fleet = new ContainedFleet(setup, { control, gateway, manager, proxy, redis, store });
    try {
      await fleet.#start();
      return fleet;
    } catch (error) {
      const said = await Promise.all(
        [...fleet.containers].map(async ([role, one]) => `${role}:\n${(await one.logs()).slice(-1500)}`),
      );
      await fleet.remove();
      throw new Error(`${String(error)}\n${said.join('\n')}`, { cause: error });
    }
  }

  get client(): FleetClient {
    const token = readFileSync(path.join(this.dir, 'shared', 'token'), 'utf8').trim();
    return new FleetClient(`http://127.0.0.1:${this.#ports.gateway}`, token);
  }

  /** Of the other tenant. */
  get otherClient(): FleetClient {
    return new FleetClient(this.client.url, this.#setup.otherToken ?? assert.fail('there is one tenant'));
  }

  container(role: string): Container {
    return this.containers.get(role) ?? assert.fail(`there is no container ${role}`);
  }

  workerUrl(name: string): string {
    return `http://127.0.0.1:${this.#workerPorts.get(name) ?? assert.fail(`no worker is called ${name}`)}`;
  }

  /** The token of a worker's own directory, for its /health. */
  workerToken(name: string): string {
    return readFileSync(path.join(this.dir, name, 'token'), 'utf8').trim();
  }

  /** What the last command of a session wrote. */
  async lastOutput(sessionId: string): Promise<string> {
    const path_ = `/api/v1/sessions/${sessionId}/items?order=desc`;
    type Items = { data: { item: { type: string; aggregated_output?: string } }[] };
    const { body } = await this.client.request<Items>('GET', path_);
    const command = body.data.find(({ item }) => item.type === 'command_execution');
    return command?.item.aggregated_output ?? assert.fail(`${sessionId} ran no command`);
  }

  /** Also one that was removed, as a StatefulSet does: of the same name, with emptied directories. */
  async startWorker(name: string): Promise<void> {
    await this.containers.get(name)?.remove();
    const port = this.#workerPorts.get(name) ?? (await freePort());
    this.#workerPorts.set(name, port);
    const dataDir = path.join(this.dir, name);
    removeDir(dataDir);
    const { images, profile, workerEnv, workerMemory } = this.#setup;
    await this.#run(name, {
      image: images.worker,
      args: ['worker'],
      dataDir: await ownedDir(dataDir),
      profile,
      ...(workerMemory === undefined ? {} : { memory: workerMemory }),
      env: {
        ...this.#environment(),
        WORKER_ID: name,
        CODEX_FLEET_WORKER_PORT: String(port),
        CODEX_FLEET_CLUSTER_STORES_URL: `http://127.0.0.1:${this.#ports.store}`,
        ...workerEnv,
      },
    });
    await this.#answers(name, `${this.workerUrl(name)}/readyz`);
  }

  async remove(): Promise<void> {
    await Promise.all([...this.containers.values()].map((one) => one.remove()));
    removeDir(this.dir);
  }

  async #start(): Promise<void> {
    const { images, profile } = this.#setup;
    const { gateway, manager, redis, control } = this.#ports;
    const shared = await ownedDir(path.join(this.dir, 'shared'));
    const { otherToken } = this.#setup;
    if (otherToken !== undefined) {
      const entry = `[[tokens]]\nname = "other"\ntenant = "other"\ntoken = "${otherToken}"\n`;
      writeFileSync(path.join(shared, 'config.toml'), entry, { mode: 0o644 });
    }
    const words = ['--port', String(redis), '--bind', '127.0.0.1', '--requirepass', this.#secret, '--dir', '/data'];
    await this.#run('redis', {
      image: images.redis,
      args: [...words, '--save', '', '--maxmemory-policy', 'noeviction'],
      profile,
    });
    const env = this.#environment();
    const fleet = { image: images.fleet, profile, env };
    await this.#run('model-proxy', { ...fleet, args: ['model-proxy', '--model-provider', 'demo'] });
    await this.#answers('model-proxy', `http://127.0.0.1:${control}/livez`);
    await this.#run('session-manager', { ...fleet, args: ['session-manager'], dataDir: shared });
    await this.#answers('session-manager', `http://127.0.0.1:${manager}/readyz`);
    await this.#run('gateway', { ...fleet, args: ['gateway'], dataDir: shared });
    const names = Array.from({ length: this.#setup.workers }, (_, index) => `worker-${index + 1}`);
    await Promise.all(names.map((name) => this.startWorker(name)));
    await this.#answers('gateway', `http://127.0.0.1:${gateway}/readyz`);
  }

  async #run(
    role: string,
    options: Omit<ContainerOptions, 'dataDir' | 'name'> & { readonly dataDir?: string },
  ): Promise<void> {
    const dataDir = options.dataDir ?? (await ownedDir(path.join(this.dir, role)));
    this.containers.set(role, await Container.start({ ...options, dataDir, name: `${this.#mark}-${role}` }));
  }

  async #answers(role: string, url: string): Promise<void> {
    await eventually(`${role} answers at ${url}`, readyMs, async () => {
      const answer = await fetch(url).catch(() => null);
      await answer?.body?.cancel();
      if (answer?.ok === true) return true;
      if (!(await this.container(role).isRunning())) throw new Error(`${role} has ended`);
      return false;
    });
  }

  #environment(): Record<string, string> {
    const { control, gateway, manager, proxy, redis, store } = this.#ports;
    return {
      CODEX_FLEET_CLUSTER_SECRET: this.#secret,
      CODEX_FLEET_CLUSTER_LEASE_MS: '4000',
      CODEX_FLEET_CLUSTER_HEARTBEAT_MS: '400',
      CODEX_FLEET_SERVER_DRAIN_TIMEOUT_MS: '8000',
      CODEX_FLEET_REDIS_URL: `redis://:${this.#secret}@127.0.0.1:${redis}`,
      CODEX_FLEET_MODEL_PROXY_URL: `http://127.0.0.1:${proxy}`,
      CODEX_FLEET_MODEL_PROXY_CONTROL_URL: `http://127.0.0.1:${control}`,
      CODEX_FLEET_MODEL_PROXY_PORT: String(proxy),
      CODEX_FLEET_MODEL_PROXY_CONTROL_PORT: String(control),
      CODEX_FLEET_MANAGER_PORT: String(manager),
      CODEX_FLEET_MANAGER_STORE_PORT: String(store),
      CODEX_FLEET_PORT: String(gateway),
      // The images listen on every address; here the containers share the machine's, and keep to its loopback.
      CODEX_FLEET_HOST: '127.0.0.1',
      CODEX_FLEET_WORKER_HOST: '127.0.0.1',
      CODEX_FLEET_MANAGER_HOST: '127.0.0.1',
      CODEX_FLEET_MODEL_PROXY_HOST: '127.0.0.1',
    };
  }
}
