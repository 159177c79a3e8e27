import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { eventually, within } from '../e2e/eventually.ts';
import { readProcFile } from '../e2e/processes.ts';
import { useFleet } from '../e2e/use-fleet.ts';
import { assertRefusal } from './problem-checks.ts';
import { ask, openSocket, parseAnswer, portOf, requestBytes } from './raw-client.ts';

const headersTimeoutMs = 2_000;
const requestTimeoutMs = 4_000;
const maxConnections = 1_000;
const fleet = useFleet({
  env: {
    CODEX_FLEET_SERVER_HEADERS_TIMEOUT_MS: String(headersTimeoutMs),
    CODEX_FLEET_SERVER_REQUEST_TIMEOUT_MS: String(requestTimeoutMs),
    CODEX_FLEET_SERVER_KEEP_ALIVE_TIMEOUT_MS: '1000',
    CODEX_FLEET_SERVER_MAX_CONNECTIONS: String(maxConnections),
  },
});

/** Node looks for late requests every so often, and a busy machine is late itself. */
const sweepSlackMs = 6_000;
const slowClients = 250;

function head(length: number): Buffer {
  const { url, token } = fleet().client;
  return requestBytes('POST /api/v1/exec HTTP/1.1', [
    `host: ${new URL(url).host}`,
    `authorization: Bearer ${token}`,
    'content-type: application/json',
    `content-length: ${length}`,
  ]);
}

/** Sends the piece again and again, until the other side has had enough; what that side said. */
async function dribble(socket: Socket, piece: string, everyMs: number): Promise<string> {
  let said = '';
  socket.setEncoding('latin1').on('data', (text: string) => (said += text));
  const timer = setInterval(() => socket.write(piece), everyMs);
  await new Promise((resolve) => socket.once('close', resolve));
  clearInterval(timer);
  return said;
}

async function connectionsNow(): Promise<number> {
  const { body } = await fleet().client.request<{ connections: number }>('GET', '/health');
  return body.connections;
}

function residentKiB(): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readProcFile(fleet().pid, 'status'))?.[1]);
}

test('500 clients that send their headers or bodies a byte at a time are let go with a 408, and others do not wait for them [hostile-typed] [hostile-healthy]', async () => {
  const port = portOf(fleet().client.url);
  const sockets = await Promise.all(Array.from({ length: 2 * slowClients }, () => openSocket(port)));
  const startedMs = performance.now();
  const ends = sockets.map((socket, index) => {
    if (index % 2 === 0) {
      socket.write('GET /health HTTP/1.1\r\nx-slow: ');
      return dribble(socket, 'a', 250);
    }
    socket.write(head(1_000_000));
    return dribble(socket, ' ', 250);
  });

  assert.ok((await connectionsNow()) > 2 * slowClients);
  const meanwhile = await fleet().client.exec({ prompt: 'say: no queue here' });
  assert.equal(meanwhile.body.stdout, 'no queue here');
  const elsewhere = await fleet().client.request('GET', '/api/v1/sessions/none');
  assert.equal(elsewhere.status, 404);

  const said = await within('the slow are let go', requestTimeoutMs + sweepSlackMs, Promise.all(ends));
  assert.ok(performance.now() - startedMs >= headersTimeoutMs - 100);
  for (const text of said) {
    const answer = parseAnswer(text);
    assert.ok(answer !== null, `a whole answer: ${text.slice(0, 200)}`);
    assertRefusal({ ...answer, headers: answer.headers }, 'request_timeout');
  }
  await eventually('their connections are gone', sweepSlackMs, async () => (await connectionsNow()) < 20);
});

test('connections that say nothing at all are closed, and one that is kept alive for as long as is set', async () => {
  const port = portOf(fleet().client.url);
  const silent = await Promise.all(Array.from({ length: 100 }, () => openSocket(port)));
  const closed = silent.map((socket) => new Promise((resolve) => socket.resume().once('close', resolve)));
  const kept = await openSocket(port);
  const keptClosed = new Promise((resolve) => kept.resume().once('close', resolve));
  kept.write(requestBytes('GET /livez HTTP/1.1', [`host: 127.0.0.1:${port}`]));
  await within('the kept one is closed', 1_000 + sweepSlackMs, keptClosed);
  await within('the silent are closed', headersTimeoutMs + sweepSlackMs, Promise.all(closed));
});

test('a body of 100,000 chunks of one byte is read, and costs no more than it is worth [hostile-healthy]', async () => {
  const { url, token } = fleet().client;
  const body = `{"prompt":"say: whole\\n${'\\n'.repeat(50_000)}","wait_ms":0}`;
  const bytes = requestBytes(
    'POST /api/v1/exec HTTP/1.1',
    [
      `host: ${new URL(url).host}`,
      `authorization: Bearer ${token}`,
      'content-type: application/json',
      'transfer-encoding: chunked',
    ],
    `${body
      .split('')
      .map((character) => `1\r\n${character}\r\n`)
      .join('')}0\r\n\r\n`,
  );
  const before = residentKiB();
  const answers = await Promise.all(Array.from({ length: 5 }, () => ask(portOf(url), bytes)));
  assert.deepEqual(
    answers.map(({ status }) => status),
    [202, 202, 202, 202, 202],
  );
  assert.ok(residentKiB() - before < 200_000, `it grew by ${residentKiB() - before} KiB`);
});

test('clients that ask for much and read nothing hold no more than their share, and a client that left is not waited for', async () => {
  const { client } = fleet();
  const port = portOf(client.url);
  const long = await client.exec({ prompt: `say: ok\n\nsay: ${'x'.repeat(500_000)}` });
  const path = `/api/v1/sessions/${long.body.session_id}/turns`;
  const bytes = requestBytes(`GET ${path} HTTP/1.1`, [
    `host: 127.0.0.1:${port}`,
    `authorization: Bearer ${client.token}`,
  ]);
  const before = residentKiB();
  const sockets = await Promise.all(Array.from({ length: 50 }, () => openSocket(port, true)));
  // Pipelined: each connection asks a hundred times.
  for (const socket of sockets) socket.write(Buffer.concat(Array.from({ length: 100 }, () => bytes)));
  for (let tries = 0; tries < 20; tries += 1) assert.equal((await client.request('GET', path)).status, 200);
  // 50 connections × 1 MiB of answer, a few times over for strings and buffers; not 50 × 100.
  assert.ok(residentKiB() - before < 600_000, `it grew by ${residentKiB() - before} KiB`);
  for (const socket of sockets) socket.destroy();
  await eventually('their connections are gone', sweepSlackMs, async () => (await connectionsNow()) < 20);
});

test('beyond the limit a connection is refused in words and at once; those before it and probes go on [hostile-typed]', async () => {
  const { client } = fleet();
  const port = portOf(client.url);
  const auth = [`host: 127.0.0.1:${port}`, `authorization: Bearer ${client.token}`];
  const early = await openSocket(port);
  let earlySaid = '';
  early.setEncoding('latin1').on('data', (text: string) => (earlySaid += text));
  const sockets = await Promise.all(Array.from({ length: maxConnections }, () => openSocket(port)));
  try {
    const refused = await ask(port, requestBytes('GET /api/v1/sessions HTTP/1.1', auth));
    assertRefusal(refused, 'too_many_connections');
    assert.equal(refused.headers.get('connection'), 'close');
    const upgrade = [
      'connection: upgrade',
      'upgrade: websocket',
      'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
      'sec-websocket-version: 13',
    ];
    assertRefusal(await ask(port, requestBytes('GET /ws HTTP/1.1', [...auth, ...upgrade])), 'too_many_connections');
    assert.equal(
      (await ask(port, requestBytes('GET /livez HTTP/1.1', [`host: 127.0.0.1:${port}`]))).headers.get('content-type'),
      'application/json; charset=utf-8',
    );
    early.write(requestBytes('GET /api/v1/sessions HTTP/1.1', auth));
    await eventually('the early one is answered', 5_000, () => parseAnswer(earlySaid)?.status === 200);
    const silent = await openSocket(port);
    let silentSaid = '';
    silent.setEncoding('latin1').on('data', (text: string) => (silentSaid += text));
    await within('a silent one is told', sweepSlackMs, new Promise((resolve) => silent.once('close', resolve)));
    const told = parseAnswer(silentSaid);
    assert.ok(told !== null);
    assertRefusal(told, 'too_many_connections');
  } finally {
    for (const socket of [early, ...sockets]) socket.destroy();
  }
  await eventually(
    'there is room again',
    sweepSlackMs,
    async () => (await client.request('GET', '/api/v1/sessions')).status === 200,
  );
});

test('garbage behind a request is answered behind its answer, and a half of a request that is given up harms nobody [hostile-typed]', async () => {
  const { client } = fleet();
  const port = portOf(client.url);
  const socket = await openSocket(port);
  let said = '';
  socket.setEncoding('latin1').on('data', (text: string) => (said += text));
  const exec = requestBytes(
    'POST /api/v1/exec HTTP/1.1',
    [`host: 127.0.0.1:${port}`, `authorization: Bearer ${client.token}`, 'content-type: application/json'],
    '{"prompt":"say: in order"}',
  );
  socket.write(Buffer.concat([exec, Buffer.from('GARBAGE\r\n\r\n')]));
  await within('the end of it', 10_000, new Promise((resolve) => socket.once('close', resolve)));
  assert.deepEqual(said.match(/HTTP\/1\.1 \d{3}/g), ['HTTP/1.1 200', 'HTTP/1.1 400']);
  assert.match(said, /in order/);

  for (let tries = 0; tries < 100; tries += 1) {
    const quitter = await openSocket(port);
    quitter.write(head(5000).subarray(0, tries % 2 === 0 ? 40 : undefined));
    if (tries % 3 === 0) quitter.end();
    else quitter.resetAndDestroy();
  }
  await eventually(
    'their connections are gone',
    requestTimeoutMs + sweepSlackMs,
    async () => (await connectionsNow()) < 20,
  );
  assert.equal((await client.completed('say: fine')).stdout, 'fine');
});
