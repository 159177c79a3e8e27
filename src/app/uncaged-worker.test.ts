import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { createLogger } from '../observability/logger.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { UncagedWorker } from './uncaged-worker.ts';

const logger = createLogger({ level: 'silent', role: 'test' });
const nobodyHears = { onTaken: () => {}, onWanted: () => {} };
let root: string;
let shared: string;
let workerDir: string;
let ended: number;
beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'uncaged-worker-'));
  shared = path.join(root, 'tmp');
  workerDir = path.join(root, 'worker');
  ended = 0;
  await mkdir(workerDir);
  await mkdir(shared);
  await writeFile(path.join(shared, 'left'), '');
});
afterEach(() => rm(root, { recursive: true, force: true }));

function life(isAlone: boolean): UncagedWorker {
  return new UncagedWorker({
    ...{ isAlone, workerDir, logger },
    heartbeatMs: 1_000,
    clock: new FakeClock(),
    sharedPlaces: [shared],
    endOthers: async () => {
      ended += 1;
    },
  });
}

test('alone in its container, a life begins and each agent ends with nothing left beside it', async () => {
  const worker = life(true);
  await worker.begin();
  assert.deepEqual([ended, await readdir(shared)], [1, []]);
  worker.oneTenant(nobodyHears);
  await writeFile(path.join(shared, 'by-an-agent'), '');
  await worker.cleanUp(false);
  assert.deepEqual([ended, await readdir(shared)], [2, []]);
  await worker.cleanUp(true);
  assert.equal(ended, 2);
  assert.equal(worker.orphansBelow, 1);
});

test('where others live, too, only its own directory is cleared, and nobody is ended', async () => {
  await mkdir(path.join(workerDir, 'sessions'));
  const worker = life(false);
  await worker.begin();
  await worker.cleanUp(false);
  await worker.end();
  assert.deepEqual([ended, await readdir(shared), await readdir(workerDir)], [0, ['left'], []]);
  assert.equal(worker.orphansBelow, null);
});

test('who was refused in one life is served first in the next', async () => {
  const first = life(true);
  await first.begin();
  const tenants = first.oneTenant(nobodyHears);
  tenants.admit('ana');
  assert.throws(() => tenants.admit('bob'));
  await first.end();
  const second = life(true);
  await second.begin();
  const next = second.oneTenant(nobodyHears);
  assert.equal(next.reservedFor, 'bob');
  assert.deepEqual(await readdir(workerDir), []);
});

test('a worker that has a cage hands nothing on', async () => {
  const worker = life(true);
  await worker.end();
  assert.deepEqual([ended, await readdir(workerDir)], [0, []]);
});
