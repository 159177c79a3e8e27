import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type GatewayFixture, type Json, jsonOf, startGateway, token } from '../testing/gateway-fixture.ts';

const sessions = '/api/v1/sessions';

async function erase({ url }: GatewayFixture, ref: string): Promise<readonly unknown[]> {
  const answer = await fetch(`${url}${sessions}/${ref}`, {
    method: 'DELETE',
    headers: { authorization: `Bearer ${token}` },
  });
  const body = await jsonOf(answer);
  return [answer.status, body['code'] ?? body['deleted']];
}

/** What each step of the erasure is, so that it can be cut short there. */
const steps = {
  'the worker': (fleet: GatewayFixture) => fleetPart(fleet.worker, 'eraseSession'),
  'the log': (fleet: GatewayFixture) => fleetPart(fleet.log, 'erase'),
  'the records': (fleet: GatewayFixture) => fleetPart(fleet.records.sessions, 'erase'),
};

/** Replaces a method by one that fails; returns how it is put back. */
function fleetPart<T extends object>(part: T, method: keyof T): () => void {
  const own = Object.getOwnPropertyDescriptor(part, method);
  Object.defineProperty(part, method, { configurable: true, value: () => Promise.reject(new Error('it died')) });
  return () => {
    if (own === undefined) Reflect.deleteProperty(part, method);
    else Object.defineProperty(part, method, own);
  };
}

for (const [step, breakIt] of Object.entries(steps)) {
  test(`an erasure that was cut short at ${step} leaves no half of a session, and whoever asks again finishes it`, async (t) => {
    const fleet = await startGateway(t);
    const { get, log, post, records } = fleet;
    const { session_id: id } = await jsonOf(await post('/api/v1/exec', { prompt: 'say 1', session_id: 'mine' }));
    const mend = breakIt(fleet);
    assert.deepEqual(await erase(fleet, 'mine'), [500, 'internal']);
    for (const ref of ['mine', String(id)]) {
      assert.equal((await get(`${sessions}/${ref}`)).status, 404);
      assert.equal((await post(`${sessions}/${ref}/turns`, { prompt: 'x' })).status, 404);
    }
    const list = await jsonOf(await get(sessions));
    assert.deepEqual([list['data'], list['has_more']], [[], false]);
    assert.notEqual(await records.sessions.get('default', String(id)), null);

    mend();
    assert.deepEqual(await erase(fleet, 'mine'), [200, true]);
    assert.equal(await records.sessions.get('default', String(id)), null);
    const key = { tenant: 'default', sessionId: String(id) };
    assert.deepEqual((await log.read(key, 0, 10)).events, []);
    assert.deepEqual(await erase(fleet, 'mine'), [404, 'session_not_found']);
  });
}

test('the name of a session whose erasure was cut short makes a new one', async (t) => {
  const fleet = await startGateway(t);
  const { post, records } = fleet;
  const { id: first } = await jsonOf(await post(sessions, { id: 'mine', title: 'old' }));
  const mend = steps['the log'](fleet);
  assert.deepEqual(await erase(fleet, 'mine'), [500, 'internal']);
  mend();
  const answer = await post('/api/v1/exec', { prompt: 'say 1', session_id: 'mine' });
  const { session_id: second } = await jsonOf(answer);
  assert.equal(answer.status, 200);
  assert.notEqual(second, first);
  assert.equal(await records.sessions.get('default', String(first)), null);
  assert.equal((await records.sessions.get('default', String(second)))?.title, null);
});

test('a session that is erased by many at once is erased', async (t) => {
  const fleet = await startGateway(t);
  await fleet.post('/api/v1/exec', { prompt: 'say 1', session_id: 'mine' });
  const answers = await Promise.all(Array.from({ length: 10 }, () => erase(fleet, 'mine')));
  for (const [status] of answers) assert.ok(status === 200 || status === 404);
  assert.ok(answers.some(([status]) => status === 200));
  assert.deepEqual(((await jsonOf(await fleet.get(sessions))) as { data: Json[] }).data, []);
});

test('sessions being erased are left out of lists, and pages go on behind them', async (t) => {
  const { get, post, records } = await startGateway(t);
  const ids: string[] = [];
  for (let index = 0; index < 3; index += 1) ids.push(String((await jsonOf(await post(sessions, {})))['id']));
  for (const id of ids.slice(0, 2)) {
    const record = await records.sessions.get('default', id);
    assert.ok(record !== null);
    await records.sessions.replace({ ...record, erasing: true });
  }
  const first = await jsonOf(await get(`${sessions}?order=asc&limit=2`));
  assert.deepEqual([first['data'], first['has_more'], first['last_id']], [[], true, ids[1]]);
  const second = await jsonOf(await get(`${sessions}?order=asc&limit=2&after=${String(first['last_id'])}`));
  assert.deepEqual(
    (second['data'] as Json[]).map(({ id }) => id),
    [ids[2]],
  );
});
