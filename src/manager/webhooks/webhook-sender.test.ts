import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { addressRanges } from '../../api/receiver-url.ts';
import { FakeClock } from '../../testing/fake-clock.ts';
import { FakeReceiver, type ReceiverAnswer } from '../../testing/fake-receiver.ts';
import { refusedReceiverUrls } from '../../testing/refused-receiver-urls.ts';
import { guardedAddresses, pinnedLookup, resolveHost } from './address-guard.ts';
import { type SendResult, WebhookSender, type WebhookSenderParts } from './webhook-sender.ts';

const never = new AbortController().signal;
const loopbackOnly = { allowHttp: true, allowPrivate: addressRanges(['127.0.0.0/8']) };
const nothingPrivate = { allowHttp: true, allowPrivate: [] };
const headers = { 'webhook-id': 'd1' };
const body = '{"data":{}}';
const nowherePublic = 'the host name leads to no public address';

function sender(clock: FakeClock, changes: Partial<WebhookSenderParts> = {}): WebhookSender {
  return new WebhookSender({ rules: loopbackOnly, timeoutMs: 15_000, userAgent: 'codex-fleet/0', clock, ...changes });
}

async function answered(answer: ReceiverAnswer, clock = new FakeClock()): Promise<SendResult> {
  const receiver = await FakeReceiver.open(() => answer);
  try {
    return await sender(clock).send({ url: receiver.url, headers, body }, never);
  } finally {
    await receiver.close();
  }
}

/** A port on all addresses of this host, and which of them anybody ever connected to. */
async function listener(): Promise<{ port: number; connections: () => string[]; close: () => Promise<void> }> {
  const connections: string[] = [];
  const server = createServer((socket) => {
    connections.push(String(socket.localAddress).replace('::ffff:', ''));
    socket.on('error', () => {});
    socket.resume();
    socket.end('HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n');
  });
  await new Promise<void>((resolve) => server.listen(0, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => connections,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

test('a success is a success, anything else says in our own words why not', async () => {
  const outcome = async (answer: ReceiverAnswer): Promise<unknown> => {
    const { error, httpStatus } = await answered(answer);
    return [httpStatus, error];
  };
  assert.deepEqual(await outcome(200), [200, null]);
  assert.deepEqual(await outcome(299), [299, null]);
  assert.deepEqual(await outcome(500), [500, 'the receiver refused it']);
  assert.deepEqual(await outcome(404), [404, 'the receiver refused it']);
  assert.deepEqual(await outcome('cut'), [null, 'the connection was cut']);
  assert.deepEqual(await outcome((response) => response.socket?.end('220 mail ESMTP\r\n')), [
    null,
    'the answer is not HTTP',
  ]);
  assert.deepEqual(await outcome((response) => response.socket?.end()), [null, 'the connection was cut']);
});

test('a redirect is followed nowhere', async () => {
  const elsewhere = await FakeReceiver.open();
  for (const status of [301, 302, 303, 307, 308]) {
    const result = await answered((response) => response.writeHead(status, { location: elsewhere.url }).end());
    assert.deepEqual([result.httpStatus, result.error], [status, 'redirects are not followed']);
  }
  assert.equal(elsewhere.connections, 0);
  await elsewhere.close();
});

test('nobody listening is a refused connection, and nothing is thrown', async () => {
  const receiver = await FakeReceiver.open();
  const { url } = receiver;
  await receiver.close();
  const result = await sender(new FakeClock()).send({ url, headers, body }, never);
  assert.deepEqual(result, { httpStatus: null, error: 'the connection was refused', retryAfterMs: null });
});

test('when to come back is taken from 429 and 503, as seconds or as a date, and is an hour at most', async () => {
  const clock = new FakeClock();
  const after = async (status: number, value: string): Promise<number | null> =>
    (await answered((response) => response.writeHead(status, { 'retry-after': value }).end(), clock)).retryAfterMs;
  assert.equal(await after(429, '120'), 120_000);
  assert.equal(await after(503, new Date(clock.now() + 90_000).toUTCString()), 90_000);
  assert.equal(await after(503, new Date(clock.now() - 90_000).toUTCString()), 0);
  assert.equal(await after(503, '999999'), 3_600_000);
  assert.equal(await after(503, 'soon'), null);
  assert.equal(await after(503, '-5'), null);
  assert.equal(await after(500, '120'), null);
});

test('a receiver that sends no status is left when the time is over', async () => {
  const clock = new FakeClock();
  const receiver = await FakeReceiver.open(() => null);
  const sending = sender(clock).send({ url: receiver.url, headers, body }, never);
  while (receiver.received.length === 0) await setImmediate();
  for (let turns = 0; turns < 50; turns++) await setImmediate();
  clock.advance(14_999);
  let isSettled = false;
  void sending.then(() => (isSettled = true));
  for (let turns = 0; turns < 20; turns++) await setImmediate();
  assert.equal(isSettled, false);
  clock.advance(1);
  const { error, httpStatus } = await sending;
  assert.deepEqual([httpStatus, error], [null, 'no answer came in time']);
  assert.equal(clock.pendingTimers, 0);
  while (receiver.openRequests > 0) await setImmediate();
  await receiver.close();
});

test('for a body nobody waits: who has sent a status is left with it, however slowly the rest comes', async () => {
  for (const [status, expected] of [
    [200, null],
    [500, 'the receiver refused it'],
  ] as const) {
    // Its clock stands still: no time-out ends this.
    const clock = new FakeClock();
    const receiver = await FakeReceiver.open(() => (response) => {
      response.writeHead(status);
      response.write('a drop at a time');
    });
    const result = await sender(clock).send({ url: receiver.url, headers, body }, never);
    assert.deepEqual([result.httpStatus, result.error, clock.pendingTimers], [status, expected, 0]);
    while (receiver.openRequests > 0) await setImmediate();
    await receiver.close();
  }
});

test('a name server that does not answer is left when the time is over', async () => {
  const clock = new FakeClock();
  const sending = sender(clock, { resolve: () => new Promise(() => {}) }).send(
    { url: 'http://hooks.example.com/', headers, body },
    never,
  );
  await setImmediate();
  clock.advance(15_000);
  assert.equal((await sending).error, 'no answer came in time');
});

test('of an endless answer no more than a little is read', async () => {
  let written = 0;
  const result = await answered((response) => {
    response.writeHead(200);
    const chunk = Buffer.alloc(16 * 1024);
    const write = (): void => {
      while (!response.destroyed && written < 64 * 1024 * 1024) {
        written += chunk.length;
        if (!response.write(chunk)) return;
      }
    };
    response.on('drain', write);
    response.on('error', () => {});
    write();
  });
  assert.deepEqual([result.httpStatus, result.error], [200, null]);
  assert.ok(written < 32 * 1024 * 1024, `${written} bytes`);
});

test('headers without an end are refused', async () => {
  const result = await answered((response) =>
    response.socket?.end(`HTTP/1.1 200 OK\r\n${'x-filler: y\r\n'.repeat(4_096)}\r\n`),
  );
  assert.equal(result.error, 'the answer is not HTTP');
});

test('what is sent is JSON of a known length, from a program that says its name', async () => {
  const receiver = await FakeReceiver.open();
  const text = '{"data":{"title":"déjà vu"}}';
  await sender(new FakeClock()).send({ url: `${receiver.url}?a=b`, headers, body: text }, never);
  const [received] = receiver.received;
  assert.equal(received?.path, '/hook?a=b');
  assert.equal(received?.body, text);
  const sent = received?.headers;
  assert.deepEqual(
    [sent?.['content-type'], sent?.['user-agent'], sent?.['content-length'], sent?.host],
    ['application/json', 'codex-fleet/0', String(Buffer.byteLength(text)), `127.0.0.1:${receiver.port}`],
  );
  await receiver.close();
});

test('to no spelling of a private address anything is sent, however it is reached', async () => {
  const open = await listener();
  const strict = sender(new FakeClock(), { rules: nothingPrivate, resolve: resolveHost });
  const urls = refusedReceiverUrls.map((url) => url.replace(/^(http:\/\/[^/:\s\\]+)\/hook$/, `$1:${open.port}/hook`));
  assert.ok(urls.filter((url) => url.includes(`:${open.port}/`)).length >= 25);
  for (const url of urls) {
    const { error, httpStatus } = await strict.send({ url, headers, body }, never);
    assert.equal(httpStatus, null, url);
    assert.ok(error !== null, url);
  }
  assert.deepEqual(open.connections(), []);
  // The control: the listener does count, where the range is open.
  const result = await sender(new FakeClock()).send({ url: `http://2130706433:${open.port}/`, headers, body }, never);
  assert.deepEqual([result.httpStatus, open.connections()], [204, ['127.0.0.1']]);
  await open.close();
});

test('a name that leads to private addresses, or to a public one only when it was checked, leads nowhere private', async () => {
  const open = await listener();
  const url = `http://hooks.example.com:${open.port}/`;
  const ofAll = [
    '127.0.0.1',
    '::1',
    '::ffff:127.0.0.1',
    '10.0.0.1',
    '169.254.169.254',
    'fe80::1%lo',
    '64:ff9b::7f00:1',
  ];
  for (const address of ofAll) {
    const strict = sender(new FakeClock(), { rules: nothingPrivate, resolve: async () => [address] });
    assert.equal((await strict.send({ url, headers, body }, never)).error, nowherePublic, address);
  }
  // Nobody learns by it which names there are.
  const unknown = sender(new FakeClock(), {
    rules: nothingPrivate,
    resolve: async () => {
      throw new Error('ENOTFOUND');
    },
  });
  assert.equal((await unknown.send({ url, headers, body }, never)).error, nowherePublic);
  // Allowed when asked, private when asked again: within an attempt a second question is never put.
  let questions = 0;
  const flipping = async (): Promise<string[]> => (++questions === 1 ? ['127.0.0.2'] : ['127.0.0.1']);
  const rules = { allowHttp: true, allowPrivate: addressRanges(['127.0.0.2/32']) };
  const flipped = sender(new FakeClock(), { rules, resolve: flipping });
  assert.equal((await flipped.send({ url, headers, body }, never)).httpStatus, 204);
  assert.equal(questions, 1);
  assert.equal((await flipped.send({ url, headers, body }, never)).error, nowherePublic);
  assert.deepEqual(open.connections(), ['127.0.0.2']);
  await open.close();
});

test('of several addresses the private ones are left out, and a socket can be told no other than what was checked', async () => {
  const url = {
    isSecure: true,
    host: 'a.example',
    address: null,
    port: 443,
    pathAndQuery: '/',
    authority: 'a.example',
  };
  const resolve = async (): Promise<string[]> => ['10.0.0.1', '8.8.8.8', '::1', '2606:4700:4700::1111'];
  const guarded = await guardedAddresses(url, nothingPrivate, resolve, never);
  assert.deepEqual(guarded, { outcome: 'allowed', addresses: ['8.8.8.8', '2606:4700:4700::1111'] });
  const told: unknown[] = [];
  const lookup = pinnedLookup(['8.8.8.8', '2606:4700:4700::1111']);
  lookup('anything.at.all', { all: true }, (_error, all) => told.push(all));
  lookup('anything.at.all', {}, (_error, one, family) => told.push([one, family]));
  assert.deepEqual(told, [
    [
      { address: '8.8.8.8', family: 4 },
      { address: '2606:4700:4700::1111', family: 6 },
    ],
    ['8.8.8.8', 4],
  ]);
  assert.deepEqual(await guardedAddresses(url, nothingPrivate, async () => [], never), { outcome: 'none' });
});

test('over TLS the certificate must be of the name, though a checked address is connected to', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'webhook-tls-'));
  const key = join(dir, 'key.pem');
  const certificate = join(dir, 'cert.pem');
  const subject = ['-subj', '/CN=hooks.example.com', '-addext', 'subjectAltName=DNS:hooks.example.com'];
  const ofKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  execFileSync('openssl', ['req', '-x509', ...ofKey, '-keyout', key, '-out', certificate, '-days', '2', ...subject], {
    stdio: 'ignore',
  });
  const authorities = readFileSync(certificate);
  const named: string[] = [];
  const server = createTlsServer({ key: readFileSync(key), cert: authorities }, (request, response) => {
    named.push(String(request.headers.host));
    response.writeHead(204).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const resolve = async (): Promise<string[]> => ['127.0.0.1'];
  const send = async (host: string, changes: Partial<WebhookSenderParts>): Promise<SendResult> =>
    await sender(new FakeClock(), { resolve, ...changes }).send(
      { url: `https://${host}:${port}/`, headers, body },
      never,
    );
  assert.equal((await send('hooks.example.com', { authorities })).httpStatus, 204);
  assert.match(String((await send('other.example.com', { authorities })).error), /certificate or TLS failed/);
  assert.match(String((await send('127.0.0.1', { authorities })).error), /certificate or TLS failed/);
  assert.notEqual((await send('hooks.example.com', {})).error, null);
  assert.deepEqual(named, [`hooks.example.com:${port}`]);
  await new Promise((closed) => server.close(closed));
  rmSync(dir, { recursive: true });
});

test('a stop ends what is being sent at once', async () => {
  const receiver = await FakeReceiver.open(() => null);
  const stop = new AbortController();
  const sending = sender(new FakeClock()).send({ url: receiver.url, headers, body }, stop.signal);
  while (receiver.received.length === 0) await setImmediate();
  stop.abort();
  assert.notEqual((await sending).error, null);
  await receiver.close();
});
