import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Notice } from '../core/webhook.ts';
import { type GatewayFixture, type Json, jsonOf, startGateway, token } from '../testing/gateway-fixture.ts';
import { deliveryRecord } from '../testing/stored-records.ts';

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
  'the deliveries': (fleet: GatewayFixture) => fleetPart(fleet.records.deliveries, 'eraseOf'),
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

test('with a session goes all that was told of it or was to be told; that it is gone is told, without a word of its own', async (t) => {
  const story: string[] = [];
  const told: Notice[] = [];
  const outbox = {
    put: async (notices: readonly Notice[]) => {
      story.push('told');
      told.push(...notices);
    },
  };
  const fleet = await startGateway(t, { outbox });
  const { deliveries, sessions: records } = fleet.records;
  const made = await fleet.post(sessions, { id: 'mine', title: 'of mine', metadata: { name: 'Ada' } });
  const sessionId = String((await jsonOf(made))['id']);
  const own = { tenant: 'default', sessionId } as const;
  const ids = [1, 2, 3, 4].map((number) => `019f0000-0000-7000-8000-00000000000${number}`);
  const [pending = '', delivered = '', another = '', late = ''] = ids;
  await deliveries.create(deliveryRecord({ ...own, id: pending }));
  await deliveries.create(deliveryRecord({ ...own, id: delivered, status: 'delivered', dueAt: null, endedAt: 1 }));
  await deliveries.create(deliveryRecord({ tenant: 'default', id: another }));
  fleet.worker.eraseSession = async () => {
    story.push('ended on the worker');
    // Its last words; the second time, of what had brought it back.
    await deliveries.create(deliveryRecord({ ...own, id: late }));
  };
  const { eraseOf } = deliveries;
  deliveries.eraseOf = async (tenant, of) => {
    story.push('deliveries erased');
    await eraseOf.call(deliveries, tenant, of);
  };
  const { erase: eraseRecord } = records;
  records.erase = async (tenant, id) => {
    story.push('record erased');
    await eraseRecord.call(records, tenant, id);
  };
  story.length = 0;
  told.length = 0;
  assert.deepEqual(await erase(fleet, 'mine'), [200, true]);
  const around = ['ended on the worker', 'deliveries erased'];
  assert.deepEqual(story, [...around, 'told', 'record erased', ...around]);
  const left = await Promise.all(ids.map((id) => deliveries.get('default', id)));
  assert.deepEqual(
    left.map((delivery) => delivery?.id ?? null),
    [null, null, another, null],
  );
  assert.deepEqual(
    told.map(({ data, jobId, lane, sessionId: of, type }) => ({ data, jobId, lane, of, type })),
    [
      {
        data: JSON.stringify({ id: sessionId, object: 'session', deleted: true }),
        jobId: null,
        lane: sessionId,
        of: null,
        type: 'session.deleted',
      },
    ],
  );
});

test('that deliveries could not be looked through once more does not undo an erasure', async (t) => {
  const fleet = await startGateway(t);
  await fleet.post(sessions, { id: 'mine' });
  const { deliveries } = fleet.records;
  const { eraseOf } = deliveries;
  let calls = 0;
  deliveries.eraseOf = async (tenant, of) => {
    if (++calls > 1) throw new Error('it is away');
    await eraseOf.call(deliveries, tenant, of);
  };
  assert.deepEqual([await erase(fleet, 'mine'), calls], [[200, true], 2]);
});
