import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest, Agent, type ClientRequest, type IncomingMessage } from 'node:http';
import { test, type TestContext } from 'node:test';
import { setImmediate as afterIo } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { FakeClock } from '../testing/fake-clock.ts';
import { type GatewayFixture, jsonOf, startGateway, token } from '../testing/gateway-fixture.ts';

const bearer = { authorization: `Bearer ${token}` };

function send({ port }: GatewayFixture, body: unknown, agent: Agent | false = false): ClientRequest {
  const headers = { ...bearer, 'content-type': 'application/json' };
  const request = httpRequest({ host: '127.0.0.1', port, method: 'POST', path: '/api/v1/exec', headers, agent });
  request.on('error', () => undefined);
  request.end(JSON.stringify(body));
  return request;
}

/** Also of one that breaks. */
const closeOf = (request: ClientRequest): Promise<void> => new Promise((resolve) => request.once('close', resolve));

async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await afterIo();
}

const statusOf = async ({ records, worker }: GatewayFixture, index = 0): Promise<string | undefined> =>
  (await records.turns.get('default', worker.taken[index] ?? ''))?.status;

async function runs(fleet: GatewayFixture, index = 0): Promise<void> {
  await until(async () => (await statusOf(fleet, index)) === 'running');
}

/** What has been set going by now has come to its end when a whole other request has. */
async function settle(fleet: GatewayFixture): Promise<void> {
  assert.equal((await fleet.post('/api/v1/exec', { prompt: 'say 1' })).status, 200);
}

async function openSocket(t: TestContext, { port }: GatewayFixture): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, { headers: bearer });
  t.after(() => socket.terminate());
  await once(socket, 'open');
  return socket;
}

for (const stream of [false, true]) {
  const how = stream ? 'a stream' : 'a wait';
  test(`${how} that its client leaves ends its turn if that was asked for, and only then`, async (t) => {
    const fleet = await startGateway(t);
    const leaving = [
      send(fleet, { prompt: 'hold', stream }),
      send(fleet, { prompt: 'hold', stream, cancel_on_disconnect: false }),
      send(fleet, { prompt: 'hold', stream, session_id: 'theirs', cancel_on_disconnect: true }),
    ];
    await until(() => fleet.worker.taken.length === 3);
    for (const index of [0, 1, 2]) await runs(fleet, index);
    for (const request of leaving) request.destroy();
    const session = await jsonOf(await fleet.get('/api/v1/sessions/theirs'));
    const theirs = async (): Promise<string | undefined> => {
      const page = await fleet.records.turns.list('default', String(session['id']), {
        after: null,
        limit: 1,
        order: 'asc',
      });
      return page.data[0]?.status;
    };
    await until(async () => (await theirs()) === 'cancelled');
    await settle(fleet);
    const statuses = await Promise.all([0, 1, 2].map((index) => statusOf(fleet, index)));
    assert.equal(statuses.filter((status) => status === 'running').length, 2);
    for (const turnId of fleet.worker.taken) fleet.worker.release(turnId);
  });

  test(`${how} that was answered ends no turn when its connection goes on or closes`, async (t) => {
    const fleet = await startGateway(t);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    // The answer is over before the turn is: the wait is short, or nothing is waited for.
    const bodies = stream
      ? [{ prompt: 'say 3', stream, cancel_on_disconnect: true }]
      : [
          { prompt: 'hold', wait_ms: 20, cancel_on_disconnect: true },
          { prompt: 'hold', wait_ms: 0, cancel_on_disconnect: true },
        ];
    const sockets = new Set<unknown>();
    for (const body of [...bodies, { prompt: 'say 1' }]) {
      const request = send(fleet, body, agent);
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      sockets.add(request.socket);
      await response.resume().toArray();
    }
    assert.equal(sockets.size, 1);
    agent.destroy();
    await settle(fleet);
    const statuses = await Promise.all(bodies.map((_, index) => statusOf(fleet, index)));
    assert.deepEqual(statuses, stream ? ['completed'] : ['running', 'running']);
    for (const turnId of fleet.worker.taken) fleet.worker.release(turnId);
  });
}

test('a drain ends no turn, however its clients wanted to be understood', async (t) => {
  const clock = new FakeClock();
  const fleet = await startGateway(t, { clock });
  const requests = [false, true].map((stream) => send(fleet, { prompt: 'hold', stream, cancel_on_disconnect: true }));
  for (const request of requests) request.on('response', (response: IncomingMessage) => response.resume());
  const socket = await openSocket(t, fleet);
  socket.send(JSON.stringify({ prompt: 'hold', cancel_on_disconnect: true }));
  await until(() => fleet.worker.taken.length === 3);
  for (const index of [0, 1, 2]) await runs(fleet, index);
  const closed = Promise.all([once(socket, 'close'), ...requests.map(closeOf)]);
  const drained = fleet.gateway.drain(1000);
  await clock.advanceAsync(1000);
  await closed;
  await clock.advanceAsync(1000);
  await drained;
  assert.deepEqual(await Promise.all([0, 1, 2].map((index) => statusOf(fleet, index))), [
    'running',
    'running',
    'running',
  ]);
  for (const turnId of fleet.worker.taken) fleet.worker.release(turnId);
});

const cuts = {
  'that takes nothing': (_: GatewayFixture, clock: FakeClock) => clock.advanceAsync(30_000),
  'that takes nothing until the drain is over': async (fleet: GatewayFixture, clock: FakeClock) => {
    const drained = fleet.gateway.drain(0);
    await clock.advanceAsync(1000);
    await drained;
  },
};
for (const [what, cut] of Object.entries(cuts))
  test(`a reader ${what} loses its stream, not its turn`, async (t) => {
    const clock = new FakeClock();
    const fleet = await startGateway(t, { clock });
    const request = send(fleet, { prompt: 'hold', stream: true, cancel_on_disconnect: true });
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    response.pause();
    await runs(fleet);
    const turnId = fleet.worker.taken[0] ?? '';
    const turn = await fleet.records.turns.get('default', turnId);
    const key = { tenant: 'default', sessionId: turn?.sessionId ?? '' };
    for (let index = 0; index < 150; index += 1) {
      await fleet.worker.emit(key, turnId, 'item.delta', { delta: 'x'.repeat(200_000) });
      await clock.advanceAsync(1);
    }
    const closed = closeOf(request);
    await cut(fleet, clock);
    response.resume();
    response.on('error', () => undefined);
    await closed;
    for (let rounds = 0; rounds < 50; rounds += 1) await afterIo();
    assert.equal(await statusOf(fleet), 'running');
    fleet.worker.release(turnId);
  });

test('a socket that its client closes ends the turns of the frames that asked for it', async (t) => {
  const fleet = await startGateway(t);
  const socket = await openSocket(t, fleet);
  const frames = [
    { ref: 'stays', prompt: 'hold' },
    { ref: 'goes', prompt: 'hold', cancel_on_disconnect: true },
    { ref: 'goes quietly', prompt: 'hold', cancel_on_disconnect: true, stream: false },
    { ref: 'let go', prompt: 'hold', cancel_on_disconnect: true },
    { ref: 'over', prompt: 'say 1', cancel_on_disconnect: true },
  ];
  for (const frame of frames) socket.send(JSON.stringify(frame));
  await until(() => fleet.worker.taken.length === 5);
  for (const index of [0, 1, 2, 3]) await runs(fleet, index);
  socket.send(JSON.stringify({ type: 'unsubscribe', ref: 'let go' }));
  const pong = new Promise((resolve) =>
    socket.on('message', (data: Buffer) => {
      if (data.includes('"pong"')) resolve(null);
    }),
  );
  socket.send(JSON.stringify({ type: 'ping' }));
  await pong;
  await until(async () => (await statusOf(fleet, 4)) === 'completed');
  socket.close();
  await until(async () => (await statusOf(fleet, 1)) === 'cancelled' && (await statusOf(fleet, 2)) === 'cancelled');
  await settle(fleet);
  const statuses = await Promise.all([0, 1, 2, 3, 4].map((index) => statusOf(fleet, index)));
  assert.deepEqual(statuses, ['running', 'cancelled', 'cancelled', 'running', 'completed']);
  for (const turnId of fleet.worker.taken) fleet.worker.release(turnId);
});

test('a client that went while its turn was being taken ends it as well', async (t) => {
  const fleet = await startGateway(t);
  const startTurn = fleet.worker.startTurn.bind(fleet.worker);
  const arrived = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  fleet.worker.startTurn = async (key, options) => {
    arrived.resolve();
    await goOn.promise;
    await startTurn(key, options);
  };
  const request = send(fleet, { prompt: 'hold', cancel_on_disconnect: true });
  await arrived.promise;
  const gone = closeOf(request);
  request.destroy();
  await gone;
  for (let index = 0; index < 20; index += 1) await afterIo();
  goOn.resolve();
  await until(async () => (await statusOf(fleet)) === 'cancelled');
});

test('who only steered a turn does not end it by leaving', async (t) => {
  const fleet = await startGateway(t);
  await fleet.post('/api/v1/exec', { prompt: 'hold', session_id: 's', background: true });
  await runs(fleet);
  const steer = { session_id: 's', on_busy: 'steer', cancel_on_disconnect: true };
  const requests = [false, true].map((stream) => send(fleet, { ...steer, prompt: 'x', stream }));
  const socket = await openSocket(t, fleet);
  socket.send(JSON.stringify({ ...steer, prompt: 'x' }));
  await until(() => fleet.worker.steered.length === 3);
  for (const request of requests) request.destroy();
  socket.terminate();
  await settle(fleet);
  assert.equal(await statusOf(fleet), 'running');
  fleet.worker.release(fleet.worker.taken[0] ?? '');
});
