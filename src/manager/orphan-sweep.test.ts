import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryRecords } from '../adapters/memory/memory-records.ts';
import { MemorySnapshotStore } from '../adapters/memory/memory-snapshot-store.ts';
import { createLogger } from '../observability/logger.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { sessionRecord } from '../testing/stored-records.ts';
import { OrphanSweep } from './orphan-sweep.ts';
import { Recurring } from './recurring.ts';

const hourMs = 60 * 60_000;
const idOf = (number: number): string => `019f0000-0000-7000-8000-${String(number).padStart(12, '0')}`;
const keyOf = (number: number) => ({ tenant: 'acme', sessionId: idOf(number) });

async function stage(withRecord: number, without: number) {
  const clock = new FakeClock();
  const records = new MemoryRecords();
  const snapshots = new MemorySnapshotStore();
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(String(JSON.parse(line).event)) };
  for (let number = 1; number <= withRecord + without; number++) {
    if (number <= withRecord) await records.sessions.create(sessionRecord({ id: idOf(number) }));
    await snapshots.put(keyOf(number), 'one', [Buffer.from('1')]);
  }
  const logger = createLogger({ level: 'info', role: 'test', destination });
  const sweep = new OrphanSweep({ clock, records, snapshots, logger });
  const loop = new Recurring(clock, (isStopping) => sweep.pass(isStopping));
  loop.start();
  const kept = async (): Promise<number> => {
    let count = 0;
    for await (const _ of snapshots.sessions()) count++;
    return count;
  };
  return { clock, records, snapshots, lines, loop, kept };
}

test('a snapshot without a record is removed when it has none an hour later either, and no other', async () => {
  const { clock, records, lines, loop, kept } = await stage(250, 2);
  await clock.advanceAsync(hourMs);
  assert.equal(await kept(), 252);
  // A record that was not to be read for a while.
  await records.sessions.create(sessionRecord({ id: idOf(252) }));
  await clock.advanceAsync(hourMs);
  assert.deepEqual([await kept(), lines], [251, ['orphan_erased']]);
  await clock.advanceAsync(5 * hourMs);
  assert.equal(await kept(), 251);
  await loop.stop();
});

test('with records that know few of the stored sessions nothing is removed: they are the wrong ones', async () => {
  const { clock, lines, loop, kept } = await stage(20, 3);
  await clock.advanceAsync(10 * hourMs);
  assert.equal(await kept(), 23);
  assert.equal(new Set(lines).has('orphan_erased'), false);
  await loop.stop();
});
