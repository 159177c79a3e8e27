import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FairQueue, type Place } from './fair-queue.ts';

function drain(queue: FairQueue<string>): string[] {
  const taken: string[] = [];
  for (let next = queue.take(); next !== null; next = queue.take()) taken.push(next.item);
  return taken;
}

test('tenants take turns, and each of them is served in the order of coming', () => {
  const queue = new FairQueue<string>();
  for (const item of ['a1', 'a2', 'a3', 'b1', 'c1', 'c2']) queue.enter(item.slice(0, 1), item);
  assert.deepEqual(drain(queue), ['a1', 'b1', 'c1', 'a2', 'c2', 'a3']);
  assert.equal(queue.size, 0);
});

test('who was served goes behind those who have not been', () => {
  const queue = new FairQueue<string>();
  queue.enter('a', 'a1');
  queue.enter('a', 'a2');
  queue.enter('b', 'b1');
  assert.equal(queue.take()?.item, 'a1');
  queue.enter('a', 'a3');
  assert.deepEqual(drain(queue), ['b1', 'a2', 'a3']);
});

test('leaving twice is leaving once', () => {
  const queue = new FairQueue<string>();
  const place = queue.enter('a', 'a1');
  assert.deepEqual([queue.leave(place), queue.leave(place), queue.size, queue.take()], [true, false, 0, null]);
});

const step = fc.oneof(
  fc.record({ do: fc.constant('enter' as const), tenant: fc.constantFrom('a', 'b', 'c') }),
  fc.record({ do: fc.constant('leave' as const), which: fc.nat(50) }),
  fc.record({ do: fc.constant('take' as const) }),
);

test('whatever comes and goes, the foretold order is the order of serving, and a newcomer stands where told', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.constantFrom('a', 'b', 'd'), (steps, tenant) => {
      const queue = new FairQueue<string>();
      const places: Place<string>[] = [];
      let n = 0;
      for (const one of steps) {
        if (one.do === 'enter') places.push(queue.enter(one.tenant, `${one.tenant}${n++}`));
        else if (one.do === 'take') queue.take();
        else {
          const place = places[one.which % Math.max(1, places.length)];
          if (place !== undefined) queue.leave(place);
        }
      }
      const place = queue.placeOfNewcomer(tenant);
      queue.enter(tenant, 'newcomer');
      const foretold = queue.inOrder();
      assert.equal(foretold.length, queue.size);
      assert.equal(foretold.indexOf('newcomer') + 1, place);
      assert.deepEqual(drain(queue), foretold);
    }),
  );
});
