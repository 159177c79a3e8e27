// One process with Pub/Sub at both ends: what comes in is a job, what becomes of it goes out.

import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { JobResource } from '../../src/api/jobs.ts';
import type { ListOf } from '../../src/api/list.ts';
import { missingPubsub, PubsubEmulator } from '../../src/testing/pubsub-emulator.ts';
import { eventually } from '../e2e/eventually.ts';
import { FleetUnderTest } from '../e2e/fleet-under-test.ts';
import { eachToldInOrder } from './message-checks.ts';
import { JobPublisher } from './message-load.ts';
import { type ReadMessage, TopicReader } from './topic-reader.ts';

/** The subscription is looked for every 15 s at the longest; what was not told is told again after 30 s. */
const patienceMs = 45_000;

test('a message becomes a job of a fleet in one process, and what becomes of it is told on the topic [message-once]', async (t) => {
  const emulator = await startEmulator(t);
  if (emulator === null) return;
  await makeTopics(emulator);
  await using fleet = await startFleet(emulator);
  await using events = new TopicReader(emulator, 'events');
  const job = await sentJob(fleet, emulator);
  assert.deepEqual([job.status, job.result?.stdout, job.source], ['completed', 'one process', 'pubsub']);
  await eventually('it is told', patienceMs, () => eachToldInOrder([job], events.messages).length === 0);
  const ended = events.messages.find(({ attributes }) => attributes['ce-type'] === 'codex.fleet.job.completed');
  assert.deepEqual(ended?.attributes['ce-subject'], job.id);
  assert.notDeepEqual(eachToldInOrder([{ ...job, id: 'another' }], events.messages), []);
});

test('a fleet whose Pub/Sub is away at its start, and then has no subscription, starts all the same, says so, and reads once it is there [message-away]', async (t) => {
  const emulator = await startEmulator(t);
  if (emulator === null) return;
  await emulator.kill9();
  await using fleet = await startFleet(emulator);
  const saidOf = (event: string): unknown[] =>
    fleet.logLines.filter((line) => line['event'] === event).map(({ reason }) => reason);
  await eventually('it says that nothing is there', patienceMs, () =>
    saidOf('message_source_unavailable').includes('unreachable'),
  );
  const earlier = await fleet.client.completed('say: without it');

  await emulator.startAgain();
  await eventually('it says that there is no subscription', patienceMs, () =>
    saidOf('message_source_unavailable').includes('not_found'),
  );
  assert.deepEqual(saidOf('message_source_reading'), []);
  // Each is said once, however often it was tried.
  assert.deepEqual(saidOf('message_source_unavailable'), ['unreachable', 'not_found']);

  await makeTopics(emulator);
  await eventually('it reads', patienceMs, () => saidOf('message_source_reading').length === 1);
  await using events = new TopicReader(emulator, 'events');
  const job = await sentJob(fleet, emulator);
  assert.equal(job.status, 'completed');
  const ofEarlier = (): ReadMessage[] =>
    events.messages.filter(({ attributes }) => attributes['ce-subject'] === earlier.turn_id);
  await eventually('it is told', patienceMs, () => {
    const others = events.messages.filter((event) => !ofEarlier().includes(event));
    return eachToldInOrder([job], others).length === 0;
  });
  // When it ended nobody could be told.
  await eventually('what could not be told then is told', patienceMs, () => ofEarlier().length > 0);
});

/** null, and the test is skipped by name, where there is none. */
async function startEmulator(t: TestContext): Promise<PubsubEmulator | null> {
  const emulator = await PubsubEmulator.start();
  if (emulator === null) t.skip(missingPubsub);
  else t.after(() => emulator.stop());
  return emulator;
}

async function makeTopics(emulator: PubsubEmulator): Promise<void> {
  await emulator.createTopic('events');
  await emulator.createSubscription('events', 'events', { enableMessageOrdering: true });
  await emulator.createTopic('jobs');
  await emulator.createSubscription('jobs', 'jobs');
}

function startFleet({ endpoint, project }: PubsubEmulator): Promise<FleetUnderTest> {
  return FleetUnderTest.start({
    args: ['--model-provider', 'demo'],
    env: {
      PUBSUB_EMULATOR_HOST: endpoint,
      METADATA_SERVER_DETECTION: 'none',
      CODEX_FLEET_GOOGLE_PROJECT: project,
      CODEX_FLEET_PUBSUB_JOBS_SUBSCRIPTION: 'jobs',
      CODEX_FLEET_PUBSUB_EVENTS_TOPIC: 'events',
    },
  });
}

/** The one that its fleet makes of a message, when it has ended. */
async function sentJob({ client }: FleetUnderTest, emulator: PubsubEmulator): Promise<JobResource> {
  await using publisher = new JobPublisher(emulator, 'jobs');
  const body = JSON.stringify({ prompt: 'say: one process' });
  const message = { kind: 'job', prompt: null, refusal: null, orderingKey: '' } as const;
  await publisher.publish([{ ...message, body, attributes: { idempotency_key: 'the one' } }]);
  return await eventually('its job has ended', patienceMs, async () => {
    const { body: list } = await client.request<ListOf<JobResource>>('GET', '/api/v1/jobs');
    return list.data.find(({ ended_at }) => ended_at !== null);
  });
}
