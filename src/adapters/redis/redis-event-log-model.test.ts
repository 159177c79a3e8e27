// The Redis log against the one in memory: whatever is called, in whatever order, they answer alike.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { EventLog, LogKey } from '../../contracts/event-log.ts';
import { isRedisInstalled, missingRedis } from '../../testing/redis-server.ts';
import { redisStores } from '../../testing/redis-stores.ts';
import { storedEvent } from '../../testing/stored-events.ts';
import { MemoryEventLog } from '../memory/memory-event-log.ts';
import { RedisEventLog } from './redis-event-log.ts';

const stores = redisStores();

type Step =
  | { readonly kind: 'open'; readonly epoch: number; readonly sealedSeq: number }
  | { readonly kind: 'append'; readonly epoch: number; readonly first: number; readonly texts: readonly string[] }
  | { readonly kind: 'read'; readonly afterSeq: number; readonly limit: number };

const epochs = fc.integer({ min: 1, max: 4 });
const seqs = fc.integer({ min: 1, max: 12 });
// Two texts: a batch is now a repeat and now another event in the same place.
const texts = fc.array(fc.constantFrom('one', 'one', 'one', 'another'), { maxLength: 5 });

const steps: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('open' as const), epoch: epochs, sealedSeq: seqs }),
  { arbitrary: fc.record({ kind: fc.constant('append' as const), epoch: epochs, first: seqs, texts }), weight: 6 },
  { arbitrary: fc.record({ kind: fc.constant('read' as const), afterSeq: seqs, limit: seqs }), weight: 2 },
);

function take(log: EventLog, key: LogKey, step: Step): Promise<unknown> {
  switch (step.kind) {
    case 'open':
      return log.open(key, step.epoch, step.sealedSeq);
    case 'append': {
      const { epoch, first } = step;
      const events = step.texts.map((text, index) => storedEvent({ key, epoch, seq: first + index, text }));
      return log.append(key, epoch, events);
    }
    case 'read':
      return log.read(key, step.afterSeq, step.limit);
  }
}

test('whatever is called in whatever order, the Redis log answers as the one in memory', {
  skip: isRedisInstalled() ? false : missingRedis,
}, async (t) => {
  const redis = new RedisEventLog(await stores.connect());
  t.after(() => redis.close());
  let sessions = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(steps, { minLength: 5, maxLength: 40 }), async (run) => {
      const key: LogKey = { tenant: 'acme', sessionId: `session-${++sessions}` };
      const memory = new MemoryEventLog();
      for (const log of [memory, redis]) await log.open(key, 1, 0);
      for (const [index, step] of [...run, { kind: 'read', afterSeq: 0, limit: 100 } as const].entries()) {
        const [expected, actual] = await Promise.all([take(memory, key, step), take(redis, key, step)]);
        assert.deepEqual(actual, expected, `step ${index}: ${JSON.stringify(step)}`);
      }
    }),
    { numRuns: 150 },
  );
});
