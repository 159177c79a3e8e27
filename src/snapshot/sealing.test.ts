import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { MemorySnapshotStore } from '../adapters/memory/memory-snapshot-store.ts';
import type { EventLog, LogPage } from '../contracts/event-log.ts';
import type { StoredEvent } from '../core/event.ts';
import { readBehind } from '../gateway/log-places.ts';
import { createLogger } from '../observability/logger.ts';
import { labKey, plainLine, SnapshotLab } from '../testing/snapshot-lab.ts';
import { storedEvent, storedEvents } from '../testing/stored-events.ts';
import { SealedReplay } from './sealed-replay.ts';
import { VerifiedObjects } from './verified-objects.ts';

async function sealed(lab: SnapshotLab): Promise<StoredEvent[]> {
  const events: StoredEvent[] = [];
  for (;;) {
    const page = await lab.snapshots.readSealed(labKey, lab.ref!, events.length, 777);
    if (page.events.length === 0) return events;
    assert.equal(page.firstSeq, 1);
    events.push(...page.events);
  }
}

/** Text that hardly compresses: so much of it as it takes to fill packs. */
function largeEvents(first: number, last: number): StoredEvent[] {
  const text = (): string => randomBytes(3000).toString('base64');
  return Array.from({ length: last - first + 1 }, (_, index) =>
    storedEvent({ key: labKey, epoch: 1, seq: first + index, text: text() }),
  );
}

test('a turn of very many events goes ahead in packs; every event is read back as it was', async () => {
  await using lab = new SnapshotLab({ packBytes: 4 * 1024 * 1024 });
  const all: StoredEvent[] = [];
  const turn = async (events: readonly StoredEvent[]): Promise<number> => {
    all.push(...events);
    await lab.log.append(labKey, 1, events);
    lab.appendRollout(plainLine);
    return (await lab.take({ workspace: 'unless_untouched', sealUpTo: all.length })).facts.packs;
  };
  for (let few = 0; few < 20; few += 1)
    assert.equal(await turn(storedEvents(labKey, 1, all.length + 1, all.length + 9)), 1);
  // Ten segments of 1.6 MB when compressed, of which two fit into a pack; the last ones into the last object.
  assert.equal(await turn(largeEvents(all.length + 1, all.length + 5000)), 5);
  for (let few = 0; few < 20; few += 1)
    assert.equal(await turn(storedEvents(labKey, 1, all.length + 1, all.length + 9)), 1);
  // Several segments that fit into one object stay in it.
  assert.equal(await turn(storedEvents(labKey, 1, all.length + 1, all.length + 20_000)), 1);
  await lab.restart();
  assert.deepEqual(await sealed(lab), all);
  const manifest = await new VerifiedObjects(lab.store).manifest(labKey, lab.ref!);
  assert.ok(manifest.events.length < 50, `${manifest.events.length} segments`);
  assert.ok(Math.max(...manifest.events.map(({ length }) => length)) < 4 * 1024 * 1024);

  const [ahead] = manifest.packs.filter(({ object }) => object !== lab.ref!.object && object.split('.').length === 3);
  assert.ok(ahead !== undefined);
  await lab.store.remove(labKey, [ahead.object]);
  await lab.restart();
  await assert.rejects(sealed(lab), { code: 'session_corrupt', details: { part: 'events', problem: 'it is missing' } });
});

test('events that were put ahead of a snapshot that failed are put again, and cleared away', async () => {
  class FailingStore extends MemorySnapshotStore {
    failsAt = 4;
    override async put(...args: Parameters<MemorySnapshotStore['put']>): Promise<void> {
      this.failsAt -= 1;
      if (this.failsAt === 0) throw new Error('no more');
      await super.put(...args);
    }
  }
  await using lab = new SnapshotLab({ packBytes: 1024 * 1024 }, new FailingStore());
  const all = largeEvents(1, 2000);
  await lab.log.append(labKey, 1, all);
  await assert.rejects(lab.take({ sealUpTo: 2000 }), { message: 'no more' });
  assert.equal((await lab.store.list(labKey)).length, 3);
  await lab.take({ sealUpTo: 2000 });
  assert.equal(await lab.snapshots.clear(labKey, 1, lab.ref!, []), 3);
  assert.deepEqual(await sealed(lab), all);
});

/** A log that has lost what it says, and tells nobody. */
function losing(all: readonly StoredEvent[], isLost: (seq: number) => boolean): EventLog {
  const held = all.filter(({ header }) => !isLost(header.seq));
  const read = async (_key: unknown, afterSeq: number, limit: number): Promise<LogPage> => {
    const events = held.filter(({ header }) => header.seq > afterSeq).slice(0, limit);
    return { events, firstSeq: held[0]?.header.seq ?? 0, lastSeq: held.at(-1)?.header.seq ?? 0 };
  };
  return { read } as EventLog;
}

const lost = [
  [1, 3],
  [11, 20],
  [34, 36],
  [58, 61],
] as const;

test('events that the log lost before they were sealed are said to be lost, and answered as gone', async () => {
  const all = storedEvents(labKey, 1, 1, 80);
  const log = losing(all, (seq) => lost.some(([first, last]) => seq >= first && seq <= last));
  const lines: Record<string, unknown>[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) };
  const logger = createLogger({ level: 'warn', role: 'test', destination });
  await using lab = new SnapshotLab({}, new MemorySnapshotStore(), { log, logger });
  // The gaps lie at the beginning, between turns, and within them; one turn is lost as a whole.
  for (const sealUpTo of [5, 10, 30, 32, 35, 36, 39, 42, 45, 48, 51, 54, 65, 70, 80]) {
    lab.appendRollout(plainLine);
    await lab.take({ workspace: 'unless_untouched', sealUpTo });
  }
  assert.deepEqual(
    lines.map(({ severity, event, first, last }) => [severity, event, first, last]),
    // Told with the turn that they fall into.
    [
      ['WARNING', 'events_lost', 1, 3],
      ['WARNING', 'events_lost', 11, 20],
      ['WARNING', 'events_lost', 34, 35],
      ['WARNING', 'events_lost', 36, 36],
      ['WARNING', 'events_lost', 58, 61],
    ],
  );
  await lab.restart();
  const hot = losing(all, (seq) => seq < 76);
  const replay = new SealedReplay(hot, { get: async () => ({ snapshot: lab.ref }) as never }, lab.snapshots);
  const runs = [
    [4, 10],
    [21, 33],
    [37, 57],
    [62, 80],
  ] as const;
  for (const limit of [1, 4, 100]) {
    for (let after = 0; after < 80; after += 1) {
      const [first, last] = runs.find((run) => run[1] > after)!;
      const from = Math.max(first, after + 1);
      const events = all.slice(from - 1, Math.min(from - 1 + limit, last));
      // What the hot log holds, it answers itself.
      const firstSeq = after >= 75 ? 76 : first;
      assert.deepEqual(await replay.read(labKey, after, limit), { events, firstSeq, lastSeq: 80 });
    }
  }
  assert.deepEqual((await readBehind(replay, labKey, 6, 100)).events, all.slice(6, 10));
  await assert.rejects(readBehind(replay, labKey, 10, 100), {
    code: 'cursor_expired',
    details: { first_cursor: '1.20' },
  });
  await assert.rejects(readBehind(replay, labKey, 0, 100), {
    code: 'cursor_expired',
    details: { first_cursor: '1.3' },
  });
});
