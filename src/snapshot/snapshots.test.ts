import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { test } from 'node:test';
import { joined, labKey, plainLine, SnapshotLab, toolLine, treeOnDisk } from '../testing/snapshot-lab.ts';

test('what is restored is what was there: modes, links, empty directories, names of all kinds, large files', async () => {
  await using lab = new SnapshotLab({ packBytes: 64 * 1024 });
  lab.write('readme.md', 'hello');
  lab.write('bin/run', '#!/bin/sh\n', 0o755);
  lab.write('secret', 'x', 0o600);
  lab.write('empty', '');
  lab.write('grüße/日本語/😀.txt', 'unicode');
  lab.write('large.bin', randomBytes(300_000));
  lab.write('a/b/c/d/e/f/deep', 'deep');
  lab.write('same-1', randomBytes(100));
  lab.write('same-2', readFileSync(lab.file('same-1')));
  linkSync(lab.file('readme.md'), lab.file('hard link'));
  mkdirSync(lab.file('hollow/inner'), { recursive: true });
  chmodSync(lab.file('hollow'), 0o700);
  symlinkSync('readme.md', lab.file('link'));
  symlinkSync('/etc/passwd', lab.file('outside'));
  symlinkSync('nowhere', lab.file('a/dangling'));
  lab.write('closed/file', 'in a directory that forbids writing', 0o444);
  chmodSync(lab.file('closed'), 0o555);
  const { ref, facts } = await lab.take();
  const into = lab.newPlace();
  assert.deepEqual(await lab.snapshots.restore(labKey, ref, into), { ref, damaged: [] });
  assert.deepEqual(treeOnDisk(into.ws), treeOnDisk(lab.place.ws));
  assert.deepEqual(readFileSync(lab.rolloutFile(into)), readFileSync(lab.rolloutFile()));
  assert.equal(facts.files, 11);
});

test('a second snapshot of nothing new is the first one', async () => {
  await using lab = new SnapshotLab();
  lab.write('a', '1');
  const first = await lab.take();
  const second = await lab.take();
  assert.deepEqual(second.ref, first.ref);
  assert.equal(second.facts.putBytes, 0);
});

test('content that the session has already is not stored again', async () => {
  await using lab = new SnapshotLab();
  const content = randomBytes(500_000);
  lab.write('a', content);
  await lab.take();
  lab.write('b', content);
  lab.write('c', content);
  const { ref, facts } = await lab.take();
  assert.ok(facts.putBytes < 10_000, `${facts.putBytes} bytes were put`);
  const into = lab.newPlace();
  await lab.snapshots.restore(labKey, ref, into);
  assert.deepEqual(treeOnDisk(into.ws), treeOnDisk(lab.place.ws));
});

test('a turn without a tool call looks at no file; one with a call does', async () => {
  await using lab = new SnapshotLab();
  lab.write('a', '1');
  await lab.take();
  lab.write('b', '2');
  lab.appendRollout(plainLine);
  const untouched = await lab.take({ workspace: 'unless_untouched' });
  lab.appendRollout(toolLine);
  const touched = await lab.take({ workspace: 'unless_untouched' });
  assert.deepEqual(
    [untouched.facts.walked, untouched.facts.changed, touched.facts.walked, touched.facts.changed],
    [false, 0, true, 1],
  );
});

test('of a large file that was appended to, only what is new is stored', async () => {
  await using lab = new SnapshotLab({ packBytes: 64 * 1024 });
  const content = randomBytes(640_000);
  lab.write('log', content);
  await lab.take();
  lab.write('log', Buffer.concat([content, randomBytes(1000)]));
  const { ref, facts } = await lab.take();
  assert.ok(facts.putBytes < 70_000, `${facts.putBytes} bytes were put`);
  const reader = await lab.snapshots.open(labKey, ref);
  const file = reader.entries.get('log');
  assert.ok(file?.kind === 'file');
  assert.deepEqual(await joined(reader.read(file, null)), readFileSync(lab.file('log')));
});

test('a workspace that is too large, or whose thread is stopped, gives no snapshot', async () => {
  await using lab = new SnapshotLab({ maxFiles: 3, maxBytes: 1000 });
  for (const name of ['1', '2', '3', '4']) lab.write(name, '');
  await assert.rejects(lab.take(), { code: 'workspace_too_large', details: { files: 4, limit: 3 } });
  assert.equal((await lab.take({ exclude: ['4'] })).facts.files, 3);
  lab.write('1', randomBytes(1001));
  await assert.rejects(lab.take({ exclude: ['4'] }), {
    code: 'workspace_too_large',
    details: { bytes: 1001, limit: 1000 },
  });
  const refused = assert.rejects(lab.take(), { code: 'draining' });
  await lab.snapshots.stop();
  await refused;
});

test('a rollout that was written over is stored anew; one that is gone or empty is refused', async () => {
  await using lab = new SnapshotLab();
  for (let turn = 0; turn < 30; turn += 1) {
    lab.appendRollout(plainLine.repeat(turn + 1));
    await lab.take({ workspace: 'unless_untouched' });
    if (turn % 7 === 0) await lab.restart();
  }
  assert.equal(await lab.snapshots.hasGrownFrom(labKey, lab.ref!, lab.place), true);
  writeFileSync(lab.rolloutFile(), plainLine.toUpperCase().repeat(600));
  assert.equal(await lab.snapshots.hasGrownFrom(labKey, lab.ref!, lab.place), false);
  await lab.restart();
  const { ref } = await lab.take();
  const into = lab.newPlace();
  await lab.snapshots.restore(labKey, ref, into);
  assert.deepEqual(readFileSync(lab.rolloutFile(into)), readFileSync(lab.rolloutFile()));
  truncateSync(lab.rolloutFile());
  await assert.rejects(lab.take(), { code: 'session_corrupt' });
  rmSync(lab.rolloutFile());
  await assert.rejects(lab.take(), { code: 'session_corrupt', details: { part: 'rollout', problem: 'it is missing' } });
  symlinkSync('/etc/passwd', lab.rolloutFile());
  await assert.rejects(lab.take(), { code: 'session_corrupt' });
});
