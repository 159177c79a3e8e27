// From messages to job records, with the real client and emulator: nothing lost, nothing twice.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { IncomingMessage, MessageAnswer } from '../../contracts/message-source.ts';
import { ServiceError } from '../../core/errors.ts';
import { noRetry } from '../../core/job.ts';
import { JobIntake } from '../../manager/jobs/job-intake.ts';
import {
  type Consumer,
  consumerOf,
  eventually,
  publishAll,
  shortestLeaseMs,
  silentLogger,
  systemClock,
  topicOf,
} from '../../testing/pubsub-consumers.ts';
import { isPubsubInstalled, missingPubsub, PubsubEmulator } from '../../testing/pubsub-emulator.ts';
import { MemoryRecords } from '../memory/memory-records.ts';

const distinct = 900;
const repeated = 100;

describe('messages become jobs, each once', { skip: isPubsubInstalled() ? false : missingPubsub }, () => {
  let emulator: PubsubEmulator;

  before(async () => {
    emulator = (await PubsubEmulator.start()) ?? assert.fail(missingPubsub);
  });
  after(() => emulator.stop());

  function intakeOf(records: MemoryRecords): JobIntake {
    return new JobIntake({
      jobs: records.jobs,
      readJob: (value) => {
        const { prompt } = value as { prompt?: unknown };
        if (typeof prompt !== 'string') throw new ServiceError('invalid_request', { errors: [{ field: 'prompt' }] });
        const spec = {
          ...{ prompt, sessionRef: null, model: null, effort: null, outputSchema: null, metadata: {}, webhook: null },
          ...{ timeoutMs: 60_000, queueTimeoutMs: 60_000, retry: noRetry },
        };
        return { spec, runAt: null };
      },
      isTenant: (tenant) => tenant === 'default',
      subscription: 'jobs',
      maxBodyBytes: 1_000_000,
      maxOpenPerTenant: 10_000,
      clock: systemClock,
      logger: silentLogger,
      metrics: null,
    });
  }

  async function promptsIn(records: MemoryRecords): Promise<string[]> {
    const prompts: string[] = [];
    let last: string | null = null;
    for (;;) {
      const page = await records.jobs.list(
        'default',
        { status: null, scheduleId: null },
        { after: last, limit: 100, order: 'asc' },
      );
      prompts.push(...page.data.map(({ spec }) => spec.prompt));
      if (!page.hasMore) return prompts.toSorted();
      last = page.data.at(-1)?.id ?? null;
    }
  }

  test('1,000 messages, a tenth of them twice, by consumers killed and stopped in mid-handling: each job is there once', async () => {
    await emulator.createTopic('many');
    await emulator.createSubscription('many', 'many-reader');
    const records = new MemoryRecords();
    const intake = intakeOf(records);
    let handled = 0;
    let inHand = 0;
    let cutInHand = 0;
    const consumers = new Set<Consumer>();
    const begin = (): void => {
      const consumer = consumerOf(emulator, 'many-reader', { maxMessages: 20, stopTimeoutMs: 50 });
      consumers.add(consumer);
      consumer.source.start(async (message) => {
        inHand += 1;
        await pause(Math.random() * 20);
        // Before the record, and after it: where it is cut is a matter of chance.
        const answer = await intake.handle(message);
        await pause(Math.random() * 20);
        inHand -= 1;
        handled += 1;
        return answer;
      });
    };
    const topic = topicOf(emulator, 'many');
    const numbers = [...Array(distinct).keys(), ...Array(repeated).keys()];
    for (let at = 0; at < 3; at += 1) begin();
    const published = publishAll(
      topic,
      numbers.map((number) => ({
        body: JSON.stringify({ prompt: `job ${number}` }),
        attributes: { 'ce-id': `e${number}`, 'ce-source': '/test', 'ce-specversion': '1.0' },
      })),
    );
    for (let round = 0; round < 8; round += 1) {
      await eventually(() => handled >= (round + 1) * 90, `round ${round}`);
      const [oldest] = consumers;
      assert.ok(oldest !== undefined);
      consumers.delete(oldest);
      cutInHand += inHand;
      await (round % 2 === 0 ? oldest.kill() : oldest.source.stop());
      begin();
    }
    await published;
    const expected = [...Array(distinct).keys()].map((number) => `job ${number}`).toSorted();
    const endMs = performance.now() + 40_000;
    let found: string[] = [];
    while (found.length < distinct && performance.now() < endMs) {
      await pause(100);
      found = await promptsIn(records);
    }
    assert.deepEqual(found, expected);
    assert.ok(cutInHand > 0, 'consumers were cut in mid-handling');
    assert.ok(handled > distinct, 'some came more than once');
    await Promise.all([...consumers].map(({ source }) => source.stop()));
    await topic.close();
  });

  test('the control: were a job named by its delivery instead of its event, the copies would show', async () => {
    await emulator.createTopic('control');
    await emulator.createSubscription('control', 'control-reader');
    const records = new MemoryRecords();
    const intake = intakeOf(records);
    const { source } = consumerOf(emulator, 'control-reader');
    let handled = 0;
    source.start(async (message: IncomingMessage): Promise<MessageAnswer> => {
      const answer = await intake.handle({ ...message, attributes: {} });
      handled += 1;
      return answer;
    });
    const topic = topicOf(emulator, 'control');
    const copy = { body: JSON.stringify({ prompt: 'x' }), attributes: { 'ce-id': 'e', 'ce-source': 's' } };
    await publishAll(topic, [copy, copy]);
    await eventually(() => handled === 2, 'both came');
    assert.deepEqual(await promptsIn(records), ['x', 'x']);
    await source.stop();
    await topic.close();
  });

  test('the control: a consumer that acknowledges before the record is durable loses what it held when it is killed', async () => {
    await emulator.createTopic('hasty');
    await emulator.createSubscription('hasty', 'hasty-reader');
    const records = new MemoryRecords();
    const intake = intakeOf(records);
    let isKilled = false;
    let taken = 0;
    const { kill, source } = consumerOf(emulator, 'hasty-reader', { stopTimeoutMs: 50 });
    source.start(async (message) => {
      taken += 1;
      void pause(500).then(() => (isKilled ? undefined : intake.handle(message)));
      return { outcome: 'done' };
    });
    const topic = topicOf(emulator, 'hasty');
    await publishAll(topic, [{ body: JSON.stringify({ prompt: 'x' }) }]);
    await eventually(() => taken === 1, 'it was taken');
    await pause(200);
    isKilled = true;
    await kill();
    const next = consumerOf(emulator, 'hasty-reader');
    next.source.start((message) => intake.handle(message));
    await pause(shortestLeaseMs + 1_000);
    assert.deepEqual(await promptsIn(records), []);
    await next.source.stop();
    await topic.close();
  });

  test('jobs of one ordering key are created in the order in which they were published, also where the store is away at times', async () => {
    await emulator.createTopic('ordered');
    await emulator.createSubscription('ordered', 'ordered-reader', { enableMessageOrdering: true });
    const records = new MemoryRecords();
    const intake = intakeOf(records);
    const created: string[] = [];
    const { source } = consumerOf(emulator, 'ordered-reader');
    let calls = 0;
    source.start(async (message) => {
      calls += 1;
      if (calls % 7 === 3) return { outcome: 'later' };
      await pause(Math.random() * 10);
      const answer = await intake.handle(message);
      created.push(`${message.orderingKey} ${Buffer.from(message.data).toString()}`);
      return answer;
    });
    const topic = topicOf(emulator, 'ordered');
    const numbers = [...Array(15).keys()];
    const bodies = numbers.map((number) => JSON.stringify({ prompt: `${number}` }));
    await publishAll(
      topic,
      bodies.flatMap((body) => ['a', 'b', 'c'].map((orderingKey) => ({ body, orderingKey }))),
    );
    await eventually(() => created.length === 45, 'all are there');
    for (const key of ['a', 'b', 'c']) {
      assert.deepEqual(
        created.filter((each) => each.startsWith(key)),
        bodies.map((body) => `${key} ${body}`),
      );
    }
    await source.stop();
    await topic.close();
  });
});

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
