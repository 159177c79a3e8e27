import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { MemorySnapshotStore } from '../adapters/memory/memory-snapshot-store.ts';
import { ServiceError } from '../core/errors.ts';
import type { SnapshotRef } from '../core/session.ts';
import { labKey, plainLine, SnapshotLab, treeOnDisk } from '../testing/snapshot-lab.ts';
import { encodeManifest, type Manifest, mintObjectName } from './manifest.ts';
import { VerifiedObjects } from './verified-objects.ts';

type Damage = (content: Uint8Array) => Uint8Array | null;

const flipped =
  (place: (content: Uint8Array) => number): Damage =>
  (content) => {
    const copy = content.slice();
    const index = place(copy);
    copy[index] = (copy[index] ?? 0) ^ 4;
    return copy;
  };

const damages: Readonly<Record<string, Damage>> = {
  missing: () => null,
  empty: () => new Uint8Array(0),
  'cut in the middle': (content) => content.subarray(0, content.length / 2),
  'one byte short': (content) => content.subarray(0, -1),
};

async function damage(lab: SnapshotLab, object: string, how: Damage): Promise<void> {
  const content = await lab.store.read(labKey, object);
  assert.ok(content !== null);
  const left = how(content);
  await lab.store.remove(labKey, [object]);
  if (left !== null) await lab.store.put(labKey, object, [left]);
}

/** Three snapshots, each with a change of its own and content in packs of its own; what the disk held at each. */
async function threeSnapshots(
  lab: SnapshotLab,
): Promise<{ ref: SnapshotRef; tree: Record<string, string>; rollout: string }[]> {
  const taken = [];
  for (let turn = 0; turn < 3; turn += 1) {
    lab.write('kept', 'from the first on');
    lab.write(`turn-${turn}`, randomBytes(20_000));
    lab.appendRollout(plainLine);
    const { ref } = await lab.take();
    taken.push({ ref, tree: treeOnDisk(lab.place.ws), rollout: readFileSync(lab.rolloutFile(), 'utf8') });
  }
  return taken;
}

async function assertFallsBack(
  how: Damage,
  choose: (names: readonly string[], ref: SnapshotRef) => string,
): Promise<void> {
  await using lab = new SnapshotLab({ packBytes: 8 * 1024 });
  const [, second, third] = await threeSnapshots(lab);
  assert.ok(second !== undefined && third !== undefined);
  const before = new Set(
    second.ref === undefined ? [] : (await manifestOf(lab, second.ref)).packs.map(({ object }) => object),
  );
  const own = (await manifestOf(lab, third.ref)).packs
    .map(({ object }) => object)
    .filter((object) => !before.has(object));
  const object = choose(own, third.ref);
  await damage(lab, object, how);
  await lab.restart();
  const into = lab.newPlace();
  const restored = await lab.snapshots.restore(labKey, third.ref, into);
  assert.deepEqual(restored.ref, second.ref);
  assert.deepEqual(
    restored.damaged.map((one) => one.object),
    [object],
  );
  assert.deepEqual(treeOnDisk(into.ws), second.tree);
  assert.equal(readFileSync(lab.rolloutFile(into), 'utf8'), second.rollout);
}

async function manifestOf(lab: SnapshotLab, ref: SnapshotRef): Promise<Manifest> {
  return await new VerifiedObjects(lab.store).manifest(labKey, ref);
}

const last = (_names: readonly string[], ref: SnapshotRef): string => ref.object;
const dataPack = (names: readonly string[], ref: SnapshotRef): string => {
  const found = names.find((name) => name !== ref.object);
  assert.ok(found !== undefined);
  return found;
};

describe('a damaged snapshot gives way to the newest whole one before it', () => {
  for (const [name, how] of Object.entries(damages)) {
    test(`a pack that is ${name}`, () => assertFallsBack(how, dataPack));
    if (name !== 'one byte short') test(`a last object that is ${name}`, () => assertFallsBack(how, last));
  }
  test('a pack with a flipped bit', () =>
    assertFallsBack(
      flipped((content) => content.length / 2),
      dataPack,
    ));
  test('a flipped bit among what precedes the manifest', () =>
    assertFallsBack(
      flipped(() => 5),
      last,
    ));
  test('a flipped bit in the manifest', () =>
    assertFallsBack(
      flipped((content) => content.length - 200),
      last,
    ));
});

test('when no snapshot is whole, it is said and nothing is made up', async () => {
  await using lab = new SnapshotLab();
  const [, , third] = await threeSnapshots(lab);
  for (const { name } of await lab.store.list(labKey))
    await damage(
      lab,
      name,
      flipped(() => 0),
    );
  await lab.restart();
  await assert.rejects(lab.snapshots.restore(labKey, third!.ref, lab.newPlace()), { code: 'session_corrupt' });
});

test('a store that does not answer is not taken for damage', async () => {
  class SilentStore extends MemorySnapshotStore {
    isSilent = false;
    override async read(...args: Parameters<MemorySnapshotStore['read']>): Promise<Uint8Array | null> {
      if (this.isSilent) throw new ServiceError('store_unavailable');
      return await super.read(...args);
    }
  }
  const store = new SilentStore();
  await using lab = new SnapshotLab({}, store);
  const [, , third] = await threeSnapshots(lab);
  store.isSilent = true;
  await assert.rejects(lab.snapshots.restore(labKey, third!.ref, lab.newPlace()), { code: 'store_unavailable' });
});

test('a manifest of a later format is refused, not passed over', async () => {
  await using lab = new SnapshotLab();
  const [, , third] = await threeSnapshots(lab);
  const later = { ...(await manifestOf(lab, third!.ref)), format: 2 } as unknown as Manifest;
  const { bytes, sha256 } = encodeManifest(later);
  const object = mintObjectName(1, 9, 0);
  await lab.store.put(labKey, object, [bytes]);
  await assert.rejects(lab.snapshots.restore(labKey, { ...third!.ref, object, sha256 }, lab.newPlace()), {
    code: 'session_failed',
  });
});

test('a full store fails the snapshot, and the next one makes up for it', async () => {
  class FullStore extends MemorySnapshotStore {
    puts = 0;
    override async put(...args: Parameters<MemorySnapshotStore['put']>): Promise<void> {
      this.puts += 1;
      if (this.puts > 3 && this.puts < 9) throw new ServiceError('storage_full');
      await super.put(...args);
    }
  }
  await using lab = new SnapshotLab({ packBytes: 8 * 1024 }, new FullStore());
  lab.write('a', randomBytes(1000));
  await lab.take();
  lab.write('b', randomBytes(50_000));
  for (let failures = 0; failures < 2; failures += 1) await assert.rejects(lab.take(), { code: 'storage_full' });
  lab.write('c', randomBytes(10_000));
  let taken = await lab.take().catch(() => null);
  taken ??= await lab.take();
  const into = lab.newPlace();
  await lab.snapshots.restore(labKey, taken.ref, into);
  assert.deepEqual(treeOnDisk(into.ws), treeOnDisk(lab.place.ws));
});
