import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type Socket } from 'node:net';
import { test } from 'node:test';
import { WebSocket, type ClientOptions } from 'ws';
import type { ErrorCode } from '../../src/core/errors.ts';
import { eventually, within } from '../e2e/eventually.ts';
import { readProcFile } from '../e2e/processes.ts';
import { useFleet } from '../e2e/use-fleet.ts';
import type { Frame } from '../e2e/ws-client.ts';
import { assertRefusal } from './problem-checks.ts';
import { ask, openSocket, portOf, requestBytes } from './raw-client.ts';

const heartbeatMs = 1_000;
const fleet = useFleet({ env: { CODEX_FLEET_SERVER_HEARTBEAT_MS: String(heartbeatMs) } });

const handshake = [
  'connection: upgrade',
  'upgrade: websocket',
  'sec-websocket-version: 13',
  'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
];
const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, reserved: 3 } as const;

async function open(options: ClientOptions = {}): Promise<WebSocket> {
  const { url, token } = fleet().client;
  const headers = { authorization: `Bearer ${token}` };
  const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/ws`, { headers, ...options });
  socket.on('error', () => {});
  await within('the WebSocket opens', 5_000, once(socket, 'open'));
  return socket;
}

/** A WebSocket of which we write every byte ourselves. */
async function openRaw(): Promise<Socket> {
  const { url, token } = fleet().client;
  const socket = await openSocket(portOf(url));
  socket.write(
    requestBytes('GET /ws HTTP/1.1', [`host: ${new URL(url).host}`, `authorization: Bearer ${token}`, ...handshake]),
  );
  const [answer] = (await within('the upgrade', 5_000, once(socket, 'data'))) as [Buffer];
  assert.match(answer.toString('latin1'), /^HTTP\/1\.1 101 /);
  return socket;
}

function frameBytes(opcode: number, payload: Buffer, isFinal = true, isMasked = true): Buffer {
  const first = (isFinal ? 0x80 : 0) | opcode;
  const maskBit = isMasked ? 0x80 : 0;
  const mask = isMasked ? randomBytes(4) : Buffer.alloc(0);
  const head =
    payload.length < 126
      ? Buffer.from([first, maskBit | payload.length])
      : Buffer.from([first, maskBit | 126, payload.length >> 8, payload.length & 0xff]);
  const masked = isMasked ? Buffer.from(payload.map((byte, index) => byte ^ (mask[index % 4] ?? 0))) : payload;
  return Buffer.concat([head, mask, masked]);
}

/** The code with which the server closed. */
async function closeCode(socket: Socket): Promise<number> {
  let received = Buffer.alloc(0);
  socket.resume().on('data', (piece: Buffer) => {
    received = Buffer.concat([received, piece]);
  });
  await eventually('a close frame', 10_000, () => received.length >= 4 || socket.destroyed);
  assert.equal(received[0], 0x80 | opcodes.close);
  socket.destroy();
  return received.readUInt16BE(2);
}

async function answerTo(socket: WebSocket, data: string | Buffer): Promise<Frame> {
  const answered = once(socket, 'message') as Promise<[Buffer]>;
  socket.send(data);
  const [message] = await within('an answer to a frame', 5_000, answered);
  return JSON.parse(message.toString('utf8')) as Frame;
}

function residentKiB(): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readProcFile(fleet().pid, 'status'))?.[1]);
}

async function assertHealthy(): Promise<void> {
  assert.equal((await fleet().client.completed('say: unharmed')).stdout, 'unharmed');
}

test('frames that make no sense get a typed error, and the socket goes on [hostile-typed]', async () => {
  const socket = await open();
  const cases: readonly (readonly [string | Buffer, ErrorCode])[] = [
    [Buffer.from('{"prompt":"x"}'), 'invalid_json'],
    [Buffer.alloc(500_000), 'invalid_json'],
    ['', 'invalid_json'],
    ['\ufeff{"prompt":"x"}', 'invalid_json'],
    ['null', 'invalid_json'],
    ['{"prompt":"x"} trailing', 'invalid_json'],
    ['{"prompt":"x","prompt":"y"}', 'invalid_json'],
    ['{"prompt":"x","__proto__":{}}', 'invalid_json'],
    [`{"prompt":${'['.repeat(100_000)}`, 'invalid_json'],
    [`{"prompt":[${'0,'.repeat(100_000)}0]}`, 'invalid_json'],
    ['{"prompt":"\\ud800"}', 'invalid_request'],
    ['{"prompt":"x","timeout_ms":1e309}', 'invalid_request'],
    ['{"prompt":"x","wait_ms":5}', 'invalid_request'],
    ['{"type":"__proto__"}', 'invalid_request'],
    ['{"type":"toString"}', 'invalid_request'],
    ['{"type":"cancel","session_id":"x","turn_id":"y"}', 'invalid_request'],
    ['{"type":"cancel","session_id":"none","turn_id":"00000000-0000-7000-8000-000000000000"}', 'session_not_found'],
    ['{"type":"subscribe","session_id":"../x"}', 'invalid_request'],
    ['{"type":"subscribe","session_id":"x","after":"1.1"}', 'session_not_found'],
    [`{"type":"ping","ref":"${'r'.repeat(129)}"}`, 'invalid_request'],
    [
      JSON.stringify({ prompt: 'x', ...Object.fromEntries(Array.from({ length: 9000 }, (_, n) => [`promp${n}`, 0])) }),
      'invalid_request',
    ],
  ];
  for (const [data, code] of cases) {
    const answer = await answerTo(socket, data);
    assert.deepEqual([answer.type, answer['code']], ['error', code], data.toString().slice(0, 80));
    assert.ok(JSON.stringify(answer).length < 8_192);
  }
  assert.equal((await answerTo(socket, '{"type":"ping"}')).type, 'pong');
  socket.close();
});

test('frames that break the protocol close their socket with the code that says so, and no other [hostile-healthy]', async () => {
  const bystander = await open();
  const text = Buffer.from('{"type":"ping"}');
  const cases: readonly (readonly [string, number, readonly Buffer[]])[] = [
    ['an unmasked frame', 1002, [frameBytes(opcodes.text, text, true, false)]],
    ['a reserved opcode', 1002, [frameBytes(opcodes.reserved, text)]],
    ['a reserved bit', 1002, [frameBytes(opcodes.text | 0x40, text)]],
    ['a continuation of nothing', 1002, [frameBytes(opcodes.continuation, text)]],
    ['a text within a text', 1002, [frameBytes(opcodes.text, text, false), frameBytes(opcodes.text, text)]],
    ['a ping in pieces', 1002, [frameBytes(opcodes.ping, text, false)]],
    ['a long ping', 1002, [frameBytes(opcodes.ping, Buffer.alloc(200))]],
    ['a text that is no UTF-8', 1007, [frameBytes(opcodes.text, Buffer.from([0xff, 0xfe]))]],
    ['20 MB announced', 1009, [Buffer.from([0x81, 0xff, 0, 0, 0, 0, 1, 0x40, 0, 0, 1, 2, 3, 4])]],
    [
      'more than there is',
      1009,
      [Buffer.from([0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4])],
    ],
  ];
  for (const [what, code, frames] of cases) {
    const socket = await openRaw();
    const closed = closeCode(socket);
    socket.write(Buffer.concat(frames));
    assert.equal(await closed, code, what);
  }
  const large = await open();
  const closed = within('a frame of 20 MB closes its socket', 10_000, once(large, 'close'));
  large.send(Buffer.alloc(20_000_000, 0x20));
  assert.equal(((await closed) as [number])[0], 1009);
  assert.equal((await answerTo(bystander, '{"type":"ping"}')).type, 'pong');
  bystander.close();
});

test('a message in 100,000 fragments of one byte closes its socket long before it is whole [hostile-healthy]', async () => {
  const before = residentKiB();
  const sockets = await Promise.all(Array.from({ length: 5 }, openRaw));
  const piece = Buffer.from('a');
  const fragments = Buffer.concat([
    frameBytes(opcodes.text, piece, false),
    ...Array.from({ length: 99_999 }, () => frameBytes(opcodes.continuation, piece, false)),
  ]);
  for (const socket of sockets) {
    const closed = closeCode(socket);
    socket.write(fragments);
    assert.equal(await closed, 1008);
  }
  assert.ok(residentKiB() - before < 150_000, `it grew by ${residentKiB() - before} KiB`);
  await assertHealthy();
});

test('clients that ping without end and never read do not make pongs pile up [hostile-healthy]', async () => {
  const before = residentKiB();
  const sockets = await Promise.all(Array.from({ length: 10 }, openRaw));
  const ping = frameBytes(opcodes.ping, Buffer.alloc(125, 0x61));
  const flood = Buffer.concat(Array.from({ length: 80_000 }, () => ping));
  for (const socket of sockets) {
    socket.pause();
    socket.write(flood);
  }
  await eventually('the pings are read', 20_000, () =>
    sockets.every((socket) => socket.destroyed || socket.writableLength === 0),
  );
  // 10 × 10 MB of pongs would be 100 MB and more.
  assert.ok(residentKiB() - before < 80_000, `it grew by ${residentKiB() - before} KiB`);
  await assertHealthy();
  for (const socket of sockets) socket.destroy();
});

test('a client that answers two pings in a row with nothing is let go, and one that answers stays', async () => {
  const lost = await open({ autoPong: false });
  const alive = await open();
  const startedMs = performance.now();
  const [code] = (await within('the lost one is let go', 10 * heartbeatMs, once(lost, 'close'))) as [number];
  assert.equal(code, 1006);
  assert.ok(performance.now() - startedMs > 2 * heartbeatMs);
  assert.equal((await answerTo(alive, '{"type":"ping"}')).type, 'pong');
  alive.close();
});

test('10,000 frames at once are answered one by one, in order', async () => {
  const socket = await open();
  const refs: unknown[] = [];
  socket.on('message', (data: Buffer) => refs.push((JSON.parse(data.toString('utf8')) as Frame).ref));
  for (let index = 0; index < 10_000; index += 1) {
    socket.send(
      JSON.stringify(index % 2 === 0 ? { type: 'ping', ref: String(index) } : { prompt: 7, ref: String(index) }),
    );
  }
  await eventually('all answers', 30_000, () => refs.length === 10_000);
  assert.deepEqual(
    refs,
    Array.from({ length: 10_000 }, (_, index) => String(index)),
  );
  socket.close();
});

test('upgrades of foreign pages, by other names, without a credential or in a wrong form are refused in words [hostile-typed]', async () => {
  const { url, token } = fleet().client;
  const port = portOf(url);
  const host = `host: 127.0.0.1:${port}`;
  const bearer = `authorization: Bearer ${token}`;
  const cases: readonly (readonly [ErrorCode, readonly string[]])[] = [
    ['forbidden', [host, bearer, 'origin: https://evil.example']],
    ['forbidden', [host, bearer, 'origin: null']],
    ['forbidden', [host, bearer, `origin: http://127.0.0.1:${port + 1}`]],
    ['forbidden', ['host: rebound.example', bearer]],
    ['forbidden', [`host: rebound.example:${port}`, bearer, `origin: http://rebound.example:${port}`]],
    ['invalid_request', [host, 'host: rebound.example', bearer]],
    ['unauthenticated', [host]],
    ['unauthenticated', [host, 'sec-websocket-protocol: codex-fleet, bearer.wrong']],
    ['unauthenticated', [host, 'sec-websocket-protocol: codex-fleet, ticket.wrong']],
    ['unauthenticated', [host, `sec-websocket-protocol: bearer.${token}`]],
    ['invalid_request', [host, bearer, 'sec-websocket-protocol: a,,b']],
  ];
  for (const [code, headers] of cases) {
    const answer = await ask(port, requestBytes('GET /ws HTTP/1.1', [...headers, ...handshake]));
    assertRefusal(answer, code);
    assert.ok(!answer.body.includes(token));
  }
  const { body } = await fleet().client.request<{ ticket: string }>('POST', '/api/v1/tickets');
  const protocols = ['codex-fleet', `ticket.${body.ticket}`];
  const first = new WebSocket(`${url.replace(/^http/, 'ws')}/ws`, protocols);
  await within('a ticket opens a socket', 5_000, once(first, 'open'));
  assert.equal(first.protocol, 'codex-fleet');
  first.terminate();
  const again = await ask(
    port,
    requestBytes('GET /ws HTTP/1.1', [host, `sec-websocket-protocol: ${protocols.join(', ')}`, ...handshake]),
  );
  assertRefusal(again, 'unauthenticated');
});
