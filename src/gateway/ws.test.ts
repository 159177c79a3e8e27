import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { WebSocket } from 'ws';
import { MemoryTicketStore } from '../adapters/memory/memory-ticket-store.ts';
import type { TicketStore } from '../contracts/ticket-store.ts';
import { ServiceError } from '../core/errors.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { type GatewayFixture, type Json, jsonOf, sha256, startGateway, token } from '../testing/gateway-fixture.ts';

const bearer = { headers: { authorization: `Bearer ${token}` } };

/** A client that keeps what comes, so that nothing is missed between two waits. */
class Client {
  readonly socket: WebSocket;
  readonly frames: Json[] = [];
  #wake: () => void = () => undefined;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('message', (data: Buffer) => {
      this.frames.push(JSON.parse(data.toString()) as Json);
      this.#wake();
    });
    socket.on('close', () => this.#wake());
  }

  send(frame: unknown): void {
    this.socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame));
  }

  async until(isLast: (frame: Json) => boolean): Promise<Json> {
    for (;;) {
      const found = this.frames.find(isLast);
      if (found !== undefined) return found;
      if (this.socket.readyState === WebSocket.CLOSED) throw new Error('the socket closed first');
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  ofRef(ref: string): Json[] {
    return this.frames.filter((frame) => frame['ref'] === ref);
  }
}

async function open(t: TestContext, { port }: GatewayFixture, protocols: string[] = [], options = {}): Promise<Client> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, protocols, options);
  const client = new Client(socket);
  t.after(() => socket.terminate());
  await once(socket, 'open');
  return client;
}

function refusal(port: number, path: string, protocols: string[] = [], options = {}): Promise<[number, Json]> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocols, options);
    socket.once('open', () => reject(new Error('it opened')));
    socket.once('error', () => undefined);
    socket.once('unexpected-response', (_request, response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve([response.statusCode ?? 0, JSON.parse(text) as Json]));
    });
  });
}

const isTerminal = (frame: Json): boolean =>
  /^turn\.(completed|failed|cancelled|timed_out|interrupted)$/.test(String(frame['type']));

test('the frame of old, a prompt and stream: true, is answered with all events of its turn', async (t) => {
  const client = await open(t, await startGateway(t), [], bearer);
  client.send({ prompt: 'say 100', stream: true });
  await client.until(isTerminal);
  const [accepted, ...events] = client.frames;
  assert.deepEqual([accepted?.['type'], accepted?.['status']], ['accepted', 'queued']);
  assert.deepEqual(
    events.map((event) => event['seq']),
    Array.from({ length: 104 }, (_, index) => index + 1),
  );
});

test('several turns at once on one socket are told apart by ref, and by ref alone', async (t) => {
  const client = await open(t, await startGateway(t), [], bearer);
  const refs = ['a', 'b"\\', 'ü'];
  for (const [index, ref] of refs.entries()) client.send({ ref, prompt: `say ${(index + 1) * 30}` });
  for (const ref of refs) await client.until((frame) => frame['ref'] === ref && isTerminal(frame));
  for (const [index, ref] of refs.entries()) {
    const prompt = `say ${(index + 1) * 30}`;
    const own = client.ofRef(ref);
    const deltas = own.filter((frame) => frame['type'] === 'item.delta');
    assert.deepEqual(
      deltas.map((frame) => frame['delta']),
      Array.from({ length: (index + 1) * 30 }, (_, word) => `${prompt}#${word} `),
    );
    assert.equal(own.filter(isTerminal).length, 1);
  }
});

test('each form of credential opens the socket; a ticket opens one', async (t) => {
  const fixture = await startGateway(t);
  const { port, post } = fixture;
  await open(t, fixture, [], bearer);
  const byToken = await open(t, fixture, ['codex-fleet', `bearer.${token}`]);
  assert.equal(byToken.socket.protocol, 'codex-fleet');

  const made = await post('/api/v1/tickets');
  assert.equal(made.status, 201);
  const { ticket } = await jsonOf(made);
  const protocols = ['codex-fleet', `ticket.${String(ticket)}`];
  const byTicket = await open(t, fixture, protocols);
  byTicket.send({ prompt: 'say 1' });
  await byTicket.until(isTerminal);
  const [status, problem] = await refusal(port, '/ws', protocols);
  assert.deepEqual([status, problem['code']], [401, 'unauthenticated']);
});

test('a ticket is too old after thirty seconds', async (t) => {
  const clock = new FakeClock();
  const { port, post } = await startGateway(t, { clock });
  const { ticket, expires_at } = await jsonOf(await post('/api/v1/tickets'));
  assert.equal(expires_at, new Date(clock.now() + 30_000).toISOString());
  clock.advance(30_000);
  assert.equal((await refusal(port, '/ws', ['codex-fleet', `ticket.${String(ticket)}`]))[0], 401);
});

test('a ticket of one gateway opens a socket at another', async (t) => {
  const ticketStore = new MemoryTicketStore(new FakeClock());
  const [one, two] = [await startGateway(t, { ticketStore }), await startGateway(t, { ticketStore })];
  const { ticket } = await jsonOf(await one.post('/api/v1/tickets'));
  const protocols = ['codex-fleet', `ticket.${String(ticket)}`];
  const client = await open(t, two, protocols);
  client.send({ prompt: 'say 1' });
  await client.until(isTerminal);
  assert.equal((await refusal(one.port, '/ws', protocols))[0], 401);
});

test('a store of tickets that is away is said to be so; a client that does not wait for it harms nobody', async (t) => {
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<null>();
  const ticketStore: TicketStore = {
    put: () => Promise.reject(new ServiceError('store_unavailable')),
    take: (hash) => {
      if (hash !== sha256('slow')) return Promise.reject(new ServiceError('store_unavailable'));
      asked.resolve();
      return answer.promise;
    },
  };
  const fixture = await startGateway(t, { ticketStore });
  const { port, post } = fixture;
  const made = await post('/api/v1/tickets');
  assert.deepEqual([made.status, (await jsonOf(made))['code']], [503, 'store_unavailable']);
  const [status, problem] = await refusal(port, '/ws', ['codex-fleet', 'ticket.quick']);
  assert.deepEqual([status, problem['code']], [503, 'store_unavailable']);

  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, ['codex-fleet', 'ticket.slow']);
  socket.on('error', () => undefined);
  await asked.promise;
  socket.terminate();
  answer.resolve(null);
  const client = await open(t, fixture, ['codex-fleet', `bearer.${token}`]);
  client.send({ prompt: 'say 1' });
  await client.until(isTerminal);
});

test('upgrades without a credential, with one in the query, from a foreign page, elsewhere: refused in words', async (t) => {
  const { port } = await startGateway(t);
  const cases: [string, string[], object, number, RegExp][] = [
    ['/ws', [], {}, 401, /Authorization/],
    ['/ws', ['codex-fleet', 'bearer.nonsense'], {}, 401, /unknown/],
    ['/ws', [`bearer.${token}`], {}, 401, /subprotocol/],
    [`/ws?token=${token}`, [], bearer, 401, /query/],
    ['/ws', ['codex-fleet', `bearer.${token}`], { origin: 'https://evil.example' }, 403, /allowed_origins/],
    ['/elsewhere', [], bearer, 404, /not_found/],
  ];
  for (const [path, protocols, options, status, says] of cases) {
    const [given, problem] = await refusal(port, path, protocols, options);
    assert.equal(given, status, path);
    assert.match(JSON.stringify(problem), says);
  }
});

test('a client that lost its socket goes on behind the last cursor it saw', async (t) => {
  const fixture = await startGateway(t);
  const first = await open(t, fixture, [], bearer);
  first.send({ prompt: 'say 500', session_id: 's' });
  const cut = await first.until((frame) => Number(frame['seq']) >= 200);
  first.socket.terminate();
  const turn_id = first.frames[0]?.['turn_id'];
  const seen = first.frames.filter((frame) => typeof frame['seq'] === 'number');
  const last = seen.at(-1) ?? cut;

  const second = await open(t, fixture, [], bearer);
  second.send({ type: 'subscribe', ref: 'rest', session_id: 's', turn_id, after: last['cursor'] });
  await second.until(isTerminal);
  const rest = second.ofRef('rest').filter((frame) => typeof frame['seq'] === 'number');
  assert.deepEqual(
    [...seen, ...rest].map((frame) => frame['seq']),
    Array.from({ length: 504 }, (_, index) => index + 1),
  );
});

test('a repeated frame with an idempotency_key is the same turn', async (t) => {
  const fixture = await startGateway(t);
  const client = await open(t, fixture, [], bearer);
  for (const ref of ['1', '2']) client.send({ ref, prompt: 'say 3', idempotency_key: 'once' });
  for (const ref of ['1', '2']) await client.until((frame) => frame['ref'] === ref && isTerminal(frame));
  assert.equal(fixture.worker.taken.length, 1);
  const posted = await fixture.post('/api/v1/exec', { prompt: 'say 3' }, { 'idempotency-key': 'once' });
  assert.equal((await jsonOf(posted))['turn_id'], fixture.worker.taken[0]);
});

test('cancel, ping and unsubscribe do what they say', async (t) => {
  const client = await open(t, await startGateway(t), [], bearer);
  client.send({ type: 'ping', ref: 'p' });
  await client.until((frame) => frame['type'] === 'pong' && frame['ref'] === 'p');
  client.send({ ref: 'run', prompt: 'hold', session_id: 's' });
  const { turn_id } = await client.until((frame) => frame['type'] === 'turn.started');
  client.send({ type: 'subscribe', ref: 'watch', session_id: 's' });
  await client.until((frame) => frame['ref'] === 'watch' && frame['type'] === 'turn.started');
  client.send({ type: 'unsubscribe', ref: 'watch' });
  await client.until((frame) => frame['ref'] === 'watch' && frame['type'] === 'ended');
  client.send({ type: 'cancel', ref: 'stop', session_id: 's', turn_id });
  await client.until((frame) => frame['ref'] === 'run' && frame['type'] === 'turn.cancelled');
  await client.until((frame) => frame['ref'] === 'stop' && frame['type'] === 'accepted');
});

test('stream: false brings the end of the turn alone', async (t) => {
  const client = await open(t, await startGateway(t), [], bearer);
  client.send({ prompt: 'say 5', stream: false });
  await client.until(isTerminal);
  assert.deepEqual(
    client.frames.map((frame) => frame['type']),
    ['accepted', 'turn.completed'],
  );
});

test('one socket carries so many streams and no more, and says so', async (t) => {
  const fixture = await startGateway(t, { limits: { streamsPerSocket: 1 } });
  await fixture.post('/api/v1/sessions', { id: 's' });
  const client = await open(t, fixture, [], bearer);
  client.send({ ref: 'first', type: 'subscribe', session_id: 's' });
  await client.until((frame) => frame['ref'] === 'first');
  client.send({ ref: 'second', prompt: 'say 1' });
  const refused = await client.until((frame) => frame['ref'] === 'second');
  assert.deepEqual([refused['type'], refused['code'], refused['limit']], ['error', 'too_many_streams', 1]);
});

test('frames that are wrong get a typed error with their ref, and the socket goes on', async (t) => {
  const { worker, ...fixture } = await startGateway(t);
  const client = await open(t, { worker, ...fixture }, [], bearer);
  const wrong: [unknown, string][] = [
    ['not json', 'invalid_json'],
    ['[]', 'invalid_json'],
    [{ ref: 'r' }, 'invalid_request'],
    [{ ref: 'r', prompt: 'x', promt: 1 }, 'invalid_request'],
    ['{"ref":"r","prompt":"x","__proto__":{"a":1}}', 'invalid_json'],
    ['{"ref":"r","prompt":"x","prompt":"y"}', 'invalid_json'],
    [`{"ref":"r","prompt":${'['.repeat(100_000)}`, 'invalid_json'],
    ['{"ref":"r","prompt":"\\ud800"}', 'invalid_request'],
    [{ ref: 'r', prompt: 'x', session_id: '../a' }, 'invalid_request'],
    [{ ref: 'r', type: 'nonsense' }, 'invalid_request'],
    [{ ref: 'r', type: 'subscribe', session_id: 'none' }, 'session_not_found'],
  ];
  for (const [index, [frame, code]] of wrong.entries()) {
    client.send(frame);
    while (client.frames.length <= index) await once(client.socket, 'message');
    const answer = client.frames[index];
    assert.deepEqual([answer?.['type'], answer?.['code']], ['error', code], JSON.stringify(frame).slice(0, 80));
    if (typeof frame === 'object') assert.equal(answer?.['ref'], 'r');
  }
  client.socket.send(Buffer.from('{}'), { binary: true });
  await client.until((frame) => /text/.test(String(frame['detail'])));
  assert.deepEqual(worker.taken, []);
  client.send({ ref: 'good', prompt: 'say 1' });
  await client.until((frame) => frame['ref'] === 'good' && isTerminal(frame));
});

test('a frame beyond the limit of 1 MiB closes the socket with 1009, and only that socket', async (t) => {
  const fixture = await startGateway(t);
  const client = await open(t, fixture, [], bearer);
  client.send({ prompt: 'x'.repeat(1024 * 1024) });
  const [code] = (await once(client.socket, 'close')) as [number];
  assert.equal(code, 1009);
  assert.equal((await fixture.get('/health')).status, 200);
});

test('a client that answers no ping is let go', async (t) => {
  const clock = new FakeClock();
  const fixture = await startGateway(t, { clock });
  const client = await open(t, fixture, [], { ...bearer, autoPong: false });
  const closed = once(client.socket, 'close');
  clock.advance(15_000);
  clock.advance(15_000);
  clock.advance(15_000);
  const [code] = (await closed) as [number];
  assert.equal(code, 1006);
});

test('a reader that takes nothing is closed with the cursor to resume from', async (t) => {
  const clock = new FakeClock();
  const fixture = await startGateway(t, { clock });
  const { worker, post, get, metrics } = fixture;
  await post('/api/v1/sessions', { id: 'slow' });
  const session = await jsonOf(await get('/api/v1/sessions/slow'));
  const key = { tenant: 'default', sessionId: String(session['id']) };
  const client = await open(t, fixture, [], bearer);
  client.send({ type: 'subscribe', session_id: 'slow' });
  await client.until((frame) => frame['type'] === 'accepted');
  client.socket.pause();
  const text = 'x'.repeat(200_000);
  for (let index = 0; index < 150; index += 1) {
    await worker.emit(key, null, 'item.delta', { delta: text });
    await clock.advanceAsync(1);
  }
  await clock.advanceAsync(30_000);
  assert.match((await metrics.render()).body, /codex_fleet_streams_cut_total 1\n/);
  const closed = once(client.socket, 'close');
  client.socket.resume();
  const [code, reason] = (await closed) as [number, Buffer];
  assert.equal(code, 4408);
  const { after } = JSON.parse(reason.toString()) as { after: string };
  const seen = client.frames.slice(1).map((frame) => frame['seq']);
  assert.equal(after, `1.${seen.length}`);
  assert.deepEqual(
    seen,
    Array.from({ length: seen.length }, (_, index) => index + 1),
  );
  assert.ok(seen.length < 150);
});
