import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { FakeClock } from '../testing/fake-clock.ts';
import {
  endOthers,
  hasCompany,
  isAlone,
  readSurroundings,
  rootFileSystem,
  type Surroundings,
} from './own-container.ts';

const inPod: Surroundings = {
  pid: 1,
  parentPid: 0,
  uid: 65_532,
  initUid: 65_532,
  initName: 'codex-fleet',
  rootFileSystem: 'overlay',
  hasContainerMark: true,
};

const places: readonly { readonly where: string; readonly at: Partial<Surroundings>; readonly alone: boolean }[] = [
  { where: 'the first process of a container', at: {}, alone: true },
  { where: 'the same, on a root of another kind, by the mark', at: { rootFileSystem: '9p' }, alone: true },
  { where: 'below a small init of the same user', at: { pid: 7, parentPid: 1, initName: 'tini' }, alone: true },
  { where: 'below a program that may start others, too', at: { pid: 7, parentPid: 1, initName: 'node' }, alone: false },
  { where: 'below an init of root', at: { pid: 7, parentPid: 1, initName: 'tini', initUid: 0 }, alone: false },
  {
    where: "beside others that share the pod's processes",
    at: { pid: 7, parentPid: 0, initUid: 65_535, initName: 'pause' },
    alone: false,
  },
  { where: 'in a shell of a container', at: { pid: 90, parentPid: 80 }, alone: false },
  {
    where: 'as root below an init, which a host has, too',
    at: { pid: 7, parentPid: 1, initName: 'tini', uid: 0, initUid: 0 },
    alone: false,
  },
  {
    where: 'on a host, let go by its shell',
    at: { pid: 4711, parentPid: 1, uid: 1_000, initUid: 0, rootFileSystem: 'ext4', hasContainerMark: false },
    alone: false,
  },
  {
    where: 'in a PID namespace made by hand on a host',
    at: { rootFileSystem: 'ext4', hasContainerMark: false },
    alone: false,
  },
  { where: 'where nothing can be read', at: { rootFileSystem: null, hasContainerMark: false }, alone: false },
];
for (const { alone, at, where } of places) {
  test(`${where}: ${alone ? 'alone' : 'not known to be alone'}`, () => {
    assert.equal(isAlone({ ...inPod, ...at }), alone);
  });
}

test('a test runner is never alone', () => {
  assert.equal(isAlone(readSurroundings()), false);
});

test('the root is the last one mounted over it', () => {
  const mounts = [
    '1 0 8:1 / / rw - ext4 /dev/sda1 rw',
    '30 1 0:40 / / rw - overlay overlay rw',
    '31 30 0:5 / /proc rw - proc proc rw',
  ];
  assert.equal(rootFileSystem(mounts.join('\n')), 'overlay');
  assert.equal(rootFileSystem(''), null);
});

test('others are ended until none is left, and one that cannot be ended is said', async () => {
  const clock = new FakeClock();
  let left = [5, 6, 7];
  const ending = endOthers(clock, { killAll: () => void (left = left.slice(1)), left: () => left });
  await clock.advanceAsync(100);
  await ending;
  const stuck = assert.rejects(endOthers(clock, { killAll: () => {}, left: () => [9] }), /cannot be ended/);
  await clock.advanceAsync(2_100);
  await stuck;
});

const unshare = ['--user', '--map-root-user', '--pid', '--fork', '--mount-proc', '--kill-child'];
const canUnshare = spawnSync('unshare', [...unshare, 'true']).status === 0;

test('in a PID namespace of its own the first process outlives all that agents left, daemons too', {
  skip: canUnshare ? false : 'no user and PID namespaces can be made here (unshare --user --pid)',
}, () => {
  const module = path.join(import.meta.dirname, 'own-container.ts');
  const clock = path.join(import.meta.dirname, '../observability/system-clock.ts');
  const script = `
    import { spawn } from 'node:child_process';
    import { readdirSync } from 'node:fs';
    import { endOthers } from ${JSON.stringify(module)};
    import { SystemClock } from ${JSON.stringify(clock)};
    // Anywhere else it would end the tests, and more.
    if (process.pid !== 1) process.exit(9);
    spawn('bash', ['-c', 'for n in 1 2 3; do setsid sleep 606 & done; (while :; do sleep 0.01; done) & wait'], { stdio: 'ignore' });
    await new Promise((resolve) => setTimeout(resolve, 300));
    const seen = () => readdirSync('/proc').filter((name) => /^\\d+$/.test(name)).length;
    const before = seen();
    await endOthers(new SystemClock());
    process.stdout.write(before > 4 ? 'alone' : 'nothing was there');
  `;
  const ran = spawnSync('unshare', [...unshare, process.execPath, '--input-type=module', '-e', script], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  assert.deepEqual([ran.status, ran.stdout], [0, 'alone'], ran.stderr);
});

test('where nobody else is, nobody is killed', async () => {
  await endOthers(new FakeClock(), { killAll: () => assert.fail('killed'), left: () => [] });
});

test('who runs beside us before any agent does is company, and nobody’s leftover', () => {
  const kill = (): never => assert.fail('killed');
  assert.equal(hasCompany({ killAll: kill, left: () => [7] }), true);
  assert.equal(hasCompany({ killAll: kill, left: () => [] }), false);
});
