// What a killed reader leaves behind at the Pub/Sub emulator, with the door before it and without.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FaultProxy } from './faults/fault-proxy.ts';
import { consumerOf, eventually, publishAll, topicOf } from './pubsub-consumers.ts';
import { isPubsubInstalled, missingPubsub, PubsubEmulator } from './pubsub-emulator.ts';

const skip = isPubsubInstalled() ? false : missingPubsub;
const keys = Array.from({ length: 40 }, (_, number) => `key ${number}`);
/** The shortest lease, with some room: for so long nobody else has what a killed reader had in hand. */
const againMs = 15_000;

test('what a killed reader had in hand and what it would have read comes to the one that is left', {
  skip,
}, async () => {
  await using emulator = (await PubsubEmulator.start()) ?? assert.fail(missingPubsub);
  const { after, before } = await readWhileOneIsKilled(emulator, emulator.endpoint);
  assert.deepEqual([before.size, after.size], [keys.length, keys.length]);
});

test('the control: the bare emulator keeps keys for a killed reader (where this fails, the door can go)', {
  skip,
}, async () => {
  await using emulator = (await PubsubEmulator.start()) ?? assert.fail(missingPubsub);
  const { after, before } = await readWhileOneIsKilled(emulator, emulator.bareEndpoint);
  assert.ok(before.size < keys.length, `${before.size} of those that it had in hand or was not given`);
  assert.ok(after.size < keys.length, `${after.size} of those that came later`);
});

/** Which keys came to the one that is left: of messages from before the other was killed, and from after it. */
async function readWhileOneIsKilled(emulator: PubsubEmulator, endpoint: string) {
  await emulator.createTopic('jobs');
  await emulator.createSubscription('jobs', 'reader', { enableMessageOrdering: true });
  const { project } = emulator;
  const [host = '', port] = endpoint.split(':');
  // As a process that dies: its connections end, and nothing is said before.
  const wire = await FaultProxy.start({ target: () => ({ host, port: Number(port) }), plan: () => ({}) });
  const killed = consumerOf({ project, endpoint: wire.url.replace('http://', '') }, 'reader', { stopTimeoutMs: 50 });
  const left = consumerOf({ project, endpoint }, 'reader');
  const topic = topicOf(emulator, 'jobs');
  const held = new Set<string>();
  const before = new Set<string>();
  const after = new Set<string>();
  killed.source.start(({ orderingKey }) => {
    held.add(orderingKey);
    return new Promise(() => {});
  });
  left.source.start(async ({ data, orderingKey }) => {
    (Buffer.from(data).toString() === 'before' ? before : after).add(orderingKey);
    return { outcome: 'done' };
  });
  try {
    await eventually(() => [killed, left].every(({ source }) => source.state().state === 'reading'), 'both read');
    await publishAll(
      topic,
      keys.map((orderingKey) => ({ body: 'before', orderingKey })),
    );
    await eventually(() => held.size + before.size === keys.length, 'all are in hand');
    assert.ok(held.size > 0, 'the one that is killed has some');
    wire.cutAll('fin');
    wire.refuse();
    await killed.kill();
    await publishAll(
      topic,
      keys.map((orderingKey) => ({ body: 'after', orderingKey })),
    );
    const haveAllCome = () => before.size + after.size === 2 * keys.length;
    // Who called says what should have come.
    await eventually(haveAllCome, 'all came', againMs).catch(() => {});
    return { before, after };
  } finally {
    await left.source.stop();
    await topic.close();
    await wire.close();
  }
}
