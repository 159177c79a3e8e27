import assert from 'node:assert/strict';
import { test } from 'node:test';
import { maxNoticeBytes, maxNoticeCharacters } from '../api/cut-notice.ts';
import { toTurnNotice } from '../api/webhooks.ts';
import { ServiceError } from '../core/errors.ts';
import { deliveryPatienceMs, noticeTypes } from '../core/webhook.ts';
import { askerOf, idsOf, refusalOf } from '../testing/fleet-asker.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { startGateway } from '../testing/gateway-fixture.ts';
import { deliveryRecord, turnRecord } from '../testing/stored-records.ts';

const nowMs = Date.UTC(2026, 0, 1);
const dayMs = 24 * 3_600_000;
const at = (ms: number): string => new Date(ms).toISOString();
const url = 'https://example.com/hook';

test('a webhook is made, looked at, changed and removed; its secret is shown once', async (t) => {
  const fleet = await startGateway(t, { clock: new FakeClock(nowMs) });
  const ask = askerOf(fleet);
  const made = await ask('POST', '/webhooks', {
    url,
    events: ['job.completed', 'job.failed', 'job.failed'],
    description: 'for the team',
  });
  const { secret, ...webhook } = made.body;
  const path = `/webhooks/${String(webhook['id'])}`;
  assert.deepEqual([made.status, made.headers.get('location')], [201, `/api/v1${path}`]);
  assert.match(String(secret), /^whsec_[A-Za-z0-9+/]{43}=$/);
  assert.deepEqual(webhook, {
    id: webhook['id'],
    object: 'webhook',
    url,
    events: ['job.completed', 'job.failed'],
    description: 'for the team',
    status: 'enabled',
    disabled_reason: null,
    failing_since: null,
    created_by: 'tester',
    created_at: at(nowMs),
  });
  assert.deepEqual((await ask('GET', path)).body, webhook);
  assert.deepEqual((await ask('GET', '/webhooks')).body['data'], [webhook]);
  const other = `${url}/2`;
  assert.deepEqual((await ask('PATCH', path, { url: other, events: null, description: null })).body, {
    ...webhook,
    url: other,
    events: null,
    description: null,
  });
  assert.deepEqual((await ask('DELETE', path)).body, { id: webhook['id'], object: 'webhook', deleted: true });
  assert.deepEqual(refusalOf(await ask('DELETE', path)), [404, 'webhook_not_found']);
});

test('with a webhook go its deliveries, pending ones too; cut short, it is told nothing more, and asked again it goes', async (t) => {
  const fleet = await startGateway(t);
  const ask = askerOf(fleet);
  const { deliveries, webhooks } = fleet.records;
  const made = await Promise.all([1, 2].map(async () => String((await ask('POST', '/webhooks', { url })).body['id'])));
  const [gone = '', other = ''] = made;
  for (const [index, webhook] of [gone, gone, other].entries()) {
    const id = `019f0000-0000-7000-8000-0000000000f${index}`;
    const ended = index === 1 ? ({ status: 'failed', dueAt: null, endedAt: nowMs } as const) : {};
    await deliveries.create(
      deliveryRecord({ tenant: 'default', id, target: { kind: 'webhook', id: webhook }, ...ended }),
    );
  }
  const count = async (targetId: string): Promise<number> =>
    (await deliveries.list('default', { targetId, status: null }, { after: null, limit: 9, order: 'asc' })).data.length;
  const { eraseOf } = deliveries;
  deliveries.eraseOf = async () => {
    throw new ServiceError('store_unavailable');
  };
  assert.deepEqual(refusalOf(await ask('DELETE', `/webhooks/${gone}`)), [503, 'store_unavailable']);
  assert.deepEqual([(await webhooks.get('default', gone))?.disabled, await count(gone)], ['user', 2]);
  deliveries.eraseOf = (tenant, of) => eraseOf.call(deliveries, tenant, of);
  assert.equal((await ask('DELETE', `/webhooks/${gone}`)).status, 200);
  assert.deepEqual([await webhooks.get('default', gone), await count(gone), await count(other)], [null, 0, 1]);
});

test('a webhook that was disabled, by whomever, is told again when its tenant says so', async (t) => {
  const fleet = await startGateway(t, { clock: new FakeClock(nowMs) });
  const ask = askerOf(fleet);
  const { body } = await ask('POST', '/webhooks', { url, disabled: true });
  const id = String(body['id']);
  const stateAfter = async (patch: object): Promise<unknown[]> => {
    const { disabled_reason, failing_since, status } = (await ask('PATCH', `/webhooks/${id}`, patch)).body;
    return [status, disabled_reason, failing_since];
  };
  assert.deepEqual([body['status'], body['disabled_reason'], body['events']], ['disabled', 'user', null]);
  assert.deepEqual(await stateAfter({ disabled: false }), ['enabled', null, null]);
  for (const patch of [{ disabled: false }, { url: `${url}/${Math.random()}` }]) {
    const record = await fleet.records.webhooks.get('default', id);
    assert.ok(record !== null);
    await fleet.records.webhooks.replace({ ...record, disabled: 'failing', failingSince: nowMs - dayMs });
    assert.deepEqual(await stateAfter({ description: 'x' }), ['disabled', 'failing', at(nowMs - dayMs)]);
    const isEnabled = 'disabled' in patch;
    assert.deepEqual(await stateAfter(patch), isEnabled ? ['enabled', null, null] : ['disabled', 'failing', null]);
  }
});

test('a new secret signs beside those before it, until their time is over', async (t) => {
  const clock = new FakeClock(nowMs);
  const fleet = await startGateway(t, { clock });
  const ask = askerOf(fleet);
  const { body: made } = await ask('POST', '/webhooks', { url });
  const id = String(made['id']);
  const rotate = (body?: object) => ask('POST', `/webhooks/${id}/rotate-secret`, body);
  const secrets = async () => (await fleet.records.webhooks.get('default', id))?.secrets;

  const first = await rotate();
  const { secret, ...webhook } = made;
  assert.deepEqual([first.status, { ...first.body, secret }], [200, made]);
  assert.deepEqual(await secrets(), [
    { secret: first.body['secret'], endsAt: null },
    { secret, endsAt: nowMs + dayMs },
  ]);
  const second = await rotate({ overlap_ms: 2 * dayMs });
  assert.deepEqual(await secrets(), [
    { secret: second.body['secret'], endsAt: null },
    { secret: first.body['secret'], endsAt: nowMs + 2 * dayMs },
    { secret, endsAt: nowMs + dayMs },
  ]);
  for (let index = 0; index < 2; index += 1) assert.equal((await rotate()).status, 200);
  const tooMany = await rotate();
  assert.deepEqual([...refusalOf(tooMany), tooMany.body['limit']], [409, 'limit_reached', 5]);
  const last = await rotate({ overlap_ms: 0 });
  assert.deepEqual(await secrets(), [{ secret: last.body['secret'], endsAt: null }]);
  assert.deepEqual((await ask('GET', `/webhooks/${id}`)).body, webhook);
  for (const overlap_ms of [-1, 7 * dayMs + 1, '1'])
    assert.deepEqual(refusalOf(await rotate({ overlap_ms })), [400, 'invalid_request', 'overlap_ms']);
});

const refused: readonly { readonly body: object; readonly fields: readonly string[] }[] = [
  { body: { url: '' }, fields: ['url'] },
  { body: { url: 'example.com' }, fields: ['url'] },
  { body: { url: 'http://example.com/' }, fields: ['url'] },
  { body: { url: 'https://user:secret@example.com/' }, fields: ['url'] },
  { body: { url: 'https://localhost/' }, fields: ['url'] },
  { body: { url: 'https://169.254.169.254/' }, fields: ['url'] },
  { body: { url: 'https://0x7f.1/' }, fields: ['url'] },
  { body: { url: 'javascript:alert(1)' }, fields: ['url'] },
  { body: { url: [url] }, fields: ['url'] },
  { body: { url, events: [] }, fields: ['events'] },
  { body: { url, events: ['turn.*'] }, fields: ['events.0'] },
  { body: { url, events: ['webhook.test'] }, fields: ['events.0'] },
  { body: { url, events: Array(50).fill('turn.completed') }, fields: ['events'] },
  { body: { url, events: 'turn.completed' }, fields: ['events'] },
  { body: { url, description: 'x'.repeat(513) }, fields: ['description'] },
  { body: { url, disabled: 'yes' }, fields: ['disabled'] },
  { body: { url, event: ['turn.completed'] }, fields: ['event'] },
  { body: { url, secret: 'mine' }, fields: ['secret'] },
];

test('what is no webhook is refused by the name of its field, whether it is to be made or changed', async (t) => {
  const ask = askerOf(await startGateway(t));
  const { body: made } = await ask('POST', '/webhooks', { url });
  const { secret: _secret, ...webhook } = made;
  for (const { body, fields } of refused) {
    const shown = JSON.stringify(body).slice(0, 100);
    for (const [method, path] of [
      ['POST', '/webhooks'],
      ['PATCH', `/webhooks/${String(made['id'])}`],
    ] as const)
      assert.deepEqual(refusalOf(await ask(method, path, body)), [400, 'invalid_request', ...fields], shown);
  }
  assert.deepEqual(refusalOf(await ask('POST', '/webhooks', {})), [400, 'invalid_request', 'url']);
  assert.deepEqual((await ask('GET', '/webhooks')).body['data'], [webhook]);
  const typo = await ask('POST', '/webhooks', { url, event: ['turn.completed'] });
  assert.equal((typo.body['errors'] as { did_you_mean: string }[])[0]?.did_you_mean, 'events');
});

test('what a fleet opens for receivers can be named, nothing else', async (t) => {
  const { addressRanges } = await import('../api/receiver-url.ts');
  const receivers = { allowHttp: true, allowPrivate: addressRanges(['10.8.0.0/16']) };
  const ask = askerOf(await startGateway(t, { receivers }));
  for (const open of ['http://example.com/', 'http://10.8.1.2:8080/'])
    assert.equal((await ask('POST', '/webhooks', { url: open })).status, 201);
  assert.deepEqual(refusalOf(await ask('POST', '/webhooks', { url: 'http://10.9.0.1/' })), [
    400,
    'invalid_request',
    'url',
  ]);
});

test('a tenant has as many webhooks as it may have, however many are made at once', async (t) => {
  const fleet = await startGateway(t, { limits: { maxWebhooks: 2 } });
  const answers = await Promise.all(Array.from({ length: 6 }, () => askerOf(fleet)('POST', '/webhooks', { url })));
  const refusals = answers.filter(({ status }) => status !== 201);
  assert.deepEqual(
    refusals.map((refusal) => [...refusalOf(refusal), refusal.body['limit']]),
    Array(4).fill([409, 'limit_reached', 2]),
  );
  assert.equal((await askerOf(fleet, 'stranger')('POST', '/webhooks', { url })).status, 201);
});

test('a test and a replay are deliveries of their own, on record before they are acknowledged', async (t) => {
  let isLow = false;
  const fleet = await startGateway(t, { clock: new FakeClock(nowMs), isStorageLow: () => isLow });
  const ask = askerOf(fleet);
  const { body: webhook } = await ask('POST', '/webhooks', { url });
  const webhookId = String(webhook['id']);
  const path = `/webhooks/${webhookId}`;
  const tested = await ask('POST', `${path}/test`);
  const delivery = {
    id: tested.body['id'],
    object: 'delivery',
    webhook_id: webhookId,
    job_id: null,
    type: 'webhook.test',
    status: 'pending',
    attempt_count: 0,
    last_attempt: null,
    next_attempt_at: at(nowMs),
    give_up_at: at(nowMs + deliveryPatienceMs),
    replay_of: null,
    created_at: at(nowMs),
    ended_at: null,
  };
  const testPath = `${path}/deliveries/${String(delivery.id)}`;
  assert.deepEqual([tested.status, tested.headers.get('location')], [202, `/api/v1${testPath}`]);
  assert.deepEqual(tested.body, delivery);
  const data = { id: webhookId, object: 'webhook' };
  const payload = { type: 'webhook.test', timestamp: at(nowMs), data };
  assert.deepEqual((await ask('GET', testPath)).body, { ...delivery, attempts: [], payload });

  const attempt = { at: nowMs, durationMs: 12.4, httpStatus: 500, error: 'it answered 500' };
  const told = deliveryRecord({
    tenant: 'default',
    target: { kind: 'webhook', id: webhookId },
    status: 'failed',
    dueAt: null,
    endedAt: nowMs,
    attempts: [attempt],
    attemptCount: 3,
    data: '{"id":"a","n":1}',
    noticeAt: nowMs - 5,
  });
  await fleet.records.deliveries.create(told);
  const attempts = [{ at: at(nowMs), duration_ms: 12, http_status: 500, error: 'it answered 500' }];
  const detail = (await ask('GET', `${path}/deliveries/${told.id}`)).body;
  assert.deepEqual([detail['attempts'], detail['last_attempt'], detail['attempt_count']], [attempts, attempts[0], 3]);
  assert.deepEqual(detail['payload'], { type: 'turn.completed', timestamp: at(nowMs - 5), data: { id: 'a', n: 1 } });

  const replayed = await ask('POST', `${path}/deliveries/${told.id}/replay`);
  const { id, replay_of, status, type, attempt_count } = replayed.body;
  assert.deepEqual(
    [replayed.status, replay_of, status, type, attempt_count],
    [202, told.id, 'pending', 'turn.completed', 0],
  );
  const again = await ask('GET', `${path}/deliveries/${String(id)}`);
  assert.deepEqual(again.body['payload'], detail['payload']);
  assert.equal(replayed.headers.get('location'), `/api/v1${path}/deliveries/${String(id)}`);
  isLow = true;
  for (const what of ['test', `deliveries/${told.id}/replay`])
    assert.equal((await ask('POST', `${path}/${what}`)).body['code'], 'storage_full');
  assert.equal((await ask('POST', '/webhooks', { url })).body['code'], 'storage_full');
});

test('a hundred that wait for a webhook are enough: neither a test nor a replay is added by hand', async (t) => {
  const fleet = await startGateway(t, { clock: new FakeClock(nowMs) });
  const ask = askerOf(fleet);
  const webhookId = String((await ask('POST', '/webhooks', { url })).body['id']);
  const pending = (index: number) =>
    deliveryRecord({
      tenant: 'default',
      id: `019f0000-0000-7000-8000-000000000${(0xa00 + index).toString(16)}`,
      target: { kind: 'webhook', id: webhookId },
      status: 'pending',
      createdAt: nowMs,
    });
  for (let index = 0; index < 99; index++) await fleet.records.deliveries.create(pending(index));
  const path = `/webhooks/${webhookId}`;
  const tested = await ask('POST', `${path}/test`);
  assert.equal(tested.status, 202);
  for (const what of ['test', `deliveries/${pending(0).id}/replay`]) {
    const refusal = await ask('POST', `${path}/${what}`);
    assert.deepEqual([...refusalOf(refusal), refusal.body['limit']], [409, 'limit_reached', 100], what);
  }
  const other = String((await ask('POST', '/webhooks', { url })).body['id']);
  assert.equal((await ask('POST', `/webhooks/${other}/test`)).status, 202);
  await fleet.records.deliveries.erase('default', pending(0).id);
  assert.equal((await ask('POST', `${path}/deliveries/${pending(1).id}/replay`)).status, 202);
});

test('deliveries are listed by status, in pages, and only those of the webhook', async (t) => {
  const fleet = await startGateway(t);
  const ask = askerOf(fleet);
  const [a, b] = [
    String((await ask('POST', '/webhooks', { url })).body['id']),
    String((await ask('POST', '/webhooks', { url })).body['id']),
  ];
  const ids: string[] = [];
  for (const [index, status] of (['pending', 'delivered', 'failed', 'delivered'] as const).entries()) {
    const id = `019f0000-0000-7000-8000-0000000000f${index}`;
    const changes = {
      tenant: 'default',
      id,
      status,
      target: { kind: 'webhook', id: a },
      createdAt: nowMs + index,
    } as const;
    await fleet.records.deliveries.create(
      deliveryRecord({ ...changes, ...(status === 'pending' ? {} : { dueAt: null }) }),
    );
    ids.push(id);
  }
  const path = `/webhooks/${a}/deliveries`;
  assert.deepEqual(idsOf(await ask('GET', `${path}?order=asc`)), ids);
  assert.deepEqual(idsOf(await ask('GET', `${path}?status=delivered&order=asc`)), [ids[1], ids[3]]);
  const first = await ask('GET', `${path}?limit=3`);
  assert.deepEqual([idsOf(first), first.body['has_more']], [ids.slice(1).toReversed(), true]);
  assert.deepEqual(idsOf(await ask('GET', `${path}?limit=3&after=${String(first.body['last_id'])}`)), [ids[0]]);
  assert.deepEqual(idsOf(await ask('GET', `/webhooks/${b}/deliveries`)), []);
  for (const what of ['', '/replay']) {
    const method = what === '' ? 'GET' : 'POST';
    const answer = await ask(method, `/webhooks/${b}/deliveries/${ids[0] ?? ''}${what}`);
    assert.deepEqual(refusalOf(answer), [404, 'delivery_not_found']);
  }
  assert.deepEqual(refusalOf(await ask('GET', `${path}?status=lost`)), [400, 'invalid_request', 'status']);
  assert.deepEqual(refusalOf(await ask('GET', `${path}/a.b`)), [400, 'invalid_request', 'delivery_id']);
});

test("another tenant's webhooks and deliveries are not there", async (t) => {
  const fleet = await startGateway(t);
  const { body } = await askerOf(fleet)('POST', '/webhooks', { url });
  const path = `/webhooks/${String(body['id'])}`;
  const tested = await askerOf(fleet)('POST', `${path}/test`);
  const delivery = `${path}/deliveries/${String(tested.body['id'])}`;
  const stranger = askerOf(fleet, 'stranger');
  for (const [method, where, patch] of [
    ['GET', path, undefined],
    ['PATCH', path, { disabled: true }],
    ['DELETE', path, undefined],
    ['POST', `${path}/rotate-secret`, undefined],
    ['POST', `${path}/test`, undefined],
    ['GET', `${path}/deliveries`, undefined],
    ['GET', delivery, undefined],
    ['POST', `${delivery}/replay`, undefined],
  ] as const)
    assert.deepEqual(refusalOf(await stranger(method, where, patch)), [404, 'webhook_not_found'], where);
  assert.deepEqual(idsOf(await stranger('GET', '/webhooks')), []);
  const { secret: _secret, ...webhook } = body;
  assert.deepEqual((await askerOf(fleet)('GET', path)).body, webhook);
});

test('a webhook whose state is written by who delivers is changed all the same, and not for ever', async (t) => {
  const fleet = await startGateway(t);
  const ask = askerOf(fleet);
  const { body } = await ask('POST', '/webhooks', { url, events: noticeTypes });
  const { webhooks } = fleet.records;
  const replace = webhooks.replace.bind(webhooks);
  let losses = 1;
  webhooks.replace = async (next) => (losses-- > 0 ? null : replace(next));
  const path = `/webhooks/${String(body['id'])}`;
  assert.equal((await ask('PATCH', path, { disabled: true })).body['status'], 'disabled');
  losses = 100;
  assert.deepEqual(refusalOf(await ask('POST', `${path}/rotate-secret`)), [409, 'store_conflict']);
});

test('what is told of a turn is not what was asked, and of a long answer the beginning that has room', () => {
  const outputSchema = { type: 'object' };
  const steers = [{ id: 'a', text: 'secret', at: nowMs }];
  const turn = turnRecord({
    status: 'completed',
    prompt: 'secret',
    outputSchema,
    steers,
    endedAt: nowMs,
    finalMessage: 'four',
  });
  const notice = toTurnNotice(turn, nowMs) as Record<string, unknown>;
  assert.deepEqual([notice['object'], notice['stdout'], notice['truncated']], ['turn', 'four', false]);
  for (const name of ['prompt', 'steers', 'output_schema']) assert.ok(!(name in notice), name);
  const long = toTurnNotice({ ...turn, finalMessage: `${'x'.repeat(maxNoticeCharacters - 1)}😀` }, nowMs);
  assert.deepEqual(long, { ...notice, stdout: 'x'.repeat(maxNoticeCharacters - 1), truncated: true });
  const error = { code: 'turn_failed', message: '\u0001'.repeat(1_000_000) };
  for (const character of ['語', '\u0000', '"', '\ud800']) {
    const worst = toTurnNotice({ ...turn, status: 'failed', error, finalMessage: character.repeat(100_000) }, nowMs);
    assert.ok(Buffer.byteLength(JSON.stringify(worst)) < maxNoticeBytes + 1_000);
    assert.equal((worst as { truncated: boolean }).truncated, true);
  }
});
