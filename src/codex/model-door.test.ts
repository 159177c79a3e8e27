import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { SystemClock } from '../observability/system-clock.ts';
import { ModelDoor } from './model-door.ts';

const clock = new SystemClock();

async function withUpstream(run: (socketPath: string, upstream: net.Server) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(path.join(tmpdir(), 'model-door-'));
  const upstream = net.createServer((socket) => socket.on('error', () => {}).pipe(socket));
  const socketPath = path.join(dir, 'model.sock');
  upstream.listen(socketPath);
  await once(upstream, 'listening');
  try {
    await run(socketPath, upstream);
  } finally {
    upstream.close();
    await rm(dir, { recursive: true });
  }
}

async function dial(port: number): Promise<net.Socket> {
  const socket = net.connect(port, '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

test('bytes pass both ways, and closing cuts what runs and lets nobody in', async () => {
  await withUpstream(async (socketPath) => {
    const { door, port } = await ModelDoor.listen({ socketPath }, clock);
    const socket = await dial(port);
    socket.write('ping');
    assert.equal(String((await once(socket, 'data'))[0]), 'ping');
    const closed = once(socket, 'close');
    door.close();
    door.close();
    await closed;
    const refused = net.connect(port, '127.0.0.1');
    const [error] = (await once(refused, 'error')) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'ECONNREFUSED');
  });
});

test('an upstream that is not there closes the connection, and the door stays open for the next', async () => {
  await withUpstream(async (socketPath) => {
    const { door, port } = await ModelDoor.listen({ socketPath: `${socketPath}.missing` }, clock, 50);
    for (let attempt = 0; attempt < 2; attempt++) {
      const socket = await dial(port);
      await once(socket, 'close');
    }
    door.close();
  });
});

test('a connection waits while the upstream is started again', async () => {
  await withUpstream(async (socketPath, upstream) => {
    const { door, port } = await ModelDoor.listen({ socketPath }, clock);
    await new Promise((resolve) => upstream.close(resolve));
    const socket = await dial(port);
    socket.write('early');
    const answered = once(socket, 'data');
    await new Promise((resolve) => setTimeout(resolve, 300));
    upstream.listen(socketPath);
    assert.equal(String((await answered)[0]), 'early');
    door.close();
  });
});

test('connections beyond the cap are closed, those within it go on', async () => {
  await withUpstream(async (socketPath) => {
    const { door, port } = await ModelDoor.listen({ socketPath }, clock);
    const within = await Promise.all(Array.from({ length: 64 }, () => dial(port)));
    for (const socket of within) {
      socket.write('x');
      await once(socket, 'data');
    }
    const beyond = await dial(port);
    await once(beyond, 'close');
    const first = within[0];
    assert.ok(first !== undefined);
    first.write('still');
    assert.equal(String((await once(first, 'data'))[0]), 'still');
    door.close();
    for (const socket of within) socket.destroy();
  });
});
