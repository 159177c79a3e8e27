import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryRecords } from '../adapters/memory/memory-records.ts';
import type { Records } from '../contracts/records.ts';
import { isServiceError } from '../core/errors.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { turnRecord } from '../testing/stored-records.ts';
import { changeTurn } from './record-changes.ts';

/** Turn records in which `replace` is another. */
async function recordsWith(replace: Records['turns']['replace'] | null): Promise<Records> {
  const records = new MemoryRecords();
  await records.turns.create(turnRecord());
  if (replace !== null) records.turns.replace = replace;
  return records;
}

test('a change is made of the record as it stands, however stale the one that was known', async () => {
  const clock = new FakeClock();
  const records = await recordsWith(null);
  await records.turns.replace({ ...turnRecord(), prompt: 'another' });
  const changed = await changeTurn({ records, clock }, turnRecord(), (turn) => ({ ...turn, status: 'running' }));
  assert.deepEqual([changed?.prompt, changed?.status, changed?.revision], ['another', 'running', 3]);
});

test('a record that never stands still is given up as store_conflict', async () => {
  const records = await recordsWith(async () => null);
  await assert.rejects(
    changeTurn({ records, clock: new FakeClock() }, turnRecord(), (turn) => turn),
    (error) => isServiceError(error, 'store_conflict'),
  );
});

test('a store that does not answer is store_unavailable in time', async () => {
  const clock = new FakeClock();
  const records = await recordsWith(() => new Promise(() => undefined));
  const change = changeTurn({ records, clock }, turnRecord(), (turn) => turn);
  clock.advance(10_000);
  await assert.rejects(change, (error) => isServiceError(error, 'store_unavailable'));
  assert.equal(clock.pendingTimers, 0);
});
