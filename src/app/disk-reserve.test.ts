import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ServiceError } from '../core/errors.ts';
import { createSilentLogger } from '../observability/logger.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { openDataDir } from './data-dir.ts';
import { DiskReserve } from './disk-reserve.ts';
import { mountTinyDisk } from '../testing/tiny-disk.ts';

type Lab = { readonly dir: string; readonly clock: FakeClock; readonly open: () => Promise<DiskReserve> };

async function withDisk(t: TestContext, run: (lab: Lab) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'disk-reserve-'));
  const clock = new FakeClock();
  try {
    const unmount = mountTinyDisk(dir, '8m');
    if (unmount === null) {
      t.skip('needs the right to mount a tmpfs');
      return;
    }
    try {
      await run({ dir, clock, open: () => DiskReserve.open({ dir, clock, logger: createSilentLogger() }) });
    } finally {
      unmount();
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Moves the clock until it is so: the disk answers in its own time, not in the clock's. */
async function passUntil(clock: FakeClock, isSo: () => boolean): Promise<void> {
  const endMs = performance.now() + 10_000;
  while (!isSo() && performance.now() < endMs) await clock.advanceAsync(1_000);
  assert.ok(isSo());
}

function fill(dir: string): void {
  assert.throws(() => {
    for (;;) writeFileSync(join(dir, 'filling'), Buffer.alloc(16_384), { flag: 'a' });
  });
}

test('work that finds the disk full is run once more on what the reserve gives back', async (t) => {
  await withDisk(t, async ({ dir, clock, open }) => {
    const reserve = await open();
    assert.ok(statSync(join(dir, 'reserve')).size >= 1024 * 1024);
    fill(dir);
    const record = (): Promise<void> =>
      reserve.guard(async () => {
        try {
          writeFileSync(join(dir, 'record'), Buffer.alloc(60_000));
        } catch (error) {
          throw new ServiceError('storage_full', {}, { cause: error });
        }
      });
    await Promise.all([record(), record()]);
    assert.deepEqual([reserve.isLow, existsSync(join(dir, 'reserve'))], [true, false]);
    await clock.advanceAsync(60_000);
    assert.equal(reserve.isLow, true);
    rmSync(join(dir, 'filling'));
    await passUntil(clock, () => !reserve.isLow);
    assert.ok(existsSync(join(dir, 'reserve')));
    await reserve.close();
    assert.equal(clock.pendingTimers, 0);
  });
});

test('work that is only watched is not run again, and other errors give nothing up', async (t) => {
  await withDisk(t, async ({ open }) => {
    const reserve = await open();
    let runs = 0;
    const failing = (error: Error) => async (): Promise<never> => {
      runs++;
      throw error;
    };
    const other = new ServiceError('store_unavailable');
    await assert.rejects(reserve.guard(failing(other)), other);
    assert.deepEqual([reserve.isLow, runs], [false, 1]);
    const full = new ServiceError('storage_full');
    await assert.rejects(reserve.watch(failing(full)), full);
    assert.deepEqual([reserve.isLow, runs], [true, 2]);
    await assert.rejects(reserve.guard(failing(full)), full);
    assert.equal(runs, 4);
    await reserve.close();
  });
});

test('a reserve that is found on a full disk is given back at once, before anything is opened', async (t) => {
  await withDisk(t, async ({ dir, open }) => {
    await (await open()).close();
    assert.ok(existsSync(join(dir, 'reserve')));
    fill(dir);
    const reserve = await open();
    assert.deepEqual([reserve.isLow, existsSync(join(dir, 'reserve'))], [true, false]);
    await reserve.close();
  });
});

test('a reserve is made once, and found again by the next run', async (t) => {
  await withDisk(t, async ({ dir, open }) => {
    await (await open()).close();
    const { ino } = statSync(join(dir, 'reserve'));
    await (await open()).close();
    assert.equal(statSync(join(dir, 'reserve')).ino, ino);
  });
});

test('a disk that others filled is noticed without a write of ours, and told each time', async (t) => {
  await withDisk(t, async ({ dir, clock, open }) => {
    const reserve = await open();
    let told = 0;
    reserve.whenFull(() => told++);
    await clock.advanceAsync(10_000);
    assert.deepEqual([reserve.isLow, told], [false, 0]);
    for (const times of [1, 2]) {
      fill(dir);
      await passUntil(clock, () => reserve.isLow);
      assert.equal(told, times);
      assert.equal(await reserve.isDiskFull(), true);
      rmSync(join(dir, 'filling'));
      await passUntil(clock, () => !reserve.isLow);
    }
    await reserve.close();
    assert.equal(clock.pendingTimers, 0);
  });
});

test('a data directory on a full disk is opened on what the reserve gives back', async (t) => {
  await withDisk(t, async ({ dir, open }) => {
    const first = await openDataDir(dir);
    await (await open()).close();
    await first.close();
    fill(dir);
    const again = await openDataDir(dir);
    assert.equal(again.token, first.token);
    assert.equal(existsSync(join(dir, 'reserve')), false);
    await again.close();
  });
});
