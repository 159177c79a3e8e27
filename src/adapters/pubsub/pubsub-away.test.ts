// Pub/Sub absent, killed, paused and back again: the real client and emulator.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createLogger, type Logger } from '../../observability/logger.ts';
import { consumerOf, eventually, publishAll, topicOf } from '../../testing/pubsub-consumers.ts';
import { isPubsubInstalled, missingPubsub, PubsubEmulator } from '../../testing/pubsub-emulator.ts';

const skip = isPubsubInstalled() ? false : missingPubsub;

describe('Pub/Sub that is away is waited for', { skip }, () => {
  /** Log lines by their event. */
  function recorded(): { logger: Logger; eventsOf(event: string): string[] } {
    const lines: Record<string, unknown>[] = [];
    const destination = { write: (line: string) => void lines.push(JSON.parse(line)) };
    const logger = createLogger({ level: 'debug', role: 'test', destination });
    return {
      logger,
      eventsOf: (event) => lines.filter((line) => line['event'] === event).map(({ reason }) => String(reason)),
    };
  }

  test('a subscription that does not exist is said once, and read as soon as it does', async () => {
    await using emulator = (await PubsubEmulator.start()) ?? assert.fail(missingPubsub);
    const { eventsOf, logger } = recorded();
    const { source } = consumerOf(emulator, 'late', { logger });
    let seen = 0;
    source.start(async () => {
      seen += 1;
      return { outcome: 'done' };
    });
    await eventually(() => JSON.stringify(source.state()).includes('not_found'), 'it says so');
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    assert.deepEqual(eventsOf('message_source_unavailable'), ['not_found']);
    await emulator.createTopic('jobs');
    await emulator.createSubscription('jobs', 'late');
    await eventually(() => source.state().state === 'reading', 'it reads');
    const topic = topicOf(emulator, 'jobs');
    await publishAll(topic, [{ body: 'x' }]);
    await eventually(() => seen === 1, 'it came');
    assert.equal(eventsOf('message_source_reading').length, 1);
    await topic.close();
    await source.stop();
  });

  test('an emulator that is killed and comes back is read again, and publishing fails typed and then goes on, of one key too', async () => {
    await using emulator = (await PubsubEmulator.start()) ?? assert.fail(missingPubsub);
    const make = async () => {
      await emulator.createTopic('jobs');
      await emulator.createSubscription('jobs', 'reader', { enableMessageOrdering: true });
    };
    await make();
    const { eventsOf, logger } = recorded();
    const { source } = consumerOf(emulator, 'reader', { logger });
    const seen: string[] = [];
    source.start(async ({ data }) => {
      seen.push(Buffer.from(data).toString());
      return { outcome: 'done' };
    });
    const topic = topicOf(emulator, 'jobs', 1_500);
    await publishAll(topic, [{ body: 'one', orderingKey: 'k' }]);
    await eventually(() => seen.length === 1, 'the first came');

    await emulator.kill9();
    const startedMs = performance.now();
    const failures = await Promise.allSettled(
      ['two', 'three'].map((body) => publishAll(topic, [{ body, orderingKey: 'k' }])),
    );
    assert.ok(performance.now() - startedMs < 4_000, 'within the deadline');
    for (const failure of failures) {
      assert.ok(failure.status === 'rejected' && failure.reason.code === 'store_unavailable', JSON.stringify(failure));
    }
    await eventually(() => JSON.stringify(source.state()).includes('unreachable'), 'it says so');

    // It keeps nothing: what was there is gone with it, and that is said as well.
    await emulator.startAgain();
    await eventually(
      () => JSON.stringify(source.state()).includes('not_found'),
      'it says that the subscription is gone',
    );
    await assert.rejects(publishAll(topic, [{ body: 'lost', orderingKey: 'k' }]), {
      code: 'store_unavailable',
      details: { store: 'pubsub', reason: 'not_found' },
    });
    await make();
    await eventually(() => source.state().state === 'reading', 'it reads');
    await publishAll(
      topic,
      ['two', 'three'].map((body) => ({ body, orderingKey: 'k' })),
    );
    await eventually(() => seen.length === 3, 'the others came');
    assert.deepEqual(seen, ['one', 'two', 'three']);
    assert.deepEqual(eventsOf('message_source_unavailable'), ['unreachable', 'not_found']);
    await topic.close();
    await source.stop();
  });

  test('one that is paused fails publishing within its deadline, and nothing is lost when it goes on', async () => {
    await using emulator = (await PubsubEmulator.start()) ?? assert.fail(missingPubsub);
    await emulator.createTopic('jobs');
    await emulator.createSubscription('jobs', 'reader');
    const topic = topicOf(emulator, 'jobs', 1_000);
    await publishAll(topic, [{ body: 'one' }]);
    emulator.pause();
    const startedMs = performance.now();
    await assert.rejects(publishAll(topic, [{ body: 'two' }]), {
      code: 'store_unavailable',
      details: { store: 'pubsub', reason: 'timeout' },
    });
    assert.ok(performance.now() - startedMs < 3_000);
    emulator.resume();
    const { source } = consumerOf(emulator, 'reader');
    const seen = new Set<string>();
    source.start(async ({ data }) => {
      seen.add(Buffer.from(data).toString());
      return { outcome: 'done' };
    });
    await publishAll(topic, [{ body: 'three' }]);
    await eventually(() => seen.has('one') && seen.has('three'), 'those that were acknowledged came');
    await source.stop();
    await topic.close();
  });
});
