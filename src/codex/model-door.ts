// Carries an agent's connections to the model proxy, as bytes. The one way out of a cage; ends with the agent.

import { once } from 'node:events';
import net from 'node:net';

export type ModelUpstream = { readonly socketPath: string } | { readonly host: string; readonly port: number };

const maxConnections = 64;

export class ModelDoor {
  readonly #server: net.Server;
  readonly #upstream: ModelUpstream;
  readonly #sockets = new Set<net.Socket>();

  /** Takes over a listening server: one that came out of the cage, or one of our own. */
  constructor(server: net.Server, upstream: ModelUpstream) {
    this.#server = server;
    this.#upstream = upstream;
    server.maxConnections = maxConnections;
    server.on('connection', (inside) => this.#relay(inside));
    // A listener that fails later leaves the agent without a model, which its turn reports.
    server.on('error', () => this.close());
  }

  /** Where there is no cage with a network of its own: loopback, a port of the system's choice. */
  static async listen(upstream: ModelUpstream): Promise<{ door: ModelDoor; port: number }> {
    const server = net.createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    return { door: new ModelDoor(server, upstream), port };
  }

  /** Cuts what runs. Closing twice is harmless. */
  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  #relay(inside: net.Socket): void {
    const outside = net.connect(
      'socketPath' in this.#upstream ? { path: this.#upstream.socketPath } : { ...this.#upstream },
    );
    for (const [socket, peer] of [
      [inside, outside],
      [outside, inside],
    ] as const) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => peer.destroy());
      socket.on('close', () => {
        this.#sockets.delete(socket);
        peer.destroySoon();
      });
      socket.pipe(peer);
    }
  }
}
