// A cluster whose members reach each other and Redis only through links that can be spoilt.

import type { TestContext } from 'node:test';
import { type Address, FaultyLink, type LinkFault, ownerOfPort } from './faulty-link.ts';
import { type ClusterSetup, RunningCluster } from './running-cluster.ts';

/** Who asks, and whom. */
export const pairs = [
  'gateway–worker',
  'session-manager–worker',
  'worker–model-proxy',
  'gateway–redis',
  'worker–redis',
  'session-manager–redis',
  'model-proxy–redis',
] as const;
export type Pair = (typeof pairs)[number];

export type Spoilt = { readonly members: readonly string[]; readonly mend: () => Promise<void> };

const size = { gateways: 2, workers: 2, managers: 2 } as const;
const nowhere: Address = { host: '127.0.0.1', port: 1 };

export class PartitionedCluster {
  readonly running: RunningCluster;
  readonly #links: ReadonlyMap<string, FaultyLink>;

  private constructor(running: RunningCluster, links: ReadonlyMap<string, FaultyLink>) {
    this.running = running;
    this.#links = links;
  }

  /** null where there is no Redis. Stopped with the test. */
  static async start(t: TestContext, setup: ClusterSetup): Promise<PartitionedCluster | null> {
    const links = new Map<string, FaultyLink>();
    let running: RunningCluster | null = null;
    const targets = new Map<string, Address>();
    const doorOf = (worker: string): Address =>
      addressOf(running?.cluster.members('worker').find(({ name }) => name === worker)?.url ?? null);
    const whoIs = (clientPort: number): string => {
      const members = running?.cluster.members() ?? [];
      const owner = ownerOfPort(
        clientPort,
        members.flatMap(({ pid }) => pid ?? []),
      );
      return members.find(({ pid }) => pid === owner && pid !== null)?.name ?? '';
    };
    for (const name of memberNames()) {
      links.set(`${name}–redis`, await FaultyLink.start(() => targets.get('redis') ?? nowhere));
      if (!name.startsWith('worker')) continue;
      links.set(`${name}–model`, await FaultyLink.start(() => targets.get('model') ?? nowhere));
      links.set(`${name}–grants`, await FaultyLink.start(() => targets.get('grants') ?? nowhere));
      links.set(`door of ${name}`, await FaultyLink.start(() => doorOf(name), whoIs));
    }
    const urlOf = (link: string): string => links.get(link)?.url ?? '';
    const memberEnv: ClusterSetup['memberEnv'] = (name, env) => {
      const redis = new URL(env['CODEX_FLEET_REDIS_URL'] ?? '');
      targets.set('redis', addressOf(redis.href));
      targets.set('model', addressOf(env['CODEX_FLEET_MODEL_PROXY_URL'] ?? null));
      targets.set('grants', addressOf(env['CODEX_FLEET_MODEL_PROXY_CONTROL_URL'] ?? null));
      redis.port = new URL(urlOf(`${name}–redis`)).port;
      const given = { ...env, CODEX_FLEET_REDIS_URL: redis.href };
      if (!name.startsWith('worker')) return given;
      return {
        ...given,
        CODEX_FLEET_MODEL_PROXY_URL: urlOf(`${name}–model`),
        CODEX_FLEET_MODEL_PROXY_CONTROL_URL: urlOf(`${name}–grants`),
        CODEX_FLEET_ADVERTISE_URL: urlOf(`door of ${name}`),
      };
    };
    const close = async (): Promise<void> => {
      for (const link of links.values()) await link.close();
    };
    try {
      running = await RunningCluster.start(t, { ...size, ...setup, memberEnv });
    } catch (error) {
      await close();
      throw error;
    }
    // Behind the cluster's own end, which needs them.
    t.after(close);
    return running === null ? null : new PartitionedCluster(running, links);
  }

  /** Spoils the ways of that kind: of one member, that `choose` picks, or of every one of them. */
  spoil(pair: Pair, fault: LinkFault, choose: (names: readonly string[]) => readonly string[]): Spoilt {
    const [asking = '', asked = ''] = pair.split('–');
    const isDoor = asked === 'worker';
    const names = memberNames().filter((name) => name.startsWith(isDoor ? 'worker' : asking));
    const members = choose(names);
    const ends = isDoor ? [] : asked === 'redis' ? ['redis'] : ['model', 'grants'];
    const spoilt = members.flatMap((name) =>
      (isDoor ? [`door of ${name}`] : ends.map((end) => `${name}–${end}`)).map((link) => this.#link(link)),
    );
    for (const link of spoilt) link.spoil(fault, (client) => !isDoor || client.startsWith(asking));
    return { members, mend: async () => void (await Promise.all(spoilt.map((link) => link.mend()))) };
  }

  /** How many connections each kind of way has had: a way that nobody uses proves nothing. */
  connections(pair: Pair): number {
    const [asking = '', asked = ''] = pair.split('–');
    let count = 0;
    for (const [name, link] of this.#links) {
      const isOfPair = asked === 'worker' ? name.startsWith('door') : name.startsWith(asking);
      if (isOfPair && (asked !== 'redis' || name.endsWith('redis'))) count += link.connections;
    }
    return count;
  }

  #link(name: string): FaultyLink {
    const link = this.#links.get(name);
    if (link === undefined) throw new Error(`there is no ${name}`);
    return link;
  }
}

function memberNames(): string[] {
  const many = (role: string, count: number): string[] =>
    Array.from({ length: count }, (_, index) => `${role}-${index + 1}`);
  return [
    ...many('gateway', size.gateways),
    ...many('worker', size.workers),
    ...many('session-manager', size.managers),
    ...many('model-proxy', 1),
  ];
}

function addressOf(url: string | null): Address {
  if (url === null) return nowhere;
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port) };
}
