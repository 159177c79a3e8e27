import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { MemorySnapshotStore } from '../adapters/memory/memory-snapshot-store.ts';
import type { SnapshotStore } from '../contracts/snapshots.ts';
import { ServiceError } from '../core/errors.ts';
import { labKey, SnapshotLab, treeOnDisk } from '../testing/snapshot-lab.ts';

const packBytes = 64 * 1024;

/** Across a network: each put takes its time, and the others go on meanwhile. */
class SlowStore extends MemorySnapshotStore implements SnapshotStore {
  running = 0;
  puts = 0;
  runningAtLastPut = 0;
  failsAt = 0;

  override async put(...[key, name, content]: Parameters<SnapshotStore['put']>): Promise<void> {
    this.runningAtLastPut = this.running;
    this.running += 1;
    this.puts += 1;
    const isFailing = this.puts === this.failsAt;
    const pieces: Uint8Array[] = [];
    for await (const piece of content) pieces.push(piece.slice());
    await setTimeout(100);
    this.running -= 1;
    if (isFailing) throw new ServiceError('store_unavailable', { reason: 'planted' });
    await super.put(key, name, pieces);
  }
}

test('a snapshot is made only when every pack that it names is stored', async () => {
  const store = new SlowStore();
  await using lab = new SnapshotLab({ packBytes }, store);
  for (let file = 0; file < 8; file += 1) lab.write(`file-${file}`, randomBytes(60 * 1024));
  const { facts } = await lab.take();
  assert.deepEqual([facts.packs, store.runningAtLastPut, store.running], [8, 0, 0]);
  const place = lab.newPlace();
  await lab.restart();
  assert.ok(lab.ref);
  await lab.snapshots.restore(labKey, lab.ref, place);
  assert.deepEqual(treeOnDisk(place.ws), treeOnDisk(lab.place.ws));
});

test('a pack that fails when all was read is a failure of the snapshot, and no put goes on behind it', async () => {
  for (const failsAt of [1, 5, 7]) {
    const store = new SlowStore();
    store.failsAt = failsAt;
    await using lab = new SnapshotLab({ packBytes }, store);
    for (let file = 0; file < 8; file += 1) lab.write(`file-${file}`, randomBytes(60 * 1024));
    await assert.rejects(lab.take(), { code: 'store_unavailable', details: { reason: 'planted' } });
    assert.equal(store.running, 0);
    store.failsAt = 0;
    const { facts } = await lab.take();
    assert.equal(facts.files, 8);
  }
});

/** Each read takes its time; how many go at once is seen. */
class FarStore extends MemorySnapshotStore implements SnapshotStore {
  mostAtOnce = 0;
  mostBytesAtOnce = 0;
  reads = 0;
  #atOnce = 0;
  #bytesAtOnce = 0;

  override async read(...[key, name, range]: Parameters<SnapshotStore['read']>): Promise<Uint8Array | null> {
    const bytes = range?.length ?? 0;
    this.reads += 1;
    this.#atOnce += 1;
    this.#bytesAtOnce += bytes;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#atOnce);
    this.mostBytesAtOnce = Math.max(this.mostBytesAtOnce, this.#bytesAtOnce);
    await setTimeout(20);
    this.#atOnce -= 1;
    this.#bytesAtOnce -= bytes;
    return await super.read(key, name, range);
  }
}

test('a restore reads many objects at once, and not more of them than the bound', async () => {
  for (const [bytes, most] of [
    [1_000, 16],
    [5 * 1024 * 1024, 6],
  ] as const) {
    const store = new FarStore();
    await using lab = new SnapshotLab({ packBytes: bytes }, store);
    for (let file = 0; file < 30; file += 1) lab.write(`file-${file}`, randomBytes(bytes));
    await lab.take();
    await lab.restart();
    Object.assign(store, { mostAtOnce: 0, mostBytesAtOnce: 0, reads: 0 });
    const place = lab.newPlace();
    assert.ok(lab.ref);
    await lab.snapshots.restore(labKey, lab.ref, place);
    assert.ok(store.reads >= 30);
    // The rollout is read beside the files.
    assert.ok(store.mostAtOnce >= most && store.mostAtOnce <= most + 1, `${store.mostAtOnce} at once`);
    assert.ok(store.mostBytesAtOnce <= 33 * 1024 * 1024, `${store.mostBytesAtOnce} bytes at once`);
    assert.deepEqual(treeOnDisk(place.ws), treeOnDisk(lab.place.ws));
  }
});
