import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { MemoryLeadership } from '../adapters/memory/memory-leadership.ts';
import { createSilentLogger } from '../observability/logger.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { claimOneDataDir } from './one-data-dir.ts';

test('all roles of one data directory may share a Redis, another directory may not while they run', async (t) => {
  const [dataDir, other] = [1, 2].map(() => mkdtempSync(join(tmpdir(), 'one-data-dir-'))) as [string, string];
  t.after(() => [dataDir, other].forEach((dir) => rmSync(dir, { recursive: true })));
  const clock = new FakeClock();
  const parts = { claims: new MemoryLeadership(clock), clock, logger: createSilentLogger() };
  const ends = [await claimOneDataDir({ ...parts, dataDir }), await claimOneDataDir({ ...parts, dataDir })];
  await clock.advanceAsync(120_000);
  await assert.rejects(claimOneDataDir({ ...parts, dataDir: other }), {
    code: 'store_unavailable',
    message: /another data directory/,
  });
  for (const end of ends) end();
  await clock.advanceAsync(60_000);
  const end = await claimOneDataDir({ ...parts, dataDir: other });
  end();
  assert.equal(clock.pendingTimers, 0);
});
