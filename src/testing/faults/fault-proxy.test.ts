import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { test } from 'node:test';
import { FaultProxy, type ConnectionPlan } from './fault-proxy.ts';

/** Says back what it hears; tells how each connection ended. */
function echoServer(ends: string[]): Server {
  return createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', (error: NodeJS.ErrnoException) => ends.push(error.code ?? 'error'));
    socket.on('end', () => {
      ends.push('end');
      socket.end();
    });
    socket.on('data', (chunk: Buffer) => socket.write(chunk));
  });
}

type Heard = { readonly text: string; readonly end: 'end' | 'reset' | 'open' };

/** What a client hears that says `text`, until the end or until nothing came for a while. */
async function talk(proxy: FaultProxy, text: string): Promise<Heard> {
  const socket: Socket = connect(Number(new URL(proxy.url).port), '127.0.0.1');
  const heard: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => heard.push(chunk));
  const end = await new Promise<Heard['end']>((resolve) => {
    socket.setTimeout(150, () => resolve('open'));
    socket.once('end', () => resolve('end'));
    socket.once('error', () => resolve('reset'));
    socket.write(text);
  });
  socket.destroy();
  return { text: Buffer.concat(heard).toString(), end };
}

async function withPlan(
  plan: ConnectionPlan,
  run: (proxy: FaultProxy, ends: readonly string[]) => Promise<void>,
): Promise<void> {
  const ends: string[] = [];
  const echo = echoServer(ends).listen(0, '127.0.0.1');
  await once(echo, 'listening');
  const target = { host: '127.0.0.1', port: (echo.address() as AddressInfo).port };
  {
    await using proxy = await FaultProxy.start({ target: () => target, plan: () => plan });
    await run(proxy, ends);
  }
  // Nothing of the proxy's is left open: the server's close would wait for it.
  await new Promise<void>((resolve) => echo.close(() => resolve()));
}

test('without a plan everything passes, and is counted', async () => {
  await withPlan({}, async (proxy) => {
    assert.deepEqual(await talk(proxy, 'hello'), { text: 'hello', end: 'open' });
    assert.deepEqual(proxy.counts, {
      connections: 1,
      bytes: { up: 5, down: 5 },
      cuts: { fin: 0, rst: 0, black_hole: 0, half_open: 0 },
    });
  });
});

test('a cut lets exactly its bytes pass, in its direction', async () => {
  const heard: Heard[] = [];
  for (const how of ['fin', 'rst', 'black_hole', 'half_open'] as const) {
    await withPlan({ cut: { direction: 'down', afterBytes: 3, how } }, async (proxy) => {
      heard.push(await talk(proxy, 'hello'));
      assert.deepEqual([proxy.counts.bytes, proxy.counts.cuts[how]], [{ up: 5, down: 3 }, 1]);
    });
  }
  assert.deepEqual(
    // A reset may overtake what was sent before it.
    heard.map(({ text, end }) => (end === 'reset' ? 'reset' : `${text}, ${end}`)),
    ['hel, end', 'reset', 'hel, open', 'hel, end'],
  );
  await withPlan({ cut: { direction: 'up', afterBytes: 2, how: 'black_hole' } }, async (proxy) => {
    await talk(proxy, 'hello');
    assert.deepEqual(proxy.counts.bytes.up, 2);
  });
});

test('of a half-open connection the server is not told', async () => {
  await withPlan({ cut: { direction: 'down', afterBytes: 1, how: 'half_open' } }, async (proxy, ends) => {
    await talk(proxy, 'hello');
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual(ends, []);
  });
});

test('latency and drip delay what passes and change nothing of it', async () => {
  await withPlan({ latencyMs: 20, drip: { bytes: 1, pauseMs: 10 } }, async (proxy) => {
    const startedMs = performance.now();
    assert.equal((await talk(proxy, 'hello')).text, 'hello');
    assert.ok(performance.now() - startedMs >= 80);
  });
});

test('what is held comes late and whole, its end included', async () => {
  const { promise: hold, resolve: letGo } = Promise.withResolvers<void>();
  const ends: string[] = [];
  await withPlan({ hold }, async (proxy, heard) => {
    assert.deepEqual(await talk(proxy, 'hello'), { text: '', end: 'open' });
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual([heard, proxy.counts.bytes], [[], { up: 0, down: 0 }]);
    letGo();
    while (proxy.counts.bytes.up === 0 || heard.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    ends.push(...heard);
  });
  assert.equal(ends.length, 1);
});

test('connections that are open are cut together, and the ends that were not told are told later', async () => {
  await withPlan({}, async (proxy, ends) => {
    const socket = connect(Number(new URL(proxy.url).port), '127.0.0.1');
    await once(socket, 'connect');
    socket.write('hello');
    await once(socket, 'data');
    proxy.cutAll('half_open', () => false);
    assert.equal(proxy.counts.cuts.half_open, 0);
    proxy.cutAll('half_open');
    await once(socket, 'end');
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual([proxy.counts.cuts.half_open, ends], [1, []]);
    proxy.endCuts();
    while (ends.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.deepEqual(ends, ['ECONNRESET']);
    socket.destroy();
  });
});

test('while it refuses nobody connects, and then it is where it was', async () => {
  await withPlan({}, async (proxy) => {
    const before = proxy.url;
    proxy.refuse();
    assert.equal((await talk(proxy, 'hello')).end, 'reset');
    assert.equal(proxy.counts.connections, 0);
    await proxy.listenAgain();
    assert.equal(proxy.url, before);
    assert.equal((await talk(proxy, 'hello')).text, 'hello');
  });
});
