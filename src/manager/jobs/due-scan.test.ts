import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { FleetPlace, Page } from '../../contracts/records.ts';
import { DueBacklog } from './due-backlog.ts';
import { DueScan } from './due-scan.ts';

class DueList {
  places: FleetPlace[] = [];
  entries = 0;
  #count = 0;

  add(tenant: string, at: number): void {
    const id = String(++this.#count).padStart(6, '0');
    this.places.push({ tenant, id, sessionId: id, at });
    this.places.sort((a, b) => a.at - b.at || (a.id < b.id ? -1 : 1));
  }

  remove(place: FleetPlace): void {
    this.places = this.places.filter(({ id }) => id !== place.id);
  }

  readonly read = async (after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> => {
    const rest = this.places.filter(
      ({ at, id }) => after === null || at > after.at || (at === after.at && id > after.id),
    );
    this.entries += Math.min(limit, rest.length);
    return { data: rest.slice(0, limit), hasMore: rest.length > limit };
  };
}

test('with the smallest memory every job comes up, those of a tenant in their order, and the memory is kept to', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(7), { minLength: 1, maxLength: 120 }),
      fc.array(fc.nat(7), { maxLength: 60 }),
      async (atFirst, later) => {
        const list = new DueList();
        const backlog = new DueBacklog({ mostPlaces: 9, mostPerTenant: 3 });
        const scan = new DueScan(backlog);
        for (const [index, tenant] of atFirst.entries()) list.add(`t${tenant}`, index);
        const coming = [...later];
        const last = new Map<string, number>();
        const total = atFirst.length + later.length;
        let taken = 0;
        let nowMs = 10_000;
        for (let passes = 0; passes < 4 * total + 20 && taken < total; passes++) {
          nowMs += 1_000;
          const next = coming.pop();
          if (next !== undefined) list.add(`t${next}`, nowMs);
          await scan.read(list.read, nowMs, nowMs, true);
          assert.ok(backlog.size <= 9);
          const place = backlog.take(nowMs);
          if (place === null) continue;
          assert.ok((last.get(place.tenant) ?? -1) < place.at, 'the older first');
          last.set(place.tenant, place.at);
          list.remove(place);
          taken++;
        }
        assert.equal(taken, total);
      },
    ),
    { numRuns: 200 },
  );
});

test('tenants take turns, and one that is held is passed over until its time', () => {
  const backlog = new DueBacklog();
  const list = new DueList();
  for (const tenant of ['a', 'a', 'a', 'b', 'c', 'c']) list.add(tenant, 1);
  for (const place of list.places) backlog.add(place, true);
  backlog.hold('c', 100, 0);
  const taken = (nowMs: number): string | undefined => backlog.take(nowMs)?.tenant;
  assert.deepEqual([taken(0), taken(0), taken(0)], ['a', 'b', 'a']);
  assert.deepEqual([taken(100), taken(100), taken(100), taken(100)], ['c', 'a', 'c', undefined]);
});

test('a list that does not change is read once and then from its end; from the beginning only now and then', async () => {
  const list = new DueList();
  for (let number = 0; number < 3_000; number++) list.add('a', number);
  const scan = new DueScan(new DueBacklog());
  for (let second = 0; second < 100; second++) await scan.read(list.read, 100_000, second * 1_000, true);
  assert.equal(list.entries, 3_000);
  for (let second = 100; second < 200; second++) await scan.read(list.read, 100_000, second * 1_000, true);
  assert.equal(list.entries, 6_000);
});

test('while nothing may begin nothing new is read, but for what a reading had not reached yet', async () => {
  const list = new DueList();
  for (let number = 0; number < 2_500; number++) list.add('a', number);
  const scan = new DueScan(new DueBacklog());
  await scan.read(list.read, 100_000, 0, true);
  assert.equal(list.entries, 1_000);
  for (let second = 1; second < 200; second++) await scan.read(list.read, 100_000, second * 1_000, false);
  assert.equal(list.entries, 2_500);
});

test('what comes to stand before the end of the list, for clocks differ, is found in a minute', async () => {
  const list = new DueList();
  for (let number = 0; number < 10; number++) list.add('a', number);
  const backlog = new DueBacklog();
  const scan = new DueScan(backlog);
  await scan.read(list.read, 100_000, 0, true);
  list.add('b', 5);
  await scan.read(list.read, 100_000, 30_000, true);
  assert.equal(backlog.size, 10);
  await scan.read(list.read, 100_000, 61_000, true);
  assert.equal(backlog.size, 11);
});
