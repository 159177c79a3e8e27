import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { createLogger } from '../observability/logger.ts';
import { clearEarlierLife, clearShared, readWaiting, writeWaiting } from './earlier-life.ts';

const logger = createLogger({ level: 'silent', role: 'test' });
let root: string;
let workerDir: string;
let shared: string;
beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'earlier-life-'));
  workerDir = path.join(root, 'fleet', 'workers', 'w1');
  shared = path.join(root, 'tmp');
  await Promise.all([workerDir, shared].map((dir) => mkdir(dir, { recursive: true })));
});
afterEach(() => rm(root, { recursive: true, force: true }));

test('of what an earlier life left nothing stays but what this one has made, whatever rights it took away', async () => {
  await writeFile(path.join(workerDir, 'lock.db'), '');
  for (const dir of ['sessions/a', 'slots/b/ws', 'codex/home-template', 'made/by/an/agent'])
    await mkdir(path.join(workerDir, dir), { recursive: true });
  await writeFile(path.join(shared, 'left'), 'a secret');
  await mkdir(path.join(shared, 'closed'));
  await writeFile(path.join(shared, 'closed', 'file'), '');
  await chmod(path.join(shared, 'closed'), 0);
  await clearEarlierLife({ workerDir, kept: ['lock.db'], shared: [shared, path.join(root, 'not-there')] }, logger);
  assert.deepEqual(await readdir(workerDir), ['lock.db']);
  assert.deepEqual(await readdir(shared), []);
});

test('a link is removed and what it leads to is not; where the fleet itself lies stays whole', async () => {
  const outside = path.join(root, 'outside');
  await mkdir(outside);
  await writeFile(path.join(outside, 'theirs'), '');
  await symlink(outside, path.join(workerDir, 'sessions'));
  await writeFile(path.join(workerDir, 'lock.db'), '');
  await clearEarlierLife({ workerDir, kept: ['lock.db'], shared: [] }, logger);
  assert.deepEqual(await readdir(outside), ['theirs']);
  await clearShared([root], workerDir, logger);
  assert.deepEqual(await readdir(root), ['fleet']);
  assert.deepEqual(await readdir(workerDir), ['lock.db']);
});

test('who waits is handed on to the next life; what was not written by us is nobody', async () => {
  await writeWaiting(workerDir, ['bob', 'cleo']);
  await writeWaiting(workerDir, ['cleo']);
  assert.deepEqual(await readWaiting(workerDir), ['cleo']);
  for (const text of ['{', '{"a":1}', '[1,null]']) {
    await writeFile(path.join(workerDir, 'waiting-tenants.json'), text);
    assert.deepEqual(await readWaiting(workerDir), []);
  }
  await rm(path.join(workerDir, 'waiting-tenants.json'));
  assert.deepEqual(await readWaiting(workerDir), []);
});
