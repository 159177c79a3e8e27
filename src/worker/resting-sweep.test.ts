import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { MemoryRecords } from '../adapters/memory/memory-records.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import { mintId } from '../core/ids.ts';
import type { SessionRecord } from '../core/session.ts';
import { createSilentLogger } from '../observability/logger.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { sessionRecord } from '../testing/stored-records.ts';
import { RestingSweep } from './resting-sweep.ts';
import { SessionFiles } from './session-files.ts';

const tenant = 'a/b.c';
const snapshotOf = (epoch: number): SessionRecord['snapshot'] => ({
  object: `${epoch}.1.manifest`,
  sha256: '0'.repeat(64),
  turnId: null,
  lastSeq: 3,
  takenAt: 0,
  rolloutBytes: 1,
});

async function lab(t: TestContext) {
  const root = await mkdtemp(path.join(tmpdir(), 'resting-'));
  t.after(() => rm(root, { recursive: true }));
  const files = new SessionFiles(root, 'machine');
  const records = new MemoryRecords();
  const hosted = new Set<string>();
  const clock = new FakeClock();
  const sweep = new RestingSweep({
    ...{ files, records, clock },
    logger: createSilentLogger(),
    whileUnhosted: async (key, work) => {
      if (hosted.has(key.sessionId)) return false;
      await work();
      return true;
    },
  });
  /** Files of a session that rest here since that epoch; its record, or none. */
  const rests = async (epoch: number, record: Partial<SessionRecord> | null, isDirty = false): Promise<SessionKey> => {
    const key = { tenant, sessionId: mintId() };
    await files.create(key, { relativePath: 'sessions/r.jsonl', content: 'x' }, epoch);
    await files.setMark(key, { epoch, object: `${epoch}.1.manifest`, isDirty });
    if (record !== null) await records.sessions.create(sessionRecord({ tenant, id: key.sessionId, ...record }));
    return key;
  };
  const left = async (): Promise<string[]> => {
    const found: string[] = [];
    for await (const key of files.resting()) found.push(`${key.tenant} ${key.sessionId}`);
    return found.sort();
  };
  return { clock, hosted, left, rests, sweep };
}

test('what rests of sessions that are gone, or that others committed since, goes; all else stays', async (t) => {
  const { hosted, left, rests, sweep } = await lab(t);
  await rests(1, null);
  await rests(1, { snapshot: snapshotOf(2) });
  await rests(1, { snapshot: snapshotOf(2) }, true);
  const kept = [
    await rests(2, { snapshot: snapshotOf(2) }),
    await rests(2, { snapshot: snapshotOf(1) }, true),
    await rests(1, { snapshot: null }),
  ];
  const busy = await rests(1, null);
  hosted.add(busy.sessionId);
  await sweep.sweep();
  assert.deepEqual(await left(), [...kept, busy].map(({ sessionId }) => `${tenant} ${sessionId}`).sort());
});

test('it is swept again and again until it is stopped', async (t) => {
  const { clock, left, rests, sweep } = await lab(t);
  await rests(1, null);
  sweep.start();
  await clock.advanceAsync(600_000);
  for (let tries = 0; tries < 100 && (await left()).length > 0; tries++)
    await new Promise((done) => setTimeout(done, 5));
  assert.deepEqual(await left(), []);
  await sweep.stop();
  assert.equal(clock.pendingTimers, 0);
});
