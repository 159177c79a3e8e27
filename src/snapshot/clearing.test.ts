import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { joined, labKey, plainLine, SnapshotLab, toolLine, treeOnDisk } from '../testing/snapshot-lab.ts';

async function storedBytes(lab: SnapshotLab): Promise<{ objects: number; bytes: number }> {
  const all = await lab.store.list(labKey);
  return { objects: all.length, bytes: all.reduce((sum, { bytes }) => sum + bytes, 0) };
}

test('a session that rewrites the same files for hundreds of turns takes bounded room, and forgets no event', async () => {
  await using lab = new SnapshotLab({ packBytes: 64 * 1024, keepSnapshots: 4 });
  const turns = 600;
  let most = { objects: 0, bytes: 0 };
  for (let turn = 0; turn < turns; turn += 1) {
    lab.write('rewritten', randomBytes(3000));
    lab.write(`round/${turn % 40}`, randomBytes(300));
    // Never touched again: each keeps alive the pack that it was put in.
    if (turn % 5 === 0) lab.write(`for good/${turn}`, `${turn}`);
    lab.appendRollout(toolLine);
    await lab.appendEvents(5);
    const { ref } = await lab.take();
    await lab.snapshots.clear(labKey, 1, ref, []);
    const now = await storedBytes(lab);
    if (turn > turns / 2)
      most = { objects: Math.max(most.objects, now.objects), bytes: Math.max(most.bytes, now.bytes) };
  }
  const { events } = await lab.snapshots.readSealed(labKey, lab.ref!, 0, 10_000);
  assert.deepEqual(
    events.map(({ header }) => header.seq),
    Array.from({ length: turns * 5 }, (_, index) => index + 1),
  );
  assert.deepEqual(events, (await lab.log.read(labKey, 0, 10_000)).events);
  const into = lab.newPlace();
  await lab.restart();
  await lab.snapshots.restore(labKey, lab.ref!, into);
  assert.deepEqual(treeOnDisk(into.ws), treeOnDisk(lab.place.ws));
  assert.equal(readFileSync(lab.rolloutFile(into), 'utf8'), readFileSync(lab.rolloutFile(), 'utf8'));
  assert.ok(most.objects < 200, `${most.objects} objects`);
  assert.ok(most.bytes < 1_500_000, `${most.bytes} bytes`);
});

test('what is kept by name stays readable; what is neither kept nor in the chain is gone', async () => {
  await using lab = new SnapshotLab({ packBytes: 8 * 1024, keepSnapshots: 2 });
  lab.write('a', randomBytes(20_000));
  const first = await lab.take();
  const content = readFileSync(lab.file('a'));
  for (let turn = 0; turn < 4; turn += 1) {
    lab.write('a', randomBytes(20_000));
    lab.appendRollout(plainLine);
    await lab.take();
    await lab.snapshots.clear(labKey, 1, lab.ref!, [first.ref]);
  }
  const reader = await lab.snapshots.open(labKey, first.ref);
  const file = reader.entries.get('a');
  assert.ok(file?.kind === 'file');
  assert.deepEqual(await joined(reader.read(file, null)), content);
  const part = await joined(reader.read(file, { offset: 8000, length: 500 }));
  assert.deepEqual(part, content.subarray(8000, 8500));
  await lab.snapshots.clear(labKey, 1, lab.ref!, []);
  await lab.restart();
  await assert.rejects(lab.snapshots.open(labKey, first.ref), { code: 'snapshot_gone' });
});

test('nothing of a later epoch, nothing put after the snapshot, and nothing foreign is cleared away', async () => {
  await using lab = new SnapshotLab();
  const { ref } = await lab.take();
  const others = ['2.1.aa', '1.7.bb', 'foreign'];
  const leftover = '1.1.cc';
  for (const name of [...others, leftover]) await lab.store.put(labKey, name, [Buffer.from('x')]);
  assert.equal(await lab.snapshots.clear(labKey, 1, ref, []), 1);
  const names = (await lab.store.list(labKey)).map(({ name }) => name);
  assert.deepEqual(names.sort(), [ref.object, ...others].sort());
});
