import assert from 'node:assert/strict';
import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, rmSync, symlinkSync, truncateSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import type { SnapshotRef } from '../core/session.ts';
import { labKey, plainLine, SnapshotLab, toolLine, treeOnDisk } from '../testing/snapshot-lab.ts';

const scale = Number(process.env['CODEX_FLEET_FAULTS_SCALE'] ?? 1);

const name = fc.constantFrom('a', 'b', 'd/x', 'd/y', 'd/e/f', 'd', 'ü/\uFFFD', 'ü/\uFF5E', 'ü/😀');
const content = fc.tuple(fc.integer({ min: 0, max: 255 }), fc.constantFrom(0, 1, 10, 3000, 4096, 9000, 20_000));
const step = fc.oneof(
  fc.record({ do: fc.constant('write' as const), name, content, mode: fc.constantFrom(0o644, 0o755, 0o400) }),
  fc.record({ do: fc.constant('remove' as const), name }),
  fc.record({ do: fc.constant('truncate' as const), name }),
  fc.record({ do: fc.constant('mkdir' as const), name }),
  fc.record({ do: fc.constant('link' as const), name }),
  fc.record({ do: fc.constant('chmod' as const), name, mode: fc.constantFrom(0o600, 0o755, 0o700) }),
  fc.record({ do: fc.constant('take' as const), talks: fc.boolean(), tools: fc.boolean() }),
  fc.record({ do: fc.constant('take and lose' as const) }),
  fc.record({ do: fc.constant('restart' as const) }),
  fc.record({ do: fc.constant('let go' as const) }),
  fc.record({ do: fc.constant('clear' as const) }),
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

async function perform(lab: SnapshotLab, one: Step): Promise<void> {
  switch (one.do) {
    case 'write': {
      const [byte, size] = one.content;
      makeWay(lab, one.name);
      lab.write(one.name, Buffer.alloc(size, byte), one.mode);
      return;
    }
    case 'remove':
      return rmSync(lab.file(one.name), { recursive: true, force: true });
    case 'truncate':
      if (isFile(lab, one.name)) truncateSync(lab.file(one.name), 7);
      return;
    case 'mkdir':
      makeWay(lab, one.name);
      mkdirSync(lab.file(one.name), { recursive: true });
      return;
    case 'link':
      makeWay(lab, one.name);
      if (one.name.includes('/'))
        mkdirSync(lab.file(one.name.slice(0, one.name.lastIndexOf('/'))), { recursive: true });
      return symlinkSync('/etc/passwd', lab.file(one.name));
    case 'chmod':
      if (isFile(lab, one.name)) chmodSync(lab.file(one.name), one.mode);
      return;
    case 'take':
      if (one.talks) lab.appendRollout(plainLine);
      if (one.tools) lab.appendRollout(toolLine);
      await lab.appendEvents(2);
      await lab.take();
      return;
    case 'take and lose':
      await lab.snapshots.take(lab.request());
      return;
    case 'restart':
      return await lab.restart();
    case 'let go':
      return await lab.snapshots.forget(labKey, lab.place.index);
    case 'clear':
      if (lab.ref !== null) await lab.snapshots.clear(labKey, 1, lab.ref, []);
  }
}

/** Nothing of that name, and no file or link where a directory on the way to it is needed. */
function makeWay(lab: SnapshotLab, path: string): void {
  const names = path.split('/');
  for (let length = 1; length < names.length; length += 1) {
    const above = lab.file(names.slice(0, length).join('/'));
    const stats = lstatSync(above, { throwIfNoEntry: false });
    if (stats !== undefined && !stats.isDirectory()) rmSync(above);
  }
  rmSync(lab.file(path), { recursive: true, force: true });
}

function isFile(lab: SnapshotLab, path: string): boolean {
  try {
    return lstatSync(lab.file(path)).isFile();
  } catch {
    // Not there, or below something that is no directory.
    return false;
  }
}

test('whatever is done to files, and whenever the fleet forgets, each kept snapshot restores what it was taken of', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      // Small packs and a short chain, so that every way of storing comes up.
      await using lab = new SnapshotLab({ packBytes: 4096, keepSnapshots: 3 });
      const taken = new Map<string, { ref: SnapshotRef; tree: Record<string, string>; rollout: string }>();
      for (const one of [...steps, { do: 'take', talks: true, tools: true } as const]) {
        await perform(lab, one);
        if (lab.ref === null) continue;
        const { object } = lab.ref;
        if (taken.has(object)) continue;
        taken.set(object, {
          ref: lab.ref,
          tree: treeOnDisk(lab.place.ws),
          rollout: readFileSync(lab.rolloutFile(), 'utf8'),
        });
      }
      for (const { ref, tree, rollout } of [...taken.values()].slice(-3)) {
        await lab.restart();
        const into = lab.newPlace();
        assert.deepEqual(await lab.snapshots.restore(labKey, ref, into), { ref, damaged: [] });
        assert.deepEqual(treeOnDisk(into.ws), tree);
        assert.equal(readFileSync(lab.rolloutFile(into), 'utf8'), rollout);
        assert.equal(existsSync(into.index), false);
      }
    }),
    { numRuns: 15 * scale },
  );
});
