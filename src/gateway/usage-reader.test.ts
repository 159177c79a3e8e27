import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryRecords } from '../adapters/memory/memory-records.ts';
import { mintId } from '../core/ids.ts';
import { SystemClock } from '../observability/system-clock.ts';
import { sessionRecord, turnRecord } from '../testing/stored-records.ts';
import { UsageReader } from './usage-reader.ts';

const dayMs = 24 * 60 * 60 * 1000;
const tenant = 'acme';

async function recordsWith(sessions: number, turnsEach: number, ageMs = 0): Promise<MemoryRecords> {
  const records = new MemoryRecords();
  const createdAt = Date.now() - ageMs;
  for (let session = 0; session < sessions; session += 1) {
    const sessionId = mintId();
    await records.sessions.create(sessionRecord({ tenant, id: sessionId, createdAt, lastAccessedAt: Date.now() }));
    for (let turn = 0; turn < turnsEach; turn += 1) {
      const usage = { inputTokens: 10, cachedInputTokens: 1, outputTokens: 2, reasoningOutputTokens: 0, costUsd: 0.5 };
      await records.turns.create(turnRecord({ tenant, id: mintId(), sessionId, createdAt, usage }));
    }
  }
  return records;
}

const read = async (records: MemoryRecords, bounds?: { sessions: number; turns: number }, who = tenant) =>
  new UsageReader({ records, clock: new SystemClock() }, bounds).read(who, Date.now() - dayMs, 'm');

test('every turn since then is counted, over pages of sessions and of turns', async () => {
  const report = await read(await recordsWith(120, 3));
  assert.deepEqual(report.total, {
    turns: 360,
    usage: {
      input_tokens: 3600,
      cached_input_tokens: 360,
      output_tokens: 720,
      reasoning_output_tokens: 0,
      cost_usd: 180,
    },
  });
  assert.equal(report.is_complete, true);
});

test('of more than the bounds allow, what was looked at is counted, and the answer says so', async () => {
  const records = await recordsWith(5, 150);
  const fewSessions = await read(records, { sessions: 2, turns: 1000 });
  assert.deepEqual([fewSessions.total.turns, fewSessions.is_complete], [300, false]);
  const fewTurns = await read(records, { sessions: 100, turns: 170 });
  assert.deepEqual([fewTurns.total.turns, fewTurns.is_complete], [170, false]);
  const justEnough = await read(records, { sessions: 5, turns: 750 });
  assert.deepEqual([justEnough.total.turns, justEnough.is_complete], [750, true]);
});

test('turns from before, and those of others, are not counted', async () => {
  assert.equal((await read(await recordsWith(2, 2, 2 * dayMs))).total.turns, 0);
  assert.equal((await read(await recordsWith(2, 2), undefined, 'other')).total.turns, 0);
});

test('who asks while the same is being read gets that answer', async () => {
  const reader = new UsageReader({ records: await recordsWith(2, 2), clock: new SystemClock() });
  const [first, second] = [reader.read(tenant, 0, null), reader.read(tenant, 0, null)];
  assert.equal(first, second);
  await first;
  assert.notEqual(reader.read(tenant, 0, null), first);
});
