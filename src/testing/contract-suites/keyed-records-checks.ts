// What is the same for records of every kind that is found by tenant and id: checks made for one kind.

import assert from 'node:assert/strict';
import type { KeyedRecords, Page, PageQuery, Records } from '../../contracts/records.ts';
import type { ContractCheck } from './contract-suite.ts';
import { all, idOf, pages } from './record-pages.ts';

type Stored = { readonly tenant: string; readonly id: string; readonly revision: number; readonly createdAt: number };

export type KeyedKind<T> = {
  /** In the plural, as titles say it. */
  readonly name: string;
  readonly of: (records: Records) => KeyedRecords<T>;
  /** All of a tenant's that the plainest filter finds. */
  readonly list: (records: Records, tenant: string, query: PageQuery) => Promise<Page<T>>;
  /** One with something in each of its fields. */
  readonly whole: T;
  /** One with nothing special about it. */
  readonly plain: (changes: Partial<Stored>) => T;
  /** The same, visibly written by that one. */
  readonly by: (record: T, writer: string) => T;
};

/** Not a UUIDv7: its id does not say when it was made. */
const derivedId = 'ffffffff-0000-8000-8000-000000000000';

export function keyedRecordsChecks<T extends Stored>(kind: KeyedKind<T>): readonly ContractCheck<Records>[] {
  const { by, list, name, of, plain, whole } = kind;
  const { id, tenant } = whole;
  const writers = Array.from({ length: 8 }, (_, index) => `writer ${index}`);
  return [
    {
      title: `${name} that were created are read back whole; what was never created is null`,
      async run(records) {
        assert.equal(await of(records).get(tenant, id), null);
        assert.equal(await of(records).replace(whole), null);
        assert.deepEqual(await list(records, tenant, all), { data: [], hasMore: false });
        assert.deepEqual(await of(records).create(whole), { outcome: 'created', record: whole });
        assert.deepEqual(await of(records).get(tenant, id), whole);
        assert.deepEqual(await list(records, tenant, all), { data: [whole], hasMore: false });
      },
    },
    {
      title: `${name}: an id that is taken answers what stands, unchanged`,
      async run(records) {
        const stands = by(whole, 'the first');
        await of(records).create(stands);
        assert.deepEqual(await of(records).create(by(whole, 'another')), { outcome: 'exists', record: stands });
        assert.deepEqual(await of(records).get(tenant, id), stands);
      },
    },
    {
      title: `${name}: of many that create the same at once exactly one does`,
      async run(records) {
        const results = await Promise.all(writers.map((writer) => of(records).create(by(whole, writer))));
        const created = results.filter(({ outcome }) => outcome === 'created');
        assert.equal(created.length, 1);
        for (const { record } of results) assert.deepEqual(record, created[0]?.record);
        assert.deepEqual(await of(records).get(tenant, id), created[0]?.record);
      },
    },
    {
      title: `${name}: a write on the revision that was read wins, on an older or a later one it changes nothing`,
      async run(records) {
        await of(records).create(whole);
        const second = await of(records).replace(by(whole, 'the first'));
        assert.deepEqual(second, { ...by(whole, 'the first'), revision: 2 });
        for (const revision of [1, 3]) {
          assert.equal(await of(records).replace({ ...by(whole, 'another'), revision }), null);
        }
        assert.deepEqual(await of(records).get(tenant, id), second);
        assert.deepEqual(await list(records, tenant, all), { data: [second], hasMore: false });
      },
    },
    {
      title: `${name}: of many that write on the same revision at once exactly one wins`,
      async run(records) {
        await of(records).create(whole);
        const results = await Promise.all(writers.map((writer) => of(records).replace(by(whole, writer))));
        const winners = results.filter((result) => result !== null);
        assert.equal(winners.length, 1);
        assert.deepEqual(await of(records).get(tenant, id), winners[0]);
      },
    },
    {
      title: `${name} are paged in both orders, with no boundary lost or doubled`,
      async run(records) {
        for (const number of [3, 1, 7, 5, 2, 6, 4]) await of(records).create(plain({ id: idOf(number) }));
        await of(records).create(plain({ id: idOf(8), tenant: 'other' }));
        const page = (query: PageQuery): Promise<Page<T>> => list(records, 'acme', query);
        assert.deepEqual(await pages(page, 'asc', 3), [[1, 2, 3], [4, 5, 6], [7]]);
        assert.deepEqual(await pages(page, 'desc', 3), [[7, 6, 5], [4, 3, 2], [1]]);
        assert.deepEqual(await pages(page, 'asc', 7), [[1, 2, 3, 4, 5, 6, 7]]);
        assert.deepEqual(await pages(page, 'desc', 7), [[7, 6, 5, 4, 3, 2, 1]]);
      },
    },
    {
      title: `${name}: a page goes on behind one that is gone, if its id says when it was made`,
      async run(records) {
        for (const number of [1, 2, 3, 4]) await of(records).create(plain({ id: idOf(number) }));
        for (const number of [2, 3]) await of(records).erase('acme', idOf(number));
        const ids = async (after: string, order: 'asc' | 'desc'): Promise<string[]> =>
          (await list(records, 'acme', { after, limit: 10, order })).data.map((record) => record.id);
        assert.deepEqual(await ids(idOf(2), 'asc'), [idOf(4)]);
        assert.deepEqual(await ids(idOf(3), 'desc'), [idOf(1)]);
        const { createdAt } = plain({});
        await of(records).create(plain({ id: derivedId, createdAt: createdAt - 1 }));
        assert.deepEqual(await ids(derivedId, 'asc'), [idOf(1), idOf(4)]);
        await of(records).erase('acme', derivedId);
        await assert.rejects(ids(derivedId, 'asc'), { code: 'cursor_invalid' });
      },
    },
    {
      title: `${name}: erase removes that one alone, and twice is harmless`,
      async run(records) {
        for (const number of [1, 2]) await of(records).create(plain({ id: idOf(number) }));
        await of(records).erase('other', idOf(1));
        assert.notEqual(await of(records).get('acme', idOf(1)), null);
        for (let time = 0; time < 2; time++) await of(records).erase('acme', idOf(1));
        assert.equal(await of(records).get('acme', idOf(1)), null);
        assert.equal(await of(records).replace(plain({ id: idOf(1) })), null);
        assert.deepEqual(await list(records, 'acme', all), { data: [plain({ id: idOf(2) })], hasMore: false });
        assert.equal((await of(records).create(plain({ id: idOf(1) }))).outcome, 'created');
      },
    },
    {
      title: `two tenants' ${name} of the same ids never meet`,
      async run(records) {
        const theirs = { ...by(whole, 'them'), tenant: 'other' };
        await of(records).create(whole);
        assert.equal(await of(records).get('other', id), null);
        assert.equal(await of(records).replace(theirs), null);
        assert.equal((await of(records).create(theirs)).outcome, 'created');
        assert.notEqual(await of(records).replace(by(theirs, 'them again')), null);
        assert.deepEqual(await list(records, tenant, all), { data: [whole], hasMore: false });
        await of(records).erase('other', id);
        assert.deepEqual(await of(records).get(tenant, id), whole);
        assert.deepEqual(await list(records, 'other', all), { data: [], hasMore: false });
      },
    },
  ];
}

/** For kinds that hold what clients and agents wrote, at some length. */
export function longRecordCheck<T extends Stored>(
  kind: Pick<KeyedKind<T>, 'name' | 'of' | 'list' | 'by'>,
  long: T,
): ContractCheck<Records> {
  const { by, list, name, of } = kind;
  return {
    title: `${name} of two megabytes are kept whole`,
    async run(records) {
      await of(records).create(long);
      assert.deepEqual(await of(records).get(long.tenant, long.id), long);
      const next = await of(records).replace(by(long, 'another'));
      assert.deepEqual(next, { ...by(long, 'another'), revision: 2 });
      assert.deepEqual(await list(records, long.tenant, all), { data: [next], hasMore: false });
      await of(records).erase(long.tenant, long.id);
      assert.equal(await of(records).get(long.tenant, long.id), null);
      assert.deepEqual(await of(records).create(by(long, 'anew')), { outcome: 'created', record: by(long, 'anew') });
      assert.deepEqual(await of(records).get(long.tenant, long.id), by(long, 'anew'));
    },
  };
}
