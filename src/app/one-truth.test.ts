import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { MemoryLeadership } from '../adapters/memory/memory-leadership.ts';
import { createSilentLogger } from '../observability/logger.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { claimOneTruth, nameOfDataDir } from './one-truth.ts';

test('all roles of one data directory may share a Redis, another directory may not while they run', async (t) => {
  const [dataDir, other] = [1, 2].map(() => mkdtempSync(join(tmpdir(), 'one-truth-'))) as [string, string];
  t.after(() => [dataDir, other].forEach((dir) => rmSync(dir, { recursive: true })));
  const clock = new FakeClock();
  const parts = { claims: new MemoryLeadership(clock), clock, logger: createSilentLogger() };
  const claim = async (dir: string): Promise<() => void> => claimOneTruth({ ...parts, name: await nameOfDataDir(dir) });
  const ends = [await claim(dataDir), await claim(dataDir)];
  await clock.advanceAsync(120_000);
  await assert.rejects(claim(other), {
    code: 'store_unavailable',
    message: /another data directory/,
  });
  for (const end of ends) end();
  await clock.advanceAsync(60_000);
  const end = await claim(other);
  end();
  assert.equal(clock.pendingTimers, 0);
});
