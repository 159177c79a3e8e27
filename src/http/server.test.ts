import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { createSilentLogger } from '../observability/logger.ts';
import { createMetrics } from '../observability/metrics.ts';
import { SystemClock } from '../observability/system-clock.ts';
import type { ListenAddress } from './listener.ts';
import { createHttpServer, type HttpLimits, type HttpServer } from './server.ts';

const onLoopback = { host: '127.0.0.1', port: 0 };

function serve(t: TestContext, listen: ListenAddress = onLoopback, limits: Partial<HttpLimits> = {}): HttpServer {
  const server = createHttpServer({
    clock: new SystemClock(),
    logger: createSilentLogger(),
    metrics: createMetrics(),
    listen,
    limits,
  });
  server.app.get('/thing/:id', () => ({ ok: true }));
  server.app.post('/thing/:id', () => ({ ok: true }));
  server.app.get('/broken', () => {
    throw new Error('the database password is hunter2');
  });
  t.after(() => server.stop());
  return server;
}

/** Everything that the server says to these bytes until it hangs up. */
function say(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1' });
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    socket.on('error', reject).on('close', () => resolve(text));
    socket.write(bytes);
  });
}

function problemIn(answer: string): Record<string, unknown> {
  return JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4)) as Record<string, unknown>;
}

test('bytes that are no request get a typed 400, too many headers a 431, half a request a 408', async (t) => {
  const { port } = await serve(t, onLoopback, { headersTimeoutMs: 100, requestTimeoutMs: 100 }).listen();
  const garbage = await say(port, 'nonsense\r\n\r\n');
  assert.match(garbage, /^HTTP\/1\.1 400 Bad Request\r\n/);
  assert.equal(problemIn(garbage)['code'], 'invalid_request');
  const huge = await say(port, `GET /thing/1 HTTP/1.1\r\nhost: x\r\nx-big: ${'a'.repeat(20_000)}\r\n\r\n`);
  assert.match(huge, /^HTTP\/1\.1 431 /);
  assert.equal(problemIn(huge)['code'], 'headers_too_large');
  const slow = await say(port, 'GET /thing/1 HTTP/1.1\r\nhost: x\r\n');
  assert.match(slow, /^HTTP\/1\.1 408 /);
  assert.equal(problemIn(slow)['code'], 'request_timeout');
});

test('a wrong method is told from a wrong path', async (t) => {
  const { url } = await serve(t).listen();
  const wrongMethod = await fetch(`${url}/thing/1?x=2`, { method: 'DELETE' });
  assert.deepEqual([wrongMethod.status, wrongMethod.headers.get('allow')], [405, 'GET, POST']);
  const wrongPath = await fetch(`${url}/thing/1/more`);
  assert.equal(wrongPath.status, 404);
});

test('what nobody foresaw is a 500 that tells nothing but the request id', async (t) => {
  const { url } = await serve(t).listen();
  const response = await fetch(`${url}/broken`, { headers: { 'x-request-id': 'mine-1' } });
  const text = await response.text();
  assert.equal(response.status, 500);
  assert.ok(!text.includes('hunter2'));
  const { code, request_id, instance } = JSON.parse(text) as Record<string, unknown>;
  assert.deepEqual([code, request_id, instance], ['internal', 'mine-1', '/broken']);
});

test('a request id that would do harm in a log is replaced', async (t) => {
  const { url } = await serve(t).listen();
  for (const id of ['a b', '<script>', 'x'.repeat(200), '{"a":1}']) {
    const response = await fetch(`${url}/thing/1`, { headers: { 'x-request-id': id } });
    assert.match(response.headers.get('x-request-id') ?? '', /^[0-9a-f-]{36}$/);
  }
});

test('every answer carries the headers that keep browsers out of trouble', async (t) => {
  const { url } = await serve(t).listen();
  for (const at of ['/thing/1', '/nothing', '/%zz']) {
    const { headers } = await fetch(url + at);
    assert.equal(headers.get('x-content-type-options'), 'nosniff', at);
    assert.equal(headers.get('cache-control'), 'no-store', at);
  }
});

test('an upgrade that nobody takes is a 404, and an offer of h2c is an ordinary request', async (t) => {
  const { port } = await serve(t).listen();
  const head = (upgrade: string): string =>
    `GET /thing/1 HTTP/1.1\r\nhost: x\r\nconnection: Upgrade, close\r\nupgrade: ${upgrade}\r\n\r\n`;
  assert.match(await say(port, head('websocket')), /^HTTP\/1\.1 404 /);
  assert.match(await say(port, head('h2c')), /^HTTP\/1\.1 200 /);
});

test('connections beyond the limit are told so', async (t) => {
  const { port, url } = await serve(t, onLoopback, { maxConnections: 2 }).listen();
  const idle = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')];
  t.after(() => idle.forEach((socket) => socket.destroy()));
  await Promise.all(idle.map((socket) => new Promise((resolve) => socket.once('connect', resolve))));
  const response = await fetch(`${url}/thing/1`);
  assert.deepEqual([response.status, response.headers.get('connection')], [503, 'close']);
  assert.equal(((await response.json()) as { code: string }).code, 'too_many_connections');
});

test("a unix socket is its owner's alone, and one that was left behind is taken over", async (t) => {
  const dir = await mkdtemp(path.join(tmpdir(), 'http-'));
  t.after(() => rm(dir, { recursive: true }));
  const socketPath = path.join(dir, 's');
  const first = serve(t, { path: socketPath });
  assert.deepEqual(await first.listen(), { url: `unix:${socketPath}`, port: 0 });
  assert.equal((await stat(socketPath)).mode & 0o777, 0o600);
  const status = await new Promise((resolve, reject) => {
    httpRequest({ socketPath, path: '/thing/1' }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on('error', reject)
      .end();
  });
  assert.equal(status, 200);
  await assert.rejects(serve(t, { path: socketPath }).listen(), { code: 'EADDRINUSE' });
  await writeFile(path.join(dir, 'file'), '');
  await assert.rejects(serve(t, { path: path.join(dir, 'file') }).listen(), { code: 'EADDRINUSE' });
});

test('who had asked in the moment when a drain began is answered, on a connection that was kept and on a new one', async (t) => {
  const server = serve(t);
  const { port } = await server.listen();
  const [kept, fresh] = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')];
  await Promise.all([once(kept, 'connect'), once(fresh, 'connect')]);
  const request = 'GET /thing/1 HTTP/1.1\r\nhost: localhost\r\n\r\n';
  kept.write(request);
  await once(kept, 'data');
  const answers = [kept, fresh].map((socket) => readToEnd(socket));
  for (const socket of [kept, fresh]) socket.write(request);
  const drained = server.drain(60_000);
  for (const answer of await Promise.all(answers)) {
    assert.match(answer, /^HTTP\/1\.1 200 /);
    assert.match(answer, /\r\nconnection: close\r\n/i);
  }
  await drained;
});

test('a drain can leave connections without a request open for a while: who asks then is answered, and told to go', async (t) => {
  const server = serve(t, onLoopback, { keepIdleMs: 60_000 });
  const { port } = await server.listen();
  const kept = connect(port, '127.0.0.1');
  const request = 'GET /thing/1 HTTP/1.1\r\nhost: localhost\r\n\r\n';
  kept.write(request);
  await once(kept, 'data');
  const drained = server.drain(60_000);
  await new Promise((resolve) => setTimeout(resolve, 250));
  kept.write(request);
  assert.match(await readToEnd(kept), /^HTTP\/1\.1 200 [\s\S]*\r\nconnection: close\r\n/i);
  await drained;
});

async function readToEnd(socket: Socket): Promise<string> {
  let text = '';
  for await (const chunk of socket) text += String(chunk);
  return text;
}
