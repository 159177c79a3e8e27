// Carries an agent's connections to the model proxy, as bytes. The one way out of a cage; ends with the agent.
// A proxy that is not there is waited for: Codex asks only three times, all within two seconds.

import { once } from 'node:events';
import net from 'node:net';
import type { Clock } from '../core/clock.ts';

export type ModelUpstream = { readonly socketPath: string } | { readonly host: string; readonly port: number };

const maxConnections = 64;
/** What a restart of the proxy may take, or its name's move to another. */
const defaultPatienceMs = 15_000;
const lookAgainMs = 100;

export class ModelDoor {
  readonly #server: net.Server;
  readonly #upstream: ModelUpstream;
  readonly #clock: Clock;
  readonly #patienceMs: number;
  readonly #sockets = new Set<net.Socket>();

  /** Takes over a listening server: one that came out of the cage, or one of our own. */
  constructor(server: net.Server, upstream: ModelUpstream, clock: Clock, patienceMs = defaultPatienceMs) {
    this.#server = server;
    this.#upstream = upstream;
    this.#clock = clock;
    this.#patienceMs = patienceMs;
    server.maxConnections = maxConnections;
    server.on('connection', (inside) => void this.#relay(inside));
    // A listener that fails later leaves the agent without a model, which its turn reports.
    server.on('error', () => this.close());
  }

  /** Where there is no cage with a network of its own: loopback, a port of the system's choice. */
  static async listen(
    upstream: ModelUpstream,
    clock: Clock,
    patienceMs?: number,
  ): Promise<{ door: ModelDoor; port: number }> {
    const server = net.createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    return { door: new ModelDoor(server, upstream, clock, patienceMs), port };
  }

  /** Cuts what runs. Closing twice is harmless. */
  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  async #relay(inside: net.Socket): Promise<void> {
    // Nobody has it piped yet: its errors are heard here.
    inside.on('error', () => inside.destroy());
    inside.on('close', () => this.#sockets.delete(inside));
    inside.setNoDelay(true);
    this.#sockets.add(inside);
    const outside = await this.#connect(inside);
    if (outside === null) {
      inside.destroy();
      return;
    }
    for (const [socket, peer] of [
      [inside, outside],
      [outside, inside],
    ] as const) {
      socket.on('error', () => peer.destroy());
      socket.on('close', () => peer.destroySoon());
      socket.pipe(peer);
    }
  }

  /** null when the proxy was not reached in time, or who asked for it is gone. */
  async #connect(inside: net.Socket): Promise<net.Socket | null> {
    const endMs = this.#clock.monotonicMs() + this.#patienceMs;
    for (;;) {
      const outside = await this.#tryConnect(endMs - this.#clock.monotonicMs());
      if (inside.destroyed) outside?.destroy();
      if (inside.destroyed || outside !== null) return inside.destroyed ? null : outside;
      if (this.#clock.monotonicMs() + lookAgainMs > endMs) return null;
      await new Promise<void>((resolve) => this.#clock.after(lookAgainMs, resolve));
    }
  }

  async #tryConnect(limitMs: number): Promise<net.Socket | null> {
    const upstream = this.#upstream;
    const socket = net.connect('socketPath' in upstream ? { path: upstream.socketPath } : { ...upstream });
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#sockets.delete(socket));
    const cancel = this.#clock.after(limitMs, () => socket.destroy());
    try {
      return await new Promise((resolve) => {
        socket.once('connect', () => resolve(socket));
        socket.once('close', () => resolve(null));
      });
    } finally {
      cancel();
    }
  }
}
