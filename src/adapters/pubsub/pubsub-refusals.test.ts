// Each kind of error that Pub/Sub has, at each call: typed, within its deadline, and never the end of the process.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually, silentLogger, systemClock } from '../../testing/pubsub-consumers.ts';
import { RefusingPubsub } from '../../testing/pubsub-refusing.ts';
import { checkPubsub } from './check-pubsub.ts';
import { openMessageSource } from './open-message-source.ts';
import { answeredIds } from './pubsub-errors.ts';
import { PubsubEventTopic } from './pubsub-event-topic.ts';
import { PubsubSubscription } from './pubsub-subscription.ts';

process.env['METADATA_SERVER_DETECTION'] = 'none';

const kinds: readonly [number, string, 'again' | 'lost'][] = [
  [1, 'cancelled', 'again'],
  [2, 'unknown', 'again'],
  [3, 'refused', 'lost'],
  [4, 'timeout', 'again'],
  [5, 'not_found', 'lost'],
  [7, 'permission_denied', 'lost'],
  [8, 'quota_exceeded', 'again'],
  [9, 'refused', 'lost'],
  [10, 'aborted', 'again'],
  [13, 'internal', 'again'],
  [14, 'unreachable', 'again'],
  [16, 'unauthenticated', 'lost'],
];

for (const [code, reason, answered] of kinds) {
  test(`status ${code} is ${reason}, at each call`, async () => {
    await using server = await RefusingPubsub.start(code);
    const access = { project: 'p', endpoint: server.endpoint };
    const source = openMessageSource({
      ...{ ...access, subscription: 'reader', deadLetterTopic: null, maxMessages: 1, timeoutMs: 1_000 },
      ...{ clock: systemClock, logger: silentLogger },
    });
    source.start(async () => ({ outcome: 'done' }));
    await eventually(
      () => server.calls.filter((path) => path.endsWith('/StreamingPull')).length > 1,
      'it is tried again',
    );
    assert.deepEqual(source.state(), { state: 'unavailable', reason });
    await source.stop();

    const topic = new PubsubEventTopic({ ...access, topic: 'events', clock: systemClock, timeoutMs: 600 });
    for (const orderingKey of ['', 'k', 'k']) {
      const startedMs = performance.now();
      await assert.rejects(topic.publish({ data: Buffer.from('x'), attributes: {}, orderingKey }), (error) => {
        const { code: said, details } = error as { code: string; details: { reason: string } };
        assert.equal(said, 'store_unavailable');
        // What is worth repeating is repeated until its time is up.
        assert.ok([reason, 'timeout'].includes(details.reason), details.reason);
        return true;
      });
      assert.ok(performance.now() - startedMs < 1_500);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await topic.close();

    const calls = new PubsubSubscription({
      ...{ ...access, subscription: 'reader', clock: systemClock, leaseMs: 10_000, callTimeoutMs: 1_000 },
    });
    const expected = { again: [], lost: [], [answered]: ['a', 'b'] };
    assert.deepEqual(await calls.acknowledge(['a', 'b']), expected);
    assert.deepEqual(await calls.extend(['a', 'b'], 10), expected);
    await calls.close();
  });
}

test('the check names the role that is missing, and says when it cannot know', async () => {
  const findings = async (code: number) => {
    await using server = await RefusingPubsub.start(code);
    const checked = await checkPubsub({
      ...{ project: 'p', endpoint: server.endpoint, subscription: 'jobs', topics: ['events'] },
      ...{ hasDeadLetterTopic: true, timeoutMs: 1_000 },
    });
    return checked.map(({ advice, status }) => `${status}: ${advice}`);
  };
  assert.deepEqual(await findings(7), [
    'fail: grant roles/pubsub.subscriber on it',
    'fail: grant roles/pubsub.publisher on it',
  ]);
  assert.deepEqual(await findings(12), [
    'warn: grant roles/pubsub.viewer on it to have it checked',
    'warn: grant roles/pubsub.viewer on it to have it checked',
  ]);
  assert.match((await findings(16)).join('\n'), /Application Default Credentials/);
});

test('with exactly-once delivery, each acknowledgement has its own outcome', () => {
  const error = Object.assign(new Error('partly'), {
    code: 9,
    errorInfoMetadata: { a: 'PERMANENT_FAILURE_INVALID_ACK_ID', b: 'TRANSIENT_FAILURE_UNORDERED_ACK_ID' },
  });
  assert.deepEqual(answeredIds(['a', 'b', 'c'], error), { again: ['b'], lost: ['a'] });
});
