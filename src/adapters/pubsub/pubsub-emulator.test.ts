// What the real client and emulator do when there is too much, nothing, or something wrong.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { EventTopic, IncomingMessage, MessageAnswer } from '../../contracts/message-source.ts';
import { ServiceError } from '../../core/errors.ts';
import {
  accessTo,
  consumerOf,
  eventually,
  publishAll,
  shortestLeaseMs,
  silentLogger,
  systemClock,
  topicOf,
} from '../../testing/pubsub-consumers.ts';
import { isPubsubInstalled, missingPubsub, PubsubEmulator } from '../../testing/pubsub-emulator.ts';
import { checkPubsub } from './check-pubsub.ts';
import { openMessageSource } from './open-message-source.ts';

const skip = isPubsubInstalled() ? false : missingPubsub;

describe('a subscription is read within bounds', { skip }, () => {
  let emulator: PubsubEmulator;
  let names = 0;

  before(async () => {
    emulator = (await PubsubEmulator.start()) ?? assert.fail(missingPubsub);
  });
  after(() => emulator.stop());

  /** A topic and a subscription of names of their own. */
  async function made(options: Parameters<PubsubEmulator['createSubscription']>[2] = {}) {
    names += 1;
    const [topic, subscription] = [`topic-${names}`, `reader-${names}`];
    await emulator.createTopic(topic);
    await emulator.createSubscription(topic, subscription, options);
    return { topic, subscription };
  }

  /** Everything that comes through that subscription from now on. */
  function reading(subscription: string): { seen: IncomingMessage[]; stop(): Promise<void> } {
    const seen: IncomingMessage[] = [];
    const { source } = consumerOf(emulator, subscription);
    source.start(async (message) => {
      seen.push(message);
      return { outcome: 'done' };
    });
    return { seen, stop: () => source.stop() };
  }

  async function publish(topic: string, messages: Parameters<typeof publishAll>[1]): Promise<void> {
    const opened = topicOf(emulator, topic);
    await publishAll(opened, messages);
    await opened.close();
  }

  test('a message comes as it was published', async () => {
    const { subscription, topic } = await made({ enableMessageOrdering: true });
    await publish(topic, [{ body: 'x', attributes: { a: 'b' }, orderingKey: 'k' }]);
    const { seen, stop } = reading(subscription);
    await eventually(() => seen.length === 1, 'it came');
    const [{ publishedAt, ...message } = assert.fail()] = seen;
    assert.ok(Math.abs(publishedAt - Date.now()) < 60_000);
    assert.deepEqual(
      { ...message, data: Buffer.from(message.data).toString(), id: '' },
      { id: '', data: 'x', attributes: { a: 'b' }, orderingKey: 'k', deliveryAttempt: 0 },
    );
    await stop();
  });

  for (const [what, answer] of [
    ['hangs', () => new Promise<MessageAnswer>(() => {})],
    ['takes nothing', async () => ({ outcome: 'later' as const })],
  ] as const) {
    test(`a handler that ${what} has no more in hand than it may, and memory stays bounded`, async () => {
      const { subscription, topic } = await made();
      const distinct = new Set<string>();
      const { source } = consumerOf(emulator, subscription, { maxMessages: 5, stopTimeoutMs: 100 });
      source.start((message) => {
        distinct.add(message.id);
        return answer();
      });
      await eventually(() => source.state().state === 'reading', 'it reads');
      const body = 'x'.repeat(100_000);
      globalThis.gc?.();
      const beforeBytes = process.memoryUsage().rss;
      for (let round = 0; round < 10; round += 1) await publish(topic, Array(40).fill({ body }));
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      assert.equal(distinct.size, 5);
      // 40 MB were published.
      assert.ok(process.memoryUsage().rss - beforeBytes < 150e6, 'memory');
      await source.stop();

      // The control: another one gets all of them.
      const { seen, stop } = reading(subscription);
      await eventually(() => new Set(seen.map(({ id }) => id)).size === 400, 'all of them', 3 * shortestLeaseMs);
      await stop();
    });
  }

  test('a handler that takes longer than the lease keeps its message to itself', async () => {
    const { subscription, topic } = await made();
    let calls = 0;
    const { source } = consumerOf(emulator, subscription);
    source.start(async () => {
      calls += 1;
      await new Promise((resolve) => setTimeout(resolve, shortestLeaseMs + 4_000));
      return { outcome: 'done' };
    });
    await publish(topic, [{ body: 'x' }]);
    await new Promise((resolve) => setTimeout(resolve, shortestLeaseMs + 6_000));
    assert.equal(calls, 1);
    await source.stop();
  });

  test('what is not settled at a stop is given back, and another reader has it at once', async () => {
    const { subscription, topic } = await made();
    const { source } = consumerOf(emulator, subscription, { stopTimeoutMs: 50 });
    let calls = 0;
    source.start(() => {
      calls += 1;
      return new Promise(() => {});
    });
    await publish(topic, [{ body: 'x' }]);
    await eventually(() => calls === 1, 'it is in hand');
    await source.stop();
    assert.deepEqual(source.state(), { state: 'stopped' });
    const { seen, stop } = reading(subscription);
    await eventually(() => seen.length === 1, 'the other has it', shortestLeaseMs / 2);
    await stop();
  });

  test('what was acknowledged on a subscription with exactly-once delivery never comes again', async () => {
    const { subscription, topic } = await made({ enableExactlyOnceDelivery: true });
    await publish(topic, [{ body: 'x' }, { body: 'y' }]);
    const first = reading(subscription);
    await eventually(() => first.seen.length === 2, 'both came');
    await first.stop();
    const second = reading(subscription);
    await new Promise((resolve) => setTimeout(resolve, shortestLeaseMs + 2_000));
    assert.deepEqual(second.seen, []);
    await second.stop();
  });

  test('poison is published to the dead-letter topic with all that it was and why, and never comes again', async () => {
    const { subscription, topic } = await made();
    const dead = await made({ enableMessageOrdering: true });
    await publish(topic, [{ body: 'bad', attributes: { a: 'b' } }, { body: 'good' }]);
    const source = openMessageSource({
      ...accessTo(emulator),
      ...{ subscription: `projects/${emulator.project}/subscriptions/${subscription}`, deadLetterTopic: dead.topic },
      ...{ maxMessages: 10, timeoutMs: 5_000, clock: systemClock, logger: silentLogger },
    });
    const answered: string[] = [];
    let poisonId = '';
    source.start(async (message) => {
      const body = Buffer.from(message.data).toString();
      answered.push(body);
      if (body === 'good') return { outcome: 'done' };
      poisonId = message.id;
      return { outcome: 'poison', reason: 'invalid_request: prompt is missing' };
    });
    const { seen, stop } = reading(dead.subscription);
    await eventually(() => seen.length === 1 && answered.length === 2, 'it was put aside');
    await source.stop();
    await stop();
    const [put = assert.fail()] = seen;
    assert.equal(Buffer.from(put.data).toString(), 'bad');
    const { CodexFleetDeadLetterSourceTopicPublishTime: at, ...attributes } = put.attributes;
    assert.match(at ?? '', /^20\d\d-.*Z$/);
    assert.deepEqual(attributes, {
      a: 'b',
      CodexFleetDeadLetterReason: 'invalid_request: prompt is missing',
      CodexFleetDeadLetterSourceMessageId: poisonId,
      CodexFleetDeadLetterSourceSubscription: `projects/${emulator.project}/subscriptions/${subscription}`,
      CodexFleetDeadLetterSourceDeliveryCount: '0',
    });
    assert.deepEqual(answered.toSorted(), ['bad', 'good']);
    const again = reading(subscription);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    assert.deepEqual(again.seen, []);
    await again.stop();
  });

  test('without a dead-letter topic of ours, poison ends where the policy of the subscription sends it', async () => {
    const { topic } = await made();
    const dead = await made();
    await emulator.createSubscriptionWithPolicy(topic, 'with-policy', dead.topic);
    const { source } = consumerOf(emulator, 'with-policy');
    const attempts: number[] = [];
    source.start(async ({ deliveryAttempt }) => {
      attempts.push(deliveryAttempt);
      return { outcome: 'poison', reason: 'never' };
    });
    await publish(topic, [{ body: 'bad' }]);
    const { seen, stop } = reading(dead.subscription);
    await eventually(() => seen.length === 1, 'it was moved', 40_000);
    assert.equal(Buffer.from(seen[0]?.data ?? []).toString(), 'bad');
    assert.deepEqual(attempts, [1, 2, 3, 4, 5]);
    await source.stop();
    await stop();
  });

  test('poison that cannot be put aside stays in hand until it can, and is asked about once', async () => {
    const { subscription, topic } = await made();
    const published: string[] = [];
    let failures = 2;
    const flaky: EventTopic = {
      publish: async ({ attributes }) => {
        failures -= 1;
        if (failures >= 0) throw new ServiceError('store_unavailable');
        published.push(attributes['CodexFleetDeadLetterReason'] ?? '');
      },
      close: async () => {},
    };
    const { source } = consumerOf(emulator, subscription, { deadLetters: flaky });
    let calls = 0;
    source.start(async () => {
      calls += 1;
      return { outcome: 'poison', reason: 'never' };
    });
    await publish(topic, [{ body: 'bad' }]);
    await eventually(() => published.length === 1, 'it was put aside');
    assert.equal(calls, 1);
    await source.stop();
  });

  test('messages of one ordering key arrive in the order in which publish was called', async () => {
    const { subscription, topic } = await made({ enableMessageOrdering: true });
    const bodies = [...Array(200).keys()].map(String);
    await publish(
      topic,
      bodies.map((body) => ({ body, orderingKey: 'k' })),
    );
    const { seen, stop } = reading(subscription);
    await eventually(() => seen.length === 200, 'all came');
    assert.deepEqual(
      seen.map(({ data }) => Buffer.from(data).toString()),
      bodies,
    );
    await stop();
  });

  test('a message larger than Pub/Sub takes is refused at once', async () => {
    const { topic } = await made();
    const opened = topicOf(emulator, topic);
    await assert.rejects(publishAll(opened, [{ body: 'x'.repeat(10_000_000) }]), { code: 'payload_too_large' });
    await opened.close();
    await assert.rejects(publishAll(opened, [{ body: 'x' }]), { code: 'store_unavailable' });
  });

  test('the check names what is missing and what is set up badly', async () => {
    const { subscription, topic } = await made();
    const check = (changes: object) =>
      checkPubsub({
        ...accessTo(emulator),
        subscription,
        topics: [topic],
        hasDeadLetterTopic: true,
        timeoutMs: 5_000,
        ...changes,
      });
    const said = (findings: Awaited<ReturnType<typeof check>>) =>
      findings.map(({ message, status }) => `${status} ${message}`);
    assert.deepEqual(said(await check({})), [
      `ok subscription ${subscription} can be read`,
      `warn subscription ${subscription} has no retry policy: what is given back comes again at once`,
      `ok topic ${topic} can be published to`,
    ]);
    assert.deepEqual(said(await check({ subscription: 'absent', topics: ['gone'] })), [
      'fail subscription absent does not exist',
      'fail topic gone does not exist',
    ]);
    const [, noPolicy] = said(await check({ hasDeadLetterTopic: false }));
    assert.match(noPolicy ?? '', /^warn .* has no dead-letter policy/);
    await emulator.createSubscriptionWithPolicy(topic, 'checked', topic);
    assert.match(
      said(await check({ subscription: 'checked', topics: [] })).join('\n'),
      /gives a message up after 5 deliveries/,
    );
    assert.match(said(await check({ endpoint: '127.0.0.1:1', topics: [] })).join('\n'), /^fail .*: unreachable$/);
  });
});
