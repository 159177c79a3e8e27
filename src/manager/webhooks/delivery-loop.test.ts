import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Webhook } from 'standardwebhooks';
import { ServiceError } from '../../core/errors.ts';
import { deliveryPatienceMs, replayedDelivery } from '../../core/webhook.ts';
import { DeliveryLab, labSecret } from '../../testing/delivery-lab.ts';
import { FakeReceiver, type ReceivedDelivery } from '../../testing/fake-receiver.ts';
import { jobRecord, jobSpec } from '../../testing/stored-records.ts';

const minute = 60_000;
const hour = 60 * minute;

const orders = (deliveries: readonly ReceivedDelivery[]): unknown[] => deliveries.map(({ data }) => data['order']);

/** Of each lane, whether its deliveries were accepted in order, and each at least once. */
function complaints(accepted: readonly ReceivedDelivery[], lanes: number, each: number): string[] {
  const found: string[] = [];
  for (let lane = 0; lane < lanes; lane++) {
    const told = accepted
      .filter(({ data }) => data['lane'] === `turn-${lane}`)
      .map(({ data }) => Number(data['order']));
    const firsts = told.filter((order, index) => told.indexOf(order) === index);
    if (firsts.some((order, index) => order !== index + 1)) found.push(`turn-${lane} out of order: ${told.join(' ')}`);
    if (firsts.length !== each) found.push(`turn-${lane}: ${firsts.length} of ${each}`);
  }
  return found;
}

test('the check of order and completeness finds what it is for', () => {
  const told = (order: number): ReceivedDelivery => ({
    id: '',
    path: '',
    headers: {},
    body: '',
    data: { lane: 'turn-0', order },
  });
  assert.deepEqual(complaints([told(1), told(2), told(2)], 1, 2), []);
  assert.equal(complaints([told(2), told(1)], 1, 2).length, 1);
  assert.equal(complaints([told(1)], 1, 2).length, 1);
});

test('a loop that took any delivery of a lane but the first would be found out by that check', async () => {
  const lab = new DeliveryLab();
  const receiver = await FakeReceiver.open();
  await lab.webhook(receiver.url);
  await lab.outbox().put([1, 2, 3].map((order) => lab.notice('turn-0', order)));
  const deliveries: typeof lab.records.deliveries = Object.create(lab.records.deliveries);
  deliveries.listLane = async (tenant, lane) => (await lab.records.deliveries.listLane(tenant, lane, 100)).slice(-1);
  lab.loop({ records: { ...recordsOf(lab), deliveries } }).start();
  await lab.run(3_000);
  assert.match(complaints(receiver.accepted, 1, 3).join(), /out of order: 3 2 1/);
  await lab.stop();
  await receiver.close();
});

test('a notice arrives signed, once, and its delivery says so', async () => {
  const lab = new DeliveryLab();
  // Of the verifier, which looks at the clock on the wall.
  lab.clock.setWallTime(Date.now());
  const receiver = await FakeReceiver.open();
  const hook = await lab.webhook(receiver.url, {
    secrets: [
      { secret: labSecret, endsAt: null },
      { secret: 'whsec_b2xkIG9sZCBvbGQgb2xkIG9sZA==', endsAt: lab.clock.now() + hour },
    ],
  });
  const loop = lab.loop();
  loop.start();
  await lab.quiet();
  await lab.outbox({ onPut: () => loop.poke() }).put([lab.notice('turn-1', 1)]);
  await lab.run(100, { stepMs: 50 });
  const [received, ...others] = receiver.received;
  assert.deepEqual(others, []);
  assert.ok(received);
  const sent = received.headers as Record<string, string>;
  for (const secret of [labSecret, 'whsec_b2xkIG9sZCBvbGQgb2xkIG9sZA=='])
    assert.deepEqual(new Webhook(secret).verify(received.body, sent), JSON.parse(received.body));
  const [delivery] = await lab.deliveries(hook.id);
  assert.equal(sent['webhook-id'], delivery?.id);
  assert.deepEqual(
    [delivery?.status, delivery?.attemptCount, delivery?.attempts[0]?.httpStatus, delivery?.dueAt],
    ['delivered', 1, 204, null],
  );
  await lab.run(10_000);
  assert.equal(receiver.received.length, 1);
  await lab.stop();
  await receiver.close();
});

test('a receiver that fails half the time is told everything at least once, in order per turn', async () => {
  const lab = new DeliveryLab();
  let seed = 7;
  const random = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
  const receiver = await FakeReceiver.open(() => {
    const chance = random();
    if (chance < 0.5) return 204;
    return chance < 0.7 ? 500 : chance < 0.85 ? 'cut' : 302;
  });
  const hook = await lab.webhook(receiver.url);
  const outbox = lab.outbox();
  const lanes = 20;
  const each = 10;
  lab.loop({ random }).start();
  for (let order = 1; order <= each; order++) {
    await outbox.put(Array.from({ length: lanes }, (_, lane) => lab.notice(`turn-${lane}`, order)));
    await lab.run(3_000);
  }
  await lab.run(12 * hour, { stepMs: 30_000 });
  assert.deepEqual(complaints(receiver.accepted, lanes, each), []);
  assert.deepEqual(await lab.deliveries(hook.id, 'pending'), []);
  assert.deepEqual(await lab.deliveries(hook.id, 'failed'), []);
  assert.equal((await lab.records.webhooks.get('acme', hook.id))?.disabled, null);
  assert.ok(receiver.received.length > 1.5 * lanes * each);
  await lab.stop();
  await receiver.close();
});

test('one that hangs holds up nobody else, has few at once, and soon only one', async () => {
  const lab = new DeliveryLab();
  const hanging = await FakeReceiver.open(() => null);
  const prompt = await FakeReceiver.open();
  await lab.webhook(hanging.url);
  const good = await lab.webhook(prompt.url);
  lab.loop().start();
  const outbox = lab.outbox();
  await outbox.put(Array.from({ length: 100 }, (_, lane) => lab.notice(`turn-${lane}`, 1)));
  await lab.run(2_000, { hanging: 8 });
  assert.equal((await lab.deliveries(good.id, 'delivered')).length, 100);
  assert.equal(hanging.openRequests, 8);
  await lab.run(2 * minute, { hanging: 8 });
  hanging.mostOpenRequests = 0;
  const before = hanging.received.length;
  await lab.run(10 * minute, { hanging: 1 });
  assert.equal(hanging.mostOpenRequests, 1);
  assert.ok(hanging.received.length - before <= 12, `${hanging.received.length - before} probes in ten minutes`);
  await outbox.put([lab.notice('turn-new', 1)]);
  await lab.run(2_000, { hanging: 1 });
  // The one that hangs may just not be asked: then the lab takes this one for it. The clock stands still.
  while ((await lab.deliveries(good.id, 'delivered')).length < 101) await setImmediate();
  // Answering again: what waited goes out at once, and what there was no room for with the next sweep.
  hanging.answer = () => 204;
  await lab.run(3 * minute, { hanging: 1 });
  assert.equal(new Set(hanging.accepted.map(({ data }) => data['lane'])).size, 101);
  await lab.stop();
  await Promise.all([hanging.close(), prompt.close()]);
});

test('a receiver that is back after hours is told what it missed, in order', async () => {
  const lab = new DeliveryLab();
  const receiver = await FakeReceiver.open(() => 503);
  const hook = await lab.webhook(receiver.url);
  lab.loop().start();
  const outbox = lab.outbox();
  await outbox.put([1, 2, 3].map((order) => lab.notice('turn-0', order)));
  await lab.run(20 * hour, { stepMs: 20_000 });
  assert.deepEqual([...new Set(orders(receiver.received))], [1]);
  const failing = await lab.records.webhooks.get('acme', hook.id);
  assert.notEqual(failing?.failingSince, null);
  assert.equal(failing?.disabled, null);
  const changes = failing?.revision ?? 0;
  assert.ok(changes <= 3, `written ${changes} times`);
  receiver.answer = () => 204;
  await lab.run(4 * hour, { stepMs: 20_000 });
  assert.deepEqual(orders(receiver.accepted), [1, 2, 3]);
  assert.equal((await lab.records.webhooks.get('acme', hook.id))?.failingSince, null);
  await lab.stop();
  await receiver.close();
});

test('after a day without any arrival a webhook is disabled, and all that waited for it has failed, with the reason', async () => {
  const lab = new DeliveryLab();
  const receiver = await FakeReceiver.open(() => 500);
  const hook = await lab.webhook(receiver.url);
  lab.loop().start();
  const outbox = lab.outbox();
  for (let order = 1; order <= 5; order++)
    await outbox.put(Array.from({ length: 50 }, (_, lane) => lab.notice(`turn-${lane}`, order)));
  await lab.run(23 * hour, { stepMs: minute });
  assert.equal((await lab.records.webhooks.get('acme', hook.id))?.disabled, null);
  await lab.run(2 * hour, { stepMs: minute });
  assert.equal((await lab.records.webhooks.get('acme', hook.id))?.disabled, 'failing');
  const failed = await lab.deliveries(hook.id, 'failed');
  assert.equal(failed.length, 250);
  assert.ok(
    failed.some(({ attempts }) => attempts.at(-1)?.error === 'the webhook was disabled: nothing had arrived for a day'),
  );
  const before = receiver.received.length;
  await outbox.put([lab.notice('turn-0', 9)]);
  await lab.run(hour, { stepMs: minute });
  assert.equal(receiver.received.length, before);
  await lab.stop();
  await receiver.close();
});

test('one delivery that its receiver never takes is given up after a day, the next of its turn goes on, the webhook stays', async () => {
  const lab = new DeliveryLab();
  const receiver = await FakeReceiver.open(({ data }) => (data['order'] === 13 ? 400 : 204));
  const hook = await lab.webhook(receiver.url);
  lab.loop().start();
  const outbox = lab.outbox();
  await outbox.put([lab.notice('turn-0', 13), lab.notice('turn-0', 14)]);
  for (let passed = 0; passed < 25; passed++) {
    await outbox.put([lab.notice(`turn-hourly-${passed}`, 1)]);
    await lab.run(hour, { stepMs: minute });
  }
  const [poison] = await lab.deliveries(hook.id, 'failed');
  assert.equal(JSON.parse(poison?.data ?? '{}').order, 13);
  assert.ok((poison?.endedAt ?? 0) - (poison?.createdAt ?? 0) >= deliveryPatienceMs);
  assert.ok(orders(receiver.accepted).includes(14));
  assert.equal((await lab.records.webhooks.get('acme', hook.id))?.disabled, null);
  await lab.stop();
  await receiver.close();
});

test('410 disables the webhook at once; a job with a receiver of its own is only told no more of that', async () => {
  const lab = new DeliveryLab();
  const receiver = await FakeReceiver.open(() => 410);
  const hook = await lab.webhook(receiver.url);
  const job = jobRecord({ spec: jobSpec({ webhook: { url: receiver.url, secret: labSecret } }) });
  await lab.records.jobs.create(job);
  const outbox = lab.outbox();
  await outbox.put([1, 2].map((order) => lab.notice('turn-0', order)));
  lab.loop().start();
  await lab.run(3_000);
  assert.equal((await lab.records.webhooks.get('acme', hook.id))?.disabled, 'gone');
  assert.deepEqual(
    (await lab.deliveries(hook.id)).map(({ attemptCount, attempts, status }) => [
      status,
      attemptCount,
      attempts.at(-1)?.error,
    ]),
    [
      ['failed', 1, 'the receiver refused it'],
      ['failed', 0, 'the webhook was disabled: it answered 410'],
    ],
  );
  await outbox.put([lab.notice(job.id, 1, { type: 'job.completed' })]);
  await lab.run(3_000);
  assert.deepEqual(
    (await lab.deliveries(job.id)).map(({ status }) => status),
    ['failed'],
  );
  assert.equal(receiver.received.length, 2);
  await lab.stop();
  await receiver.close();
});

test('a webhook or job that was removed, or disabled by its tenant, is sent nothing more, and its deliveries say why', async () => {
  const lab = new DeliveryLab();
  const receiver = await FakeReceiver.open();
  const removed = await lab.webhook(receiver.url);
  const disabled = await lab.webhook(receiver.url);
  const job = jobRecord({ spec: jobSpec({ webhook: { url: receiver.url, secret: labSecret } }) });
  await lab.records.jobs.create(job);
  await lab.outbox({ topic: true }).put([lab.notice(job.id, 1, { type: 'job.completed' })]);
  await lab.records.webhooks.erase('acme', removed.id);
  await lab.records.webhooks.replace({ ...disabled, disabled: 'user' });
  await lab.records.jobs.erase('acme', job.id);
  lab.loop().start();
  await lab.run(5_000);
  const reasons = [removed.id, disabled.id, job.id, 'topic'].map(
    async (id) => (await lab.deliveries(id, 'failed'))[0]?.attempts[0]?.error,
  );
  assert.deepEqual(await Promise.all(reasons), [
    'the webhook was removed',
    'the webhook was disabled',
    'the job was removed',
    'there is no topic any more',
  ]);
  assert.equal(receiver.connections, 0);
  await lab.stop();
  await receiver.close();
});

test('a receiver that says when to come back is not asked before', async () => {
  const lab = new DeliveryLab();
  const receiver = await FakeReceiver.open(() => (response) => response.writeHead(429, { 'retry-after': '600' }).end());
  await lab.webhook(receiver.url);
  await lab.outbox().put([lab.notice('turn-0', 1), lab.notice('turn-1', 1)]);
  lab.loop().start();
  await lab.run(590_000, { stepMs: 5_000 });
  assert.equal(receiver.received.length, 2);
  receiver.answer = () => 204;
  await lab.run(20_000);
  assert.equal(receiver.accepted.length, 2);
  await lab.stop();
  await receiver.close();
});

test('a process that dies between sending and recording has it sent again, by the next', async () => {
  const lab = new DeliveryLab();
  const receiver = await FakeReceiver.open();
  const hook = await lab.webhook(receiver.url);
  await lab.outbox().put([1, 2].map((order) => lab.notice('turn-0', order)));
  const deliveries: typeof lab.records.deliveries = Object.create(lab.records.deliveries);
  // Never answered, as by a process that is no more.
  deliveries.replace = () => new Promise(() => {});
  lab.loop({ records: { ...recordsOf(lab), deliveries } }).start();
  await lab.run(3_000);
  assert.deepEqual(orders(receiver.received), [1]);
  lab.loop().start();
  await lab.run(3_000);
  assert.deepEqual(orders(receiver.received), [1, 1, 2]);
  assert.equal((await lab.deliveries(hook.id, 'delivered')).length, 2);
  await receiver.close();
});

test('a store that is away when an arrival is to be recorded is waited for: it is not sent again', async () => {
  const lab = new DeliveryLab();
  const receiver = await FakeReceiver.open();
  const hook = await lab.webhook(receiver.url);
  await lab.outbox().put([lab.notice('turn-0', 1)]);
  const deliveries: typeof lab.records.deliveries = Object.create(lab.records.deliveries);
  let failures = 4;
  deliveries.replace = async (next) => {
    if (failures-- > 0) throw new ServiceError('store_unavailable');
    return await lab.records.deliveries.replace(next);
  };
  lab.loop({ records: { ...recordsOf(lab), deliveries } }).start();
  await lab.run(20_000);
  assert.equal(receiver.received.length, 1);
  assert.equal((await lab.deliveries(hook.id, 'delivered')).length, 1);
  await lab.stop();
  await receiver.close();
});

test('two loops at once repeat at worst: all arrives, in order, and no arrival is recorded as a failure', async () => {
  const lab = new DeliveryLab();
  let seed = 11;
  const random = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
  const receiver = await FakeReceiver.open(() => (random() < 0.7 ? 204 : 500));
  const hook = await lab.webhook(receiver.url);
  const lanes = 10;
  const each = 6;
  const outbox = lab.outbox();
  for (let order = 1; order <= each; order++)
    await outbox.put(Array.from({ length: lanes }, (_, lane) => lab.notice(`turn-${lane}`, order)));
  lab.loop({ random }).start();
  lab.loop({ random }).start();
  await lab.run(2 * hour, { stepMs: 10_000 });
  assert.deepEqual(complaints(receiver.accepted, lanes, each), []);
  assert.equal((await lab.deliveries(hook.id, 'delivered')).length, lanes * each);
  assert.equal((await lab.deliveries(hook.id)).length, lanes * each);
  await lab.stop();
  await receiver.close();
});

test('who stops lets what is under way end, then cuts it', async () => {
  const lab = new DeliveryLab();
  const receiver = await FakeReceiver.open(() => null);
  const hook = await lab.webhook(receiver.url);
  await lab.outbox().put([lab.notice('turn-0', 1)]);
  const loop = lab.loop();
  loop.start();
  await lab.run(3_000, { hanging: 1 });
  assert.equal(receiver.received.length, 1);
  let isStopped = false;
  const stopping = loop.stop().then(() => {
    isStopped = true;
  });
  assert.equal(loop.stop(), loop.stop());
  await lab.clock.advanceAsync(4_900);
  assert.equal(isStopped, false);
  await lab.clock.advanceAsync(200);
  await stopping;
  assert.equal(lab.clock.pendingTimers, 0);
  // Whether it had arrived is not known: it stays as it was, for whoever comes next.
  const [delivery] = await lab.deliveries(hook.id);
  assert.deepEqual([delivery?.status, delivery?.attemptCount], ['pending', 0]);
  loop.poke();
  await lab.clock.advanceAsync(60_000);
  assert.equal(receiver.received.length, 1);
  await receiver.close();
});

test('a replay is sent like any other, beside what waits', async () => {
  const lab = new DeliveryLab();
  const receiver = await FakeReceiver.open();
  const hook = await lab.webhook(receiver.url);
  await lab.outbox().put([lab.notice('turn-0', 1)]);
  lab.loop().start();
  await lab.run(2_000);
  const [first] = await lab.deliveries(hook.id);
  assert.ok(first);
  const id = '019f0000-0000-7000-8000-00000000ffff';
  await lab.records.deliveries.create(replayedDelivery(first, id, lab.clock.now()));
  await lab.run(2_000);
  const [one, two] = receiver.accepted;
  assert.deepEqual([one?.id, two?.id], [first.id, id]);
  assert.equal(two?.body, one?.body);
  await lab.stop();
  await receiver.close();
});

test('the topic is given everything with its attributes, again where it was away, in order per turn', async () => {
  const lab = new DeliveryLab();
  let failures = 3;
  const publish = async (message: (typeof lab.published)[number]): Promise<void> => {
    await setImmediate();
    if (failures-- > 0) throw new ServiceError('store_unavailable');
    lab.published.push(message);
  };
  const outbox = lab.outbox({ topic: true });
  await outbox.put([1, 2, 3].map((order) => lab.notice('turn-0', order)));
  lab.loop({ topic: { publish } }).start();
  await lab.run(10 * minute);
  assert.deepEqual(
    lab.published.map(({ data, orderingKey }) => [JSON.parse(new TextDecoder().decode(data)).data.order, orderingKey]),
    [1, 2, 3].map((order) => [order, 'acme/topic/turn-0']),
  );
  assert.equal((await lab.deliveries('topic', 'delivered')).length, 3);
  await lab.stop();
});

test('deliveries that ended are erased when they have been kept long enough, others stay', async () => {
  const lab = new DeliveryLab();
  const receiver = await FakeReceiver.open();
  const hook = await lab.webhook(receiver.url);
  await lab.outbox().put([lab.notice('turn-0', 1)]);
  const retainMs = 2 * hour;
  const settings = { timeoutMs: 15_000, retainMs, allowHttp: true, allowPrivate: ['127.0.0.0/8'] };
  lab.loop({ settings }).start();
  await lab.run(hour, { stepMs: minute });
  await lab.outbox().put([lab.notice('turn-0', 2)]);
  await lab.run(hour + 2 * minute, { stepMs: minute });
  assert.deepEqual(
    (await lab.deliveries(hook.id)).map(({ order }) => order),
    [2],
  );
  await lab.stop();
  await receiver.close();
});

test('clearing many away, each of them slowly, holds up no delivery, and goes on until none is left', async () => {
  const lab = new DeliveryLab();
  const receiver = await FakeReceiver.open();
  const hook = await lab.webhook(receiver.url);
  const outbox = lab.outbox();
  const old = 250;
  await outbox.put(Array.from({ length: old }, (_, lane) => lab.notice(`turn-${lane}`, 1)));
  for (const delivery of await lab.deliveries(hook.id))
    await lab.records.deliveries.replace({ ...delivery, status: 'delivered', dueAt: null, endedAt: lab.clock.now() });
  const deliveries: typeof lab.records.deliveries = Object.create(lab.records.deliveries);
  let atOnce = 0;
  let mostAtOnce = 0;
  deliveries.erase = async (tenant, id) => {
    mostAtOnce = Math.max(mostAtOnce, ++atOnce);
    await new Promise<void>((resolve) => lab.clock.after(500, resolve));
    atOnce--;
    await lab.records.deliveries.erase(tenant, id);
  };
  await lab.run(7 * 24 * hour + minute, { stepMs: 24 * hour });
  lab.loop({ records: { ...recordsOf(lab), deliveries } }).start();
  await outbox.put([lab.notice('turn-new', 1)]);
  await lab.run(1_000, { stepMs: 100 });
  assert.equal(receiver.received.length, 1);
  assert.ok((await lab.deliveries(hook.id)).length > 200);
  await lab.run(15_000, { stepMs: 100 });
  assert.equal(mostAtOnce, 16);
  assert.equal((await lab.deliveries(hook.id)).length, 1);
  await lab.stop();
  await receiver.close();
});

test("a tenant whose receivers all hang, jobs' own among them, takes its part of the places and no more", async () => {
  const lab = new DeliveryLab();
  const hanging = await FakeReceiver.open(() => null);
  const prompt = await FakeReceiver.open();
  const outbox = lab.outbox();
  for (let number = 0; number < 20; number++) {
    const id = `019f0000-0000-7000-8000-${(0xa00 + number).toString(16).padStart(12, '0')}`;
    await lab.records.jobs.create(
      jobRecord({ id, spec: jobSpec({ webhook: { url: hanging.url, secret: labSecret } }) }),
    );
    await outbox.put([lab.notice(id, 1, { type: 'job.completed' })]);
  }
  lab.loop().start();
  await lab.run(3_000, { hanging: 8 });
  assert.equal(hanging.openRequests, 8, 'one place for all of them');
  for (let number = 0; number < 3; number++) await lab.webhook(hanging.url);
  await outbox.put(Array.from({ length: 20 }, (_, lane) => lab.notice(`turn-${lane}`, 1)));
  await lab.run(3_000, { hanging: 16 });
  assert.equal(hanging.openRequests, 16);
  const other = await lab.webhook(prompt.url, { tenant: 'zeta' });
  await outbox.put([lab.notice('turn-1', 1, { tenant: 'zeta' })]);
  await lab.run(2_000, { hanging: 16 });
  assert.deepEqual([prompt.accepted.length, other.tenant], [1, 'zeta']);
  await lab.stop();
  await Promise.all([hanging.close(), prompt.close()]);
});

function recordsOf({ records }: DeliveryLab): Pick<typeof records, 'webhooks' | 'deliveries' | 'jobs'> {
  return { webhooks: records.webhooks, deliveries: records.deliveries, jobs: records.jobs };
}
