import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { PatchedTree } from './patched-tree.ts';
import { plantedBugs } from './planted-bugs.ts';

/** More than any of them needed when it was planted. */
const seeds = 2_000;
const timeout = 300_000;

const tree = new PatchedTree();
after(() => tree.remove());

for (const bug of plantedBugs) {
  test(`the simulation finds it when ${bug.name}`, { timeout }, async (t) => {
    const found = await tree.firstFailure(bug, seeds);
    assert.ok(found !== null, `${seeds} seeds did not find it`);
    t.diagnostic(`seed ${found.seed}: ${found.problem}`);
  });
}

test('a bug whose place is not found any more is not planted', async () => {
  const [bug] = plantedBugs;
  assert.ok(bug);
  await assert.rejects(tree.firstFailure({ ...bug, from: 'what nobody has written' }, 1), /is not once in/);
});

test('without a bug the copy of the sources holds', { timeout }, async () => {
  const same = 'if (first.header.seq > this.#position + 1) return null;';
  const sound = { name: 'nothing is changed', file: 'src/gateway/log-follower.ts', from: same, to: same };
  assert.equal(await tree.firstFailure(sound, 30), null);
});
