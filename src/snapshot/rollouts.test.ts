import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { appendFileSync, readFileSync, statSync, truncateSync } from 'node:fs';
import { test } from 'node:test';
import { labKey, plainLine, SnapshotLab, toolLine } from '../testing/snapshot-lab.ts';
import { RolloutFile } from './rollout-file.ts';
import { VerifiedObjects } from './verified-objects.ts';

test('a rollout that grows by more or less than a pack is restored as it was after each turn, from few pieces', async () => {
  const packBytes = 16 * 1024;
  await using lab = new SnapshotLab({ packBytes });
  for (let turn = 0; turn < 120; turn += 1) {
    // Above the size of a pack, at it, just over it; far below it; too much to be merged with all of those before.
    const sizes: Readonly<Record<number, number>> = { 0: 50_000, 1: packBytes, 2: packBytes + 2, 9: 12_000 };
    const bytes = sizes[turn % 12] ?? 1900;
    lab.appendRollout(randomBytes(bytes / 2).toString('hex'));
    if (turn === 60) truncateSync(lab.rolloutFile(), 70_001);
    const { ref } = await lab.take({ workspace: 'walk' });
    if (turn % 20 === 0) await lab.restart();
    assert.equal(ref.rolloutBytes, statSync(lab.rolloutFile()).size);
    if (turn % 7 > 0) continue;
    const into = lab.newPlace();
    await lab.snapshots.restore(labKey, ref, into);
    assert.deepEqual(readFileSync(lab.rolloutFile(into)), readFileSync(lab.rolloutFile()));
  }
  const { rollout } = await new VerifiedObjects(lab.store).manifest(labKey, lab.ref!);
  assert.ok(rollout.parts.every(({ length }) => length <= packBytes));
  assert.ok(rollout.parts.length < 100, `${rollout.parts.length} parts`);
});

test('a call of a tool is found wherever it stands in a long tail', async () => {
  await using lab = new SnapshotLab({ packBytes: 64 * 1024 });
  await lab.take();
  const many = plainLine.repeat(4000);
  const walked = async (tail: string): Promise<boolean> => {
    lab.appendRollout(tail);
    return (await lab.take({ workspace: 'unless_untouched' })).facts.walked;
  };
  const tails = [many, toolLine + many, many + toolLine, many + toolLine.slice(0, -5)];
  assert.deepEqual(await Promise.all(tails.slice(0, 1).map(walked)), [false]);
  for (const tail of tails.slice(1)) assert.equal(await walked(tail), true);
});

test('a rollout that is larger than it may be is refused unread, written or not; one of just that size is not', async () => {
  await using lab = new SnapshotLab({ maxRolloutBytes: 1_000_000 });
  const { ref } = await lab.take();
  truncateSync(lab.rolloutFile(), 1_000_000);
  assert.equal((await lab.snapshots.take(lab.request())).ref.rolloutBytes, 1_000_000);
  appendFileSync(lab.rolloutFile(), 'x');
  const full = { code: 'session_full', details: { rollout_bytes: 1_000_001, limit_bytes: 1_000_000 } };
  await assert.rejects(lab.take(), full);
  await assert.rejects(lab.snapshots.hasGrownFrom(labKey, ref, lab.place), full);
  truncateSync(lab.rolloutFile(), ref.rolloutBytes);
  assert.equal(await lab.snapshots.hasGrownFrom(labKey, ref, lab.place), true);
});

test('a rollout that is cut while it is read is what was read of it', async () => {
  await using lab = new SnapshotLab();
  truncateSync(lab.rolloutFile(), 1_000_000);
  const file = RolloutFile.open(lab.place.sessions, lab.request().rolloutPath);
  const sizes: number[] = [];
  for await (const piece of file.pieces(0, file.bytes)) {
    sizes.push(piece.length);
    truncateSync(lab.rolloutFile(), 300_000);
  }
  file.close();
  assert.deepEqual(sizes, [262_144, 300_000 - 262_144]);
});
