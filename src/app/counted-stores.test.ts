import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryEventLog } from '../adapters/memory/memory-event-log.ts';
import { MemoryRecords } from '../adapters/memory/memory-records.ts';
import { type ErrorCode, ServiceError } from '../core/errors.ts';
import type { StoreOutcome } from '../observability/operating-metrics.ts';
import { sessionRecord } from '../testing/stored-records.ts';
import { countedStore, storeOutcomeOf } from './counted-stores.ts';

test('what a store answers is handed on as it is and counted, in groups of methods as well', async () => {
  const records = new MemoryRecords();
  const outcomes: StoreOutcome[] = [];
  const counted = countedStore(records, (outcome) => outcomes.push(outcome));
  const made = await counted.sessions.create(sessionRecord({ id: '019f0000-0000-7000-8000-000000000001' }));
  assert.equal(made.outcome, 'created');
  assert.deepEqual(await counted.sessions.get(made.record.tenant, made.record.id), made.record);
  assert.deepEqual(outcomes, ['ok', 'ok']);
});

test('a failure is counted by its class and rejects as it did', async () => {
  const outcomes: StoreOutcome[] = [];
  const failing = { ask: (code: ErrorCode): Promise<never> => Promise.reject(new ServiceError(code)) };
  const counted = countedStore(failing, (outcome) => outcomes.push(outcome));
  for (const code of [
    'store_unavailable',
    'store_conflict',
    'storage_full',
    'store_corrupt',
    'cursor_invalid',
  ] as const) {
    await assert.rejects(counted.ask(code), (error: unknown) => error instanceof ServiceError && error.code === code);
  }
  assert.deepEqual(outcomes, ['unavailable', 'conflict', 'full', 'corrupt', 'refused']);
  assert.deepEqual(
    [storeOutcomeOf(new Error('a defect')), storeOutcomeOf(new ServiceError('internal'))],
    ['failed', 'failed'],
  );
});

test('methods that answer at once are let through uncounted, with their own object as this', async () => {
  const outcomes: StoreOutcome[] = [];
  const log = countedStore(new MemoryEventLog(), (outcome) => outcomes.push(outcome));
  const key = { tenant: 'acme', sessionId: '019f0000-0000-7000-8000-000000000001' };
  const unsubscribe = await log.subscribe(key, () => undefined);
  unsubscribe();
  assert.deepEqual(outcomes, ['ok']);
});
