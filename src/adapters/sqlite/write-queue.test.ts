import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ServiceError } from '../../core/errors.ts';
import { FakeClock } from '../../testing/fake-clock.ts';
import { WriteQueue, type WriteQueueOptions } from './write-queue.ts';

const busy = new Error('busy');

function queueWith(options: Partial<WriteQueueOptions>): { queue: WriteQueue; clock: FakeClock } {
  const clock = new FakeClock();
  const queue = new WriteQueue({
    clock,
    transact: (work) => work(),
    sync: async () => {},
    isBusy: (error) => error === busy,
    translate: (cause) => new ServiceError('store_unavailable', {}, { cause }),
    busyDeadlineMs: 1_000,
    ...options,
  });
  return { queue, clock };
}

test('the first write of a tick is done at once, the others of that tick in one transaction', async () => {
  const sizes: number[] = [];
  let size = 0;
  const { queue } = queueWith({
    transact: (work) => {
      size = 0;
      work();
      sizes.push(size);
    },
  });
  const write = (): Promise<number> => queue.write(() => ++size, 'os');
  const writes = [write()];
  assert.deepEqual(sizes, [1]);
  for (let index = 0; index < 100; index++) writes.push(write());
  await Promise.all(writes);
  assert.deepEqual(sizes, [1, 64, 36]);
});

test('a file that is busy is waited for without blocking, and order is kept', async () => {
  let refusals = 5;
  const done: number[] = [];
  const { queue, clock } = queueWith({
    transact: (work) => {
      if (refusals-- > 0) throw busy;
      work();
    },
  });
  const writes = [1, 2, 3].map((number) => queue.write(() => done.push(number), 'os'));
  await clock.advanceAsync(200);
  await Promise.all(writes);
  assert.deepEqual(done, [1, 2, 3]);
});

test('a file that stays busy past the deadline is given up, and later writes begin anew', async () => {
  let isBusy = true;
  const { queue, clock } = queueWith({
    transact: (work) => {
      if (isBusy) throw busy;
      work();
    },
  });
  const refused = assert.rejects(
    queue.write(() => 1, 'os'),
    { code: 'store_unavailable', cause: busy },
  );
  await clock.advanceAsync(1_100);
  await refused;
  isBusy = false;
  assert.equal(await queue.write(() => 2, 'os'), 2);
});

test('a durable write is answered after its sync, one for all that came together, others do not wait for it', async () => {
  const { promise: synced, resolve } = Promise.withResolvers<void>();
  let syncs = 0;
  const { queue } = queueWith({
    sync: () => {
      syncs++;
      return synced;
    },
  });
  await queue.write(() => 0, 'os');
  const answered: string[] = [];
  const durable = ['a', 'b'].map((name) => queue.write(() => name, 'disk').then((value) => answered.push(value)));
  await queue.write(() => 0, 'os').then(() => answered.push('os'));
  assert.deepEqual(answered, ['os']);
  resolve();
  await Promise.all(durable);
  assert.deepEqual([answered, syncs], [['os', 'a', 'b'], 1]);
});

test('more writes than may wait are refused at once', async () => {
  const { queue, clock } = queueWith({
    transact: () => {
      throw busy;
    },
  });
  const waiting = Array.from({ length: 10_000 }, () => queue.write(() => 0, 'os'));
  await assert.rejects(
    queue.write(() => 0, 'os'),
    { code: 'store_unavailable' },
  );
  const ends = Promise.allSettled(waiting);
  const drained = queue.drained();
  for (let second = 0; second < 200; second++) await clock.advanceAsync(1_100);
  await Promise.all([ends, drained]);
});
