// What the largest rollouts and turns take of the memory of the process that serves everybody: what is held,
// garbage taken away, whenever a pack is put.

import assert from 'node:assert/strict';
import { appendFileSync, truncateSync } from 'node:fs';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { MemorySnapshotStore } from '../adapters/memory/memory-snapshot-store.ts';
import type { EventLog, LogPage } from '../contracts/event-log.ts';
import { labKey, plainLine, SnapshotLab } from '../testing/snapshot-lab.ts';
import { storedEvents } from '../testing/stored-events.ts';
import { RolloutFile } from './rollout-file.ts';
import { type Lines, linesOfLog } from './sealed-events.ts';

const mb = 1_000_000;
const packBytes = 8 * 1024 * 1024;
const events = 200_000;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

async function heldMb(): Promise<number> {
  await setImmediate();
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / mb;
}

/** Keeps the last objects of snapshots; of the packs put ahead, their sizes and the most that was held meanwhile. */
class MeasuringStore extends MemorySnapshotStore {
  packs: number[] = [];
  mostHeldMb = 0;
  override async put(...[key, name, content]: Parameters<MemorySnapshotStore['put']>): Promise<void> {
    if (name.split('.').length === 4) return await super.put(key, name, content);
    this.mostHeldMb = Math.max(this.mostHeldMb, await heldMb());
    let bytes = 0;
    for await (const piece of content) bytes += piece.length;
    this.packs.push(bytes);
  }
}

/** So many events, made when they are read. */
function madeLog(total: number): EventLog {
  const read = async (_key: unknown, afterSeq: number, limit: number): Promise<LogPage> => {
    const events = storedEvents(labKey, 1, afterSeq + 1, Math.min(total, afterSeq + limit));
    return { events, firstSeq: 1, lastSeq: total };
  };
  return { read } as EventLog;
}

test('a hostile rollout of 1,500 MB, of which nothing was written, is not read', async () => {
  await using lab = new SnapshotLab();
  await lab.take();
  truncateSync(lab.rolloutFile(), 1500 * mb);
  const before = process.resourceUsage().maxRSS;
  await assert.rejects(lab.take(), { code: 'session_full' });
  const grownMb = ((process.resourceUsage().maxRSS - before) * 1024) / mb;
  assert.ok(grownMb < 20, `it took ${grownMb} MB`);
});

test('the tail of a rollout is not held as a whole', async () => {
  const store = new MeasuringStore();
  await using lab = new SnapshotLab({ packBytes }, store);
  await lab.take();
  const lines = Buffer.from(plainLine.repeat(10_000));
  for (let bytes = 0; bytes < 64 * mb; bytes += lines.length) appendFileSync(lab.rolloutFile(), lines);
  const before = await heldMb();
  const { facts } = await lab.take({ workspace: 'unless_untouched' });
  assert.equal(facts.walked, false);
  assert.deepEqual(
    store.packs,
    Array.from({ length: 7 }, () => packBytes),
  );
  const grownMb = store.mostHeldMb - before;
  assert.ok(grownMb < 20, `${grownMb} MB were held`);
});

test('the events of a turn are not held as a whole', async () => {
  const store = new MeasuringStore();
  await using lab = new SnapshotLab({ packBytes: 256 * 1024 }, store, { log: madeLog(events) });
  await lab.take({ sealUpTo: 0 });
  const before = await heldMb();
  await lab.take({ sealUpTo: events, workspace: 'unless_untouched' });
  assert.ok(store.packs.length > 5 && store.packs.every((bytes) => bytes <= 256 * 1024), store.packs.join(' '));
  const grownMb = store.mostHeldMb - before;
  assert.ok(grownMb < 12, `${grownMb} MB were held`);
});

test('the check sees a rollout, or events, of which all is held', async () => {
  await using lab = new SnapshotLab();
  truncateSync(lab.rolloutFile(), 64 * mb);
  const file = RolloutFile.open(lab.place.sessions, lab.request().rolloutPath);
  const before = await heldMb();
  const rollout = await file.read(0, file.bytes);
  const withRollout = await heldMb();
  const stretches: Lines[] = [];
  for await (const one of linesOfLog(madeLog(events), labKey, 0, events, () => undefined)) stretches.push(one);
  const withBoth = await heldMb();
  file.close();
  assert.deepEqual([rollout.length, stretches.length > 30], [64 * mb, true]);
  assert.ok(withRollout - before > 50, `the rollout took ${withRollout - before} MB`);
  assert.ok(withBoth - withRollout > 50, `the events took ${withBoth - withRollout} MB`);
});
