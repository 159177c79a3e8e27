import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { isServiceError, ServiceError } from '../core/errors.ts';
import { removeTree } from './remove-tree.ts';
import { SessionFiles } from './session-files.ts';

const key = { tenant: '../..', sessionId: '019f0000-0000-7000-8000-000000000001' };
const seed = { relativePath: 'sessions/2026/01/01/rollout.jsonl', content: 'first line\n' };
const mark = { epoch: 1, object: null, isDirty: false };
const isSessionFailed = (error: unknown): boolean => isServiceError(error, 'session_failed');

async function place(t: TestContext) {
  const root = await mkdtemp(path.join(tmpdir(), 'session-files-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  const newSlot = async (name: string) => {
    const slot = { ws: path.join(root, 'slots', name, 'ws'), home: path.join(root, 'slots', name, 'home') };
    await mkdir(slot.ws, { recursive: true });
    await mkdir(path.join(slot.home, 'sessions'), { recursive: true });
    return slot;
  };
  return { files: new SessionFiles(path.join(root, 'sessions'), 'this-machine'), root, newSlot };
}

test('what a session holds moves from slot to slot as it is, links and odd names included', async (t) => {
  const { files, root, newSlot } = await place(t);
  await files.create(key, seed, 1);
  assert.deepEqual((await readdir(root)).sort(), ['sessions']);
  const first = await newSlot('a');
  await files.moveIn(key, first);
  const odd = ['-rf', 'a\nb', ' ', 'ümlaut', '\u202e', 'x'.repeat(255)];
  for (const name of odd) await writeFile(path.join(first.ws, name), name);
  await symlink('/etc/passwd', path.join(first.ws, 'link'));
  await symlink('/does/not/exist', path.join(first.ws, 'dangling'));
  await chmod(first.ws, 0o500);
  await files.moveOut(key, first, mark);
  const second = await newSlot('b');
  await files.moveIn(key, second);
  assert.deepEqual((await readdir(second.ws)).sort(), [...odd, 'link', 'dangling'].sort());
  for (const name of odd) assert.equal(await readFile(path.join(second.ws, name), 'utf8'), name);
  assert.equal(await readlink(path.join(second.ws, 'link')), '/etc/passwd');
  assert.equal(await readFile(path.join(second.home, seed.relativePath), 'utf8'), seed.content);
});

test('creating a session that has files leaves them as they are', async (t) => {
  const { files, newSlot } = await place(t);
  await files.create(key, seed, 1);
  await files.create(key, { ...seed, content: 'another\n' }, 1);
  const slot = await newSlot('a');
  await files.moveIn(key, slot);
  assert.equal(await readFile(path.join(slot.home, seed.relativePath), 'utf8'), seed.content);
});

test('a session without files is failed, not started afresh', async (t) => {
  const { files, newSlot } = await place(t);
  const slot = await newSlot('a');
  await writeFile(path.join(slot.ws, 'of the slot'), '');
  await assert.rejects(files.moveIn(key, slot), isSessionFailed);
  assert.deepEqual(await readdir(slot.ws), ['of the slot']);
});

for (const [what, plant] of [
  ['its workspace', (slot: { ws: string; home: string }) => slot.ws],
  ['its home', (slot: { ws: string; home: string }) => slot.home],
  ['its rollouts', (slot: { ws: string; home: string }) => path.join(slot.home, 'sessions')],
] as const) {
  test(`a link where ${what} was is not followed: nothing of the host moves, the session fails`, async (t) => {
    const { files, root, newSlot } = await place(t);
    const victim = path.join(root, 'victim');
    await mkdir(path.join(victim, 'sessions'), { recursive: true });
    await writeFile(path.join(victim, 'secret'), 'stays');
    await files.create(key, seed, 1);
    const slot = await newSlot('a');
    await files.moveIn(key, slot);
    await rm(plant(slot), { recursive: true });
    await symlink(victim, plant(slot));
    await assert.rejects(files.moveOut(key, slot, mark), isSessionFailed);
    assert.deepEqual((await readdir(victim)).sort(), ['secret', 'sessions']);
  });
}

test('a move that fails half way leaves every file where it was', async (t) => {
  const { files, newSlot } = await place(t);
  await files.create(key, seed, 1);
  const slot = await newSlot('a');
  await rm(slot.home, { recursive: true });
  await assert.rejects(files.moveIn(key, slot));
  const other = await newSlot('b');
  await files.moveIn(key, other);
  await writeFile(path.join(other.ws, 'work'), '');
  await rm(path.join(other.home, 'sessions'), { recursive: true });
  await assert.rejects(files.moveOut(key, other, mark), isSessionFailed);
  assert.deepEqual(await readdir(other.ws), ['work']);
});

test('an erased session has no files, whatever it held', async (t) => {
  const { files, newSlot } = await place(t);
  await files.create(key, seed, 1);
  await files.erase(key);
  await files.erase(key);
  await assert.rejects(files.moveIn(key, await newSlot('a')), isSessionFailed);
});

test('a tree is removed with its closed directories, and no further than its links', async (t) => {
  const { root } = await place(t);
  const tree = path.join(root, 'tree');
  await mkdir(path.join(tree, 'closed', 'inner'), { recursive: true });
  await writeFile(path.join(tree, 'closed', 'inner', 'file'), '');
  await writeFile(path.join(root, 'outside'), '');
  await symlink(path.join(root, 'outside'), path.join(tree, 'closed', 'link'));
  await chmod(path.join(tree, 'closed', 'inner'), 0o500);
  await chmod(path.join(tree, 'closed'), 0);
  await removeTree(tree);
  await assert.rejects(lstat(tree));
  await lstat(path.join(root, 'outside'));
});

test('a tree that is nested deeper than a path can be long is removed', async (t) => {
  const { root } = await place(t);
  const tree = path.join(root, 'tree');
  await mkdir(tree);
  const nest =
    'i=0; while [ $i -lt 60 ]; do mkdir "$1" && cd -P "$1" || exit 1; i=$((i+1)); done; mkdir closed; chmod 0 closed';
  execFileSync('/bin/bash', ['-c', nest, 'nest', 'd'.repeat(200)], { cwd: tree });
  await removeTree(tree);
  await assert.rejects(lstat(tree));
});

test('files come out of a slot on a full disk: first on the room that is kept, then on what Codex kept for itself', async (t) => {
  const { root, newSlot } = await place(t);
  let refusals = 0;
  const files = new SessionFiles(path.join(root, 'sessions'), 'this-machine', async (work) => {
    if (refusals-- > 0) throw new ServiceError('storage_full');
    return await work();
  });
  await files.create(key, seed, 1);
  const slot = await newSlot('a');
  await files.moveIn(key, slot);
  await writeFile(path.join(slot.home, 'state.sqlite'), 'large');
  await writeFile(path.join(slot.ws, 'work'), '');
  refusals = 2;
  await assert.rejects(files.moveOut(key, slot, mark), (error: unknown) => isServiceError(error, 'storage_full'));
  assert.deepEqual([await readdir(slot.ws), await readdir(slot.home)], [['work'], ['sessions']]);
  await writeFile(path.join(slot.home, 'state.sqlite'), 'large');
  refusals = 1;
  await files.moveOut(key, slot, mark);
  assert.equal((await files.mark(key))?.epoch, mark.epoch);
  assert.deepEqual(await readdir(files.restingPlace(key).ws), ['work']);
});

test('a session that is put back while an earlier putting back of it still goes on is whole, and the later one', async (t) => {
  const { files, newSlot } = await place(t);
  const gate = Promise.withResolvers<void>();
  const putBack = (text: string, before: Promise<void>): Promise<void> =>
    files.replace(key, async ({ sessions, ws }) => {
      await mkdir(ws);
      await mkdir(sessions);
      await writeFile(path.join(ws, `${text}.txt`), text);
      await before;
      await writeFile(path.join(ws, 'last.txt'), text);
      return mark;
    });
  const earlier = putBack('earlier', gate.promise);
  const later = putBack('later', Promise.resolve());
  setTimeout(() => gate.resolve(), 20);
  await Promise.all([earlier, later]);
  const slot = await newSlot('a');
  await files.moveIn(key, slot);
  assert.deepEqual((await readdir(slot.ws)).sort(), ['last.txt', 'later.txt']);
  assert.equal(await readFile(path.join(slot.ws, 'last.txt'), 'utf8'), 'later');
});
