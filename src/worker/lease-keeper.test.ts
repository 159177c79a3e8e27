import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemorySessionDirectory } from '../adapters/memory/memory-session-directory.ts';
import type { Lease } from '../contracts/session-directory.ts';
import { createLogger } from '../observability/logger.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { LeaseKeeper } from './lease-keeper.ts';

const lease: Lease = { tenant: 'acme', sessionId: 's-1', worker: 'worker-1', epoch: 1 };

async function keeping(
  isStillOurs: () => Promise<boolean> = async () => Promise.reject(new Error('away')),
  onDirectoryLost: () => void = () => {},
) {
  const clock = new FakeClock();
  const directory = new MemorySessionDirectory(clock);
  const keeper = new LeaseKeeper({
    directory,
    clock,
    logger: createLogger({ level: 'silent', role: 'test' }),
    leaseMs: 10_000,
    renewEveryMs: 3_000,
    selfFenceMs: 7_000,
    isStillOurs,
    onDirectoryLost,
  });
  keeper.start();
  const lostAt: number[] = [];
  const claimed = await keeper.claim(lease, () => lostAt.push(clock.monotonicMs()));
  return { claimed, clock, directory, keeper, lostAt };
}

test('a lease is kept for as long as the directory answers', async () => {
  const { claimed, clock, directory, keeper, lostAt } = await keeping();
  assert.equal(claimed, null);
  await clock.advanceAsync(60_000);
  assert.deepEqual([lostAt, await directory.lookup('acme', 's-1')], [[], lease]);
  keeper.stop();
  assert.equal(clock.pendingTimers, 0);
});

test('the lease of another worker is told, and not kept', async () => {
  const { clock, keeper, lostAt } = await keeping();
  const other = { ...lease, worker: 'worker-2', epoch: 2 };
  assert.deepEqual(await keeper.claim(other, () => lostAt.push(0)), lease);
  await clock.advanceAsync(20_000);
  assert.deepEqual(lostAt, []);
});

test('a refused renewal is a loss, told once', async () => {
  const { clock, directory, lostAt } = await keeping();
  await directory.release(lease);
  await clock.advanceAsync(30_000);
  assert.deepEqual(lostAt, [3_000]);
});

for (const [what, answer] of [
  ['hangs', () => new Promise<boolean>(() => {})],
  ['fails', () => Promise.reject(new Error('away'))],
] as const) {
  test(`a directory that ${what} is a loss after seven seconds, before the lease is anyone else's`, async () => {
    const { clock, directory, lostAt } = await keeping();
    directory.renew = answer;
    await clock.advanceAsync(9_999);
    assert.deepEqual(lostAt, [7_000]);
    assert.deepEqual(await directory.lookup('acme', 's-1'), lease);
  });
}

test('an answer that comes within the fence keeps the lease, counted from when it was asked for', async () => {
  const { clock, directory, lostAt } = await keeping();
  directory.renew = () => new Promise((resolve) => clock.after(3_000, () => resolve(true)));
  await clock.advanceAsync(6_500);
  directory.renew = () => new Promise(() => {});
  await clock.advanceAsync(10_000);
  assert.deepEqual(lostAt, [13_000]);
});

test('a released lease is free, and its loss is nobody’s', async () => {
  const { clock, directory, keeper, lostAt } = await keeping();
  await keeper.release(lease);
  assert.equal(await directory.lookup('acme', 's-1'), null);
  await clock.advanceAsync(20_000);
  assert.deepEqual(lostAt, []);
});

test('while the directory is away the records decide: what they say is ours is kept, the rest is lost', async () => {
  let isOurs = true;
  const { clock, directory, keeper, lostAt } = await keeping(async () => isOurs);
  directory.renew = () => new Promise<boolean>(() => {});
  await clock.advanceAsync(60_000);
  assert.deepEqual(lostAt, []);
  isOurs = false;
  await clock.advanceAsync(5_000);
  assert.equal(lostAt.length, 1);
  keeper.stop();
});

for (const [what, isOurs, taken] of [
  ['is taken up again', true, false],
  ['is lost when the records name another', false, false],
  ['is lost when another has claimed it', true, true],
] as const) {
  test(`a lease that ran out while the directory was away ${what}`, async () => {
    let isRecorded = true;
    const { clock, directory, keeper, lostAt } = await keeping(async () => isRecorded);
    const renew = directory.renew.bind(directory);
    directory.renew = () => new Promise<boolean>(() => {});
    await clock.advanceAsync(20_000);
    const other = { ...lease, worker: 'worker-2', epoch: 2 };
    if (taken) assert.equal(await directory.claim(other, 10_000), null);
    isRecorded = isOurs;
    directory.renew = renew;
    await clock.advanceAsync(5_000);
    const isKept = isOurs && !taken;
    assert.equal(lostAt.length, isKept ? 0 : 1);
    assert.deepEqual(await directory.lookup('acme', 's-1'), taken ? other : isKept ? lease : null);
    keeper.stop();
  });
}

test('after the directory was away, what seems free is not, for one lease', async () => {
  for (const holdsOne of [true, false]) {
    const { clock, directory, keeper } = await keeping(async () => true);
    if (!holdsOne) await keeper.release(lease);
    await clock.advanceAsync(20_000);
    assert.equal(await keeper.isForgetful(), false);
    const { knownForMs, renew } = directory;
    directory.renew = () => Promise.reject(new Error('away'));
    directory.knownForMs = () => Promise.reject(new Error('away'));
    await clock.advanceAsync(12_000);
    Object.assign(directory, { knownForMs, renew });
    assert.equal(await keeper.isForgetful(), true);
    await clock.advanceAsync(10_000);
    assert.equal(await keeper.isForgetful(), false);
    keeper.stop();
  }
});

test('a directory that has known less than before has lost what it knew: that is said once for each loss', async () => {
  let losses = 0;
  const { clock, directory, keeper } = await keeping(undefined, () => losses++);
  let bornMs = 0;
  directory.knownForMs = async () => clock.monotonicMs() - bornMs;
  await clock.advanceAsync(20_000);
  assert.equal(losses, 0);
  bornMs = clock.monotonicMs();
  await clock.advanceAsync(20_000);
  assert.equal(losses, 1);
  bornMs = clock.monotonicMs();
  await clock.advanceAsync(3_000);
  assert.equal(losses, 2);
  keeper.stop();
});
