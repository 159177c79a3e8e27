import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Lane, LaneBook } from './lane-book.ts';

const limits = {
  mostAtOnce: 64,
  mostOfTenant: 32,
  mostOfReceiver: 8,
  mostToFailing: 32,
  mostLanes: 100,
  mostLanesOfTenant: 80,
  mostLanesOfReceiver: 50,
  mostLanesOfProbed: 20,
};

test('lanes of one receiver do not fill the book, receivers take turns, and those that fail leave room', () => {
  const book = new LaneBook(limits);
  for (let number = 0; number < 70; number++) book.see('acme', `dead/turn-${number}`, 0);
  assert.equal(book.due, 50);
  assert.ok(book.see('acme', 'good/turn-1', 0));
  assert.ok(!book.see('acme', 'good/turn-1', 0));
  assert.ok(book.see('zeta', 'good/turn-1', 0), 'the same name of another tenant is another lane');
  const first = [1, 2, 3].map(() => book.take(0)?.receiver.key);
  assert.equal(new Set(first).size, 3);
  const more = Array.from({ length: 20 }, () => book.take(0)).filter((lane) => lane !== null);
  assert.equal(more.length, 7, 'eight of one receiver at once');
});

test('who fails three times is asked one at a time and ever more rarely; an arrival opens it at once', () => {
  const book = new LaneBook(limits);
  for (let number = 0; number < 20; number++) book.see('acme', `dead/turn-${number}`, 0);
  const lane = book.take(0);
  assert.ok(lane);
  const { receiver } = lane;
  for (let failures = 0; failures < 3; failures++) book.failed(receiver, 5, 0, 0);
  book.release(lane, 'at once', 0);
  assert.equal(receiver.failingSince, 5);
  assert.equal(book.take(999), null);
  assert.ok(book.take(1_000));
  assert.equal(book.take(1_000), null, 'one at a time');
  for (let failures = 0; failures < 50; failures++) book.failed(receiver, 9, 1_000, 0);
  assert.equal(receiver.notBeforeMs, 61_000);
  assert.equal(receiver.failingSince, 5);
  book.arrived(receiver, 10);
  assert.ok(book.take(1_001));
});

test('all that fail together get half of the places', () => {
  const book = new LaneBook({ ...limits, mostToFailing: 4 });
  for (let number = 0; number < 20; number++) book.see('acme', `dead-${number}/turn`, 0);
  const lanes = Array.from({ length: 20 }, () => book.take(0)).filter((lane) => lane !== null);
  for (const lane of lanes) book.failed(lane.receiver, 0, 0, 0);
  for (const lane of lanes) book.release(lane, 'at once', 0);
  book.see('acme', 'good/turn', 0);
  const taken = Array.from({ length: 20 }, () => book.take(1)?.receiver.key);
  assert.equal(taken.filter((key) => key?.includes('dead')).length, 4);
  assert.ok(taken.some((key) => key?.includes('good')));
});

test('a lane that is shown again while it is looked at is looked at once more', () => {
  const book = new LaneBook(limits);
  book.see('acme', 'hook/turn', 0);
  const lane = book.take(0);
  assert.ok(lane);
  book.see('acme', 'hook/turn', 0);
  book.release(lane, 'when seen', 0);
  assert.equal(book.take(0), lane);
  book.release(lane, 'when seen', 0);
  assert.deepEqual([book.take(0), book.due], [null, 0]);
  book.see('acme', 'hook/turn', 0);
  const again = book.take(0);
  assert.ok(again);
  book.release(again, 5_000, 0);
  book.see('acme', 'hook/turn', 4_999);
  assert.equal(book.take(4_999), null);
  book.wake(5_000);
  assert.equal(book.take(5_000), again);
});

/** All that may be taken now. */
function takeAll(book: LaneBook, nowMs: number): Lane[] {
  const lanes: Lane[] = [];
  for (let lane = book.take(nowMs); lane !== null; lane = book.take(nowMs)) lanes.push(lane);
  return lanes;
}

test('one tenant gets some of the places, in the book and under way; another that comes later is served at once', () => {
  const book = new LaneBook({ ...limits, mostOfTenant: 16 });
  for (let hook = 0; hook < 20; hook++)
    for (let turn = 0; turn < 20; turn++) book.see('acme', `hook-${hook}/turn-${turn}`, 0);
  assert.equal(book.due, 80);
  assert.equal(takeAll(book, 0).length, 16);
  assert.ok(book.see('zeta', 'hook/turn', 0));
  assert.deepEqual(
    takeAll(book, 0).map(({ tenant }) => tenant),
    ['zeta'],
  );
});

test('tenants take turns, however many receivers one has', () => {
  const book = new LaneBook(limits);
  for (let hook = 0; hook < 40; hook++) book.see('acme', `hook-${hook}/turn`, 0);
  for (let turn = 0; turn < 4; turn++) book.see('zeta', `hook/turn-${turn}`, 0);
  const tenants = Array.from({ length: 8 }, () => book.take(0)?.tenant);
  assert.deepEqual(tenants, ['acme', 'zeta', 'acme', 'zeta', 'acme', 'zeta', 'acme', 'zeta']);
});

test('a lane that waits for hours keeps no place, is no news meanwhile, and is shown again in time', () => {
  const book = new LaneBook({ ...limits, mostLanesOfTenant: 1 });
  const hourMs = 3_600_000;
  book.see('acme', 'hook/turn-1', 0);
  const [lane] = takeAll(book, 0);
  assert.ok(lane);
  book.release(lane, hourMs, 0);
  assert.ok(!book.see('acme', 'hook/turn-1', hourMs - 61_000), 'what comes behind its first');
  assert.ok(book.see('acme', 'hook/turn-2', 0), 'there is room for another');
  const [other] = takeAll(book, 0);
  assert.ok(other);
  book.release(other, 'when seen', 0);
  assert.ok(book.see('acme', 'hook/turn-1', hourMs));
  const [again] = takeAll(book, hourMs);
  assert.ok(again);
  book.release(again, hourMs + 60_000, hourMs);
  assert.ok(!book.see('acme', 'hook/turn-3', hourMs), 'a minute is waited in place');
});

test('a receiver that fails is known as such when its lanes come back, and keeps room for few', () => {
  const book = new LaneBook(limits);
  for (let turn = 0; turn < 50; turn++) book.see('acme', `dead/turn-${turn}`, 0);
  const lanes = takeAll(book, 0);
  assert.equal(lanes.length, 8);
  for (const { receiver } of lanes) book.failed(receiver, 0, 0, 0);
  for (const lane of lanes) book.release(lane, 9_000_000, 0);
  assert.equal(book.due, 12);
  for (let nowMs = 100_000; book.due > 0; nowMs += 100_000)
    for (const lane of takeAll(book, nowMs)) book.release(lane, 9_000_000, nowMs);
  for (let turn = 0; turn < 8; turn++) assert.ok(book.see('acme', `dead/turn-${turn}`, 9_000_000));
  const probes = takeAll(book, 9_000_000);
  assert.equal(probes.length, 1);
  assert.equal(probes[0]?.receiver.failures, 8);
});

test('the receivers of jobs at one place are one: so many at once, probed together, with room for so many', () => {
  const book = new LaneBook(limits);
  const origin = 'https://hooks.example.com';
  for (let job = 0; job < 30; job++) book.see('acme', `job-${job}/job-${job}`, 0);
  const going: Lane[] = [];
  for (let turns = 0; turns < 3; turns++)
    for (const lane of takeAll(book, 0)) {
      const next = book.share(lane, origin, 0);
      if (next === null) going.push(lane);
      else book.release(lane, next, 0);
    }
  assert.equal(going.length, 8);
  assert.equal(new Set(going.map(({ receiver }) => receiver)).size, 1);
  assert.equal(going[0] && book.share(going[0], origin, 0), null, 'again, it is the same');
  for (const { receiver } of going) book.failed(receiver, 0, 0, 0);
  for (const lane of going) book.release(lane, 'at once', 0);
  assert.equal(takeAll(book, 0).length, 0);
  const [probe, ...others] = takeAll(book, 100_000);
  assert.ok(probe);
  assert.deepEqual(others, []);
  assert.equal(book.due, 20);
  // One more than there is room for is asked about later.
  book.see('acme', 'job-new/job-new', 100_000);
  const [late] = takeAll(book, 100_000);
  assert.ok(late);
  assert.equal(book.share(late, origin, 100_000), 400_000);
  // The same place of another tenant is another receiver.
  book.see('zeta', 'job-1/job-1', 100_000);
  const [foreign] = takeAll(book, 100_000);
  assert.ok(foreign);
  assert.equal(book.share(foreign, origin, 100_000), null);
});
