// The ways between the members of a cluster, each through a proxy that can spoil it at any moment: for the
// connections that are open and for those to come, for all who use it or for one role.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { FaultProxy, type ConnectionPlan } from '../../src/testing/faults/fault-proxy.ts';

/**
 * latency, drip: what passes is slow. reset: every connection is, now and as soon as it says anything.
 * black_hole: nothing passes, and what was sent comes late. stale: what is open is silent for good, new
 * connections pass. half_open: who asks is cut off, who answers is not told. refused: nobody is let in.
 */
export const linkFaults = ['latency', 'drip', 'reset', 'black_hole', 'stale', 'half_open', 'refused'] as const;
export type LinkFault = (typeof linkFaults)[number];

const latencyMs = 150;
const drip = { bytes: 48, pauseMs: 2 } as const;
const resetAtOnce = { direction: 'up', afterBytes: 0, how: 'rst' } as const;

export type Address = { readonly host: string; readonly port: number };

export class FaultyLink {
  #proxy!: FaultProxy;
  #fault: LinkFault | null = null;
  #isMeant: (client: string) => boolean = () => true;
  #hold = Promise.withResolvers<void>();
  readonly #clients = new WeakMap<ConnectionPlan, string>();
  readonly #whoIs: (clientPort: number) => string;

  private constructor(whoIs: (clientPort: number) => string) {
    this.#whoIs = whoIs;
  }

  /** `whoIs`: which member has a connection of that port. */
  static async start(target: () => Address, whoIs: (clientPort: number) => string = () => ''): Promise<FaultyLink> {
    const link = new FaultyLink(whoIs);
    link.#proxy = await FaultProxy.start({ target, plan: (_, clientPort) => link.#planFor(clientPort) });
    return link;
  }

  get url(): string {
    return this.#proxy.url;
  }

  /** Connections so far. */
  get connections(): number {
    return this.#proxy.counts.connections;
  }

  spoil(fault: LinkFault, isMeant: (client: string) => boolean = () => true): void {
    this.#isMeant = isMeant;
    this.#hold = Promise.withResolvers();
    this.#fault = fault;
    const meant = (plan: ConnectionPlan): boolean => isMeant(this.#clients.get(plan) ?? '');
    if (fault === 'reset' || fault === 'refused') this.#proxy.cutAll('rst', meant);
    if (fault === 'refused') this.#proxy.refuse();
    if (fault === 'stale') this.#proxy.cutAll('black_hole', meant);
    if (fault === 'half_open') this.#proxy.cutAll('half_open', meant);
  }

  async mend(): Promise<void> {
    const was = this.#fault;
    this.#fault = null;
    this.#hold.resolve();
    this.#proxy.endCuts();
    if (was === 'refused') await this.#proxy.listenAgain();
  }

  async close(): Promise<void> {
    this.#hold.resolve();
    await this.#proxy.close();
  }

  #planFor(clientPort: number): ConnectionPlan {
    const client = this.#whoIs(clientPort);
    const now = (): LinkFault | null => (this.#isMeant(client) ? this.#fault : null);
    const hold = (): Promise<void> => this.#hold.promise;
    const plan: ConnectionPlan = {
      get latencyMs() {
        return now() === 'latency' ? latencyMs : undefined;
      },
      get drip() {
        return now() === 'drip' ? drip : undefined;
      },
      get hold() {
        return now() === 'black_hole' ? hold() : undefined;
      },
      get cut() {
        return now() === 'reset' ? resetAtOnce : undefined;
      },
    };
    this.#clients.set(plan, client);
    return plan;
  }
}

/** Which of these processes has the connection with that port at its end; undefined when it has gone again. */
export function ownerOfPort(port: number, pids: readonly number[]): number | undefined {
  const inode = inodeOf(port);
  return inode === null ? undefined : pids.find((pid) => hasSocket(pid, inode));
}

function inodeOf(port: number): string | null {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of readFileSync(table, 'latin1').split('\n').slice(1)) {
      const fields = line.trim().split(/\s+/);
      if (fields[1]?.endsWith(local) === true && fields[9] !== '0') return fields[9] ?? null;
    }
  }
  return null;
}

function hasSocket(pid: number, inode: string): boolean {
  const wanted = `socket:[${inode}]`;
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${fd}`) === wanted;
      } catch {
        return false;
      }
    });
  } catch {
    return false; // It has ended.
  }
}
