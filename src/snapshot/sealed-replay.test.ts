import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryEventLog } from '../adapters/memory/memory-event-log.ts';
import type { SessionRecord } from '../core/session.ts';
import { labKey, plainLine, SnapshotLab } from '../testing/snapshot-lab.ts';
import { storedEvents } from '../testing/stored-events.ts';
import { SealedReplay } from './sealed-replay.ts';

const all = storedEvents(labKey, 1, 1, 100);

async function sealedUpTo(lab: SnapshotLab, last: number): Promise<void> {
  for (let seq = 0; seq < last; seq += 10) {
    await lab.appendEvents(10);
    lab.appendRollout(plainLine);
    await lab.take({ workspace: 'unless_untouched' });
  }
}

function replayOver(lab: SnapshotLab, hot: MemoryEventLog): { replay: SealedReplay; asked: () => number } {
  let asked = 0;
  const get = async (): Promise<SessionRecord> => {
    asked += 1;
    return { snapshot: lab.ref } as SessionRecord;
  };
  return { replay: new SealedReplay(hot, { get }, lab.snapshots), asked: () => asked };
}

test('events that the hot log has dropped are read from the snapshot, the others from it, without a seam', async () => {
  await using lab = new SnapshotLab();
  await sealedUpTo(lab, 80);
  const hot = new MemoryEventLog({ maxEventsPerSession: 40 });
  await hot.append(labKey, 1, all);
  const { replay } = replayOver(lab, hot);
  for (const limit of [1, 7, 60, 1000]) {
    const read = [];
    for (let after = 0; ; after = read.at(-1)?.header.seq ?? 0) {
      const page = await replay.read(labKey, after, limit);
      if (page.events.length === 0) break;
      assert.equal(page.lastSeq, 100);
      read.push(...page.events);
    }
    assert.deepEqual(read, all);
  }
  assert.equal((await replay.read(labKey, 0, 1)).firstSeq, 1);
});

test('what the hot log holds is its own answer, and nobody else is asked', async () => {
  await using lab = new SnapshotLab();
  await sealedUpTo(lab, 80);
  const hot = new MemoryEventLog({ maxEventsPerSession: 40 });
  await hot.append(labKey, 1, all);
  const { replay, asked } = replayOver(lab, hot);
  assert.deepEqual(await replay.read(labKey, 60, 1000), await hot.read(labKey, 60, 1000));
  assert.equal(asked(), 0);
});

test('where the hot log and the sealed events do not meet, no page has a hole', async () => {
  await using lab = new SnapshotLab();
  await sealedUpTo(lab, 50);
  const hot = new MemoryEventLog({ maxEventsPerSession: 40 });
  await hot.append(labKey, 1, all);
  const { replay } = replayOver(lab, hot);
  const page = await replay.read(labKey, 45, 1000);
  assert.deepEqual(page, { events: all.slice(45, 50), firstSeq: 1, lastSeq: 100 });
  // Behind that there is only what the hot log has, and its first seq says that something is missing.
  assert.deepEqual(await replay.read(labKey, 50, 1000), await hot.read(labKey, 50, 1000));
});

test('a log that lost everything still has what was sealed', async () => {
  await using lab = new SnapshotLab();
  await sealedUpTo(lab, 50);
  const { replay } = replayOver(lab, new MemoryEventLog());
  assert.deepEqual(await replay.read(labKey, 10, 5), { events: all.slice(10, 15), firstSeq: 1, lastSeq: 50 });
});
