// Where a server listens: a TCP address or a unix socket that its owner alone may open.

import { once } from 'node:events';
import { chmod, lstat, unlink } from 'node:fs/promises';
import type { Server } from 'node:http';
import { connect } from 'node:net';

export type ListenAddress = { readonly host: string; readonly port: number } | { readonly path: string };

export type Listening = {
  /** http://host:port, or unix:/path. */
  readonly url: string;
  /** 0 for a unix socket. */
  readonly port: number;
};

export async function listenOn(server: Server, address: ListenAddress): Promise<Listening> {
  if ('path' in address) {
    await removeDeadSocket(address.path);
    await listenOnce(server, { path: address.path });
    await chmod(address.path, 0o600);
    return { url: `unix:${address.path}`, port: 0 };
  }
  await listenOnce(server, { host: address.host, port: address.port });
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : address.port;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return { url: `http://${host}:${port}`, port };
}

export function isLoopbackHost(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '').toLowerCase();
  return bare === 'localhost' || bare.endsWith('.localhost') || bare === '::1' || /^127(\.\d{1,3}){3}$/.test(bare);
}

async function listenOnce(server: Server, options: { host: string; port: number } | { path: string }): Promise<void> {
  // `once` rejects when the server emits an error first: a taken port, a missing folder.
  const listening = once(server, 'listening');
  server.listen(options);
  await listening;
}

/** A socket file outlives a killed owner. One that answers is somebody's and is left alone. */
async function removeDeadSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(() => null);
  if (found === null || !found.isSocket()) return;
  if (!(await answers(path))) await unlink(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
