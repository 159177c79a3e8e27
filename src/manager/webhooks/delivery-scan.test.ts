import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FleetPlace } from '../../contracts/records.ts';
import { FakeClock } from '../../testing/fake-clock.ts';
import { DeliveryScan } from './delivery-scan.ts';

/** What is due, as a store would list it; counts what it shows. To be added to in the order of the places. */
class Due {
  readonly places: FleetPlace[] = [];
  shown = 0;
  calls = 0;

  add(number: number, at: number): void {
    this.places.push({ tenant: 'acme', id: String(number).padStart(9, '0'), sessionId: `hook/turn-${number}`, at });
  }

  async listDue(
    beforeMs: number,
    after: FleetPlace | null,
    limit: number,
  ): Promise<{ data: FleetPlace[]; hasMore: boolean }> {
    const start =
      after === null ? 0 : this.places.findIndex(({ at, id }) => at > after.at || (at === after.at && id > after.id));
    const rest = start === -1 ? [] : this.places.slice(start, start + limit + 1).filter(({ at }) => at < beforeMs);
    const data = rest.slice(0, limit);
    this.calls++;
    this.shown += data.length;
    return { data, hasMore: rest.length > limit };
  }
}

const goesOn = (): boolean => false;

test('with fifty thousand that wait, a quiet minute shows little more than what is new, and all of them in the end', async () => {
  const clock = new FakeClock();
  const due = new Due();
  for (let number = 0; number < 50_000; number++) due.add(number, clock.now() - 60_000);
  const seen = new Set<string>();
  const scan = new DeliveryScan({
    deliveries: due,
    clock,
    onDue: ({ id }) => {
      const isNews = !seen.has(id);
      seen.add(id);
      return isNews;
    },
  });
  let passes = 1;
  while (await scan.pass(goesOn)) passes++;
  assert.equal(seen.size, 50_000);
  assert.equal(passes, 50);
  due.shown = 0;
  for (let second = 0; second < 600; second++) {
    clock.advance(1_000);
    if (second % 60 === 0) due.add(100_000 + second, clock.now());
    await scan.pass(goesOn);
  }
  assert.equal(seen.size, 50_010);
  // Ten minutes: a thousand entries each by the sweep, and each new one three times.
  assert.ok(due.shown <= 10_100, `${due.shown} shown`);
});

test('what was written behind the edge, by a host whose clock is behind, is found within a minute; a little late, at once', async () => {
  const clock = new FakeClock();
  const due = new Due();
  const seen: number[] = [];
  const scan = new DeliveryScan({ deliveries: due, clock, onDue: ({ id }) => seen.push(Number(id)) > 0 });
  const pass = async (): Promise<void> => {
    clock.advance(1_000);
    await scan.pass(goesOn);
  };
  due.add(1, clock.now());
  for (let second = 0; second < 5; second++) await pass();
  due.places.length = 0;
  due.add(2, clock.now() - 1_500);
  seen.length = 0;
  await pass();
  assert.deepEqual(seen, [2]);
  due.places.length = 0;
  due.add(3, clock.now() - 3_600_000);
  seen.length = 0;
  for (let second = 0; second < 61; second++) await pass();
  assert.deepEqual([...new Set(seen)], [3]);
});

test('a burst of thousands is gone through from where the last pass stopped, and nothing twice', async () => {
  const clock = new FakeClock();
  const due = new Due();
  for (let number = 0; number < 5_000; number++) due.add(number, clock.now());
  const seen: string[] = [];
  const scan = new DeliveryScan({ deliveries: due, clock, onDue: ({ id }) => seen.push(id) > 0 });
  while (await scan.pass(goesOn)) clock.advance(50);
  assert.equal(seen.length, 5_000);
  assert.equal(new Set(seen).size, 5_000);
});

test('a scan that is stopped shows no further page', async () => {
  const clock = new FakeClock();
  const due = new Due();
  for (let number = 0; number < 500; number++) due.add(number, clock.now());
  const scan = new DeliveryScan({ deliveries: due, clock, onDue: () => true });
  await scan.pass(() => due.calls >= 2);
  assert.equal(due.calls, 2);
});
