import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LaneBook } from './lane-book.ts';

const limits = { mostAtOnce: 64, mostOfReceiver: 8, mostToFailing: 32, mostLanes: 100, mostLanesOfReceiver: 50 };

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
  book.release(lane, 'at once');
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
  for (const lane of lanes) book.release(lane, 'at once');
  book.see('acme', 'good/turn', 0);
  const taken = Array.from({ length: 20 }, () => book.take(1)?.receiver.targetId);
  assert.equal(taken.filter((id) => id?.startsWith('dead')).length, 4);
  assert.ok(taken.includes('good'));
});

test('a lane that is shown again while it is looked at is looked at once more', () => {
  const book = new LaneBook(limits);
  book.see('acme', 'hook/turn', 0);
  const lane = book.take(0);
  assert.ok(lane);
  book.see('acme', 'hook/turn', 0);
  book.release(lane, 'when seen');
  assert.equal(book.take(0), lane);
  book.release(lane, 'when seen');
  assert.deepEqual([book.take(0), book.due], [null, 0]);
  book.see('acme', 'hook/turn', 0);
  const again = book.take(0);
  assert.ok(again);
  book.release(again, 5_000);
  book.see('acme', 'hook/turn', 4_999);
  assert.equal(book.take(4_999), null);
  book.wake(5_000);
  assert.equal(book.take(5_000), again);
});
