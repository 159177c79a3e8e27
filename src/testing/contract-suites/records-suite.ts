// What every record store must do (contracts/records.ts), tried.

import assert from 'node:assert/strict';
import type { Page, PageQuery, Records } from '../../contracts/records.ts';
import { sessionRecord, turnRecord } from '../stored-records.ts';
import { type ContractCheck, describeContract, type Subject } from './contract-suite.ts';

const session = sessionRecord({ alias: 'my-session', metadata: { ticket: 'é "1"' } });
const turn = turnRecord();

function idOf(number: number): string {
  return `019f0000-0000-7000-8000-${String(number).padStart(12, '0')}`;
}

/** All pages of a list, as numbers of ids, one array per page. */
async function pages(
  list: (query: PageQuery) => Promise<Page<{ readonly id: string }>>,
  order: 'asc' | 'desc',
  limit: number,
): Promise<number[][]> {
  const found: number[][] = [];
  let after: string | null = null;
  for (;;) {
    const page: Page<{ readonly id: string }> = await list({ after, limit, order });
    found.push(page.data.map((record) => Number(record.id.slice(-12))));
    after = page.data.at(-1)?.id ?? null;
    if (!page.hasMore || found.length > 100) return found;
  }
}

export const recordsChecks: readonly ContractCheck<Records>[] = [
  {
    title: 'what was created is read back whole, by id and by alias',
    async run({ sessions, turns }) {
      assert.deepEqual(await sessions.create(session), { outcome: 'created', record: session });
      assert.deepEqual(await turns.create(turn), { outcome: 'created', record: turn });
      assert.deepEqual(await sessions.get('acme', session.id), session);
      assert.deepEqual(await sessions.findByAlias('acme', 'my-session'), session);
      assert.deepEqual(await turns.get('acme', turn.id), turn);
    },
  },
  {
    title: 'what was never created is null, and an empty list has no more',
    async run({ sessions, turns }) {
      const query: PageQuery = { after: null, limit: 10, order: 'asc' };
      assert.equal(await sessions.get('acme', session.id), null);
      assert.equal(await sessions.findByAlias('acme', 'my-session'), null);
      assert.equal(await turns.get('acme', turn.id), null);
      assert.equal(await sessions.replace(session), null);
      assert.equal(await turns.replace(turn), null);
      assert.deepEqual(await sessions.list('acme', query), { data: [], hasMore: false });
      assert.deepEqual(await turns.list('acme', session.id, query), { data: [], hasMore: false });
      await sessions.erase('acme', session.id);
    },
  },
  {
    title: 'an id or an alias that is taken answers what stands, unchanged',
    async run({ sessions, turns }) {
      await sessions.create(session);
      const standing = { outcome: 'exists', record: session };
      assert.deepEqual(await sessions.create({ ...session, alias: null, title: 'new' }), standing);
      assert.deepEqual(await sessions.create({ ...session, id: idOf(2), title: 'new' }), standing);
      assert.equal(await sessions.get('acme', idOf(2)), null);
      await turns.create(turn);
      assert.deepEqual(await turns.create({ ...turn, prompt: 'another' }), { outcome: 'exists', record: turn });
      assert.deepEqual(await turns.get('acme', turn.id), turn);
    },
  },
  {
    title: 'of many that create the same alias at once exactly one does',
    async run({ sessions }) {
      const records = Array.from({ length: 8 }, (_, index) => ({ ...session, id: idOf(index + 1) }));
      const results = await Promise.all(records.map((record) => sessions.create(record)));
      const created = results.filter((result) => result.outcome === 'created');
      assert.equal(created.length, 1);
      for (const result of results) assert.deepEqual(result.record, created[0]?.record);
      assert.equal((await sessions.list('acme', { after: null, limit: 100, order: 'asc' })).data.length, 1);
    },
  },
  {
    title: 'a write on the revision that was read wins and answers the next revision',
    async run({ sessions, turns }) {
      await sessions.create(session);
      const running = { ...session, status: 'running', epoch: 2, worker: 'worker-1' } as const;
      assert.deepEqual(await sessions.replace(running), { ...running, revision: 2 });
      assert.deepEqual(await sessions.get('acme', session.id), { ...running, revision: 2 });
      assert.deepEqual(await sessions.findByAlias('acme', 'my-session'), { ...running, revision: 2 });
      await turns.create(turn);
      const started = { ...turn, status: 'running', startedAt: 5, queuePosition: null } as const;
      assert.deepEqual(await turns.replace(started), { ...started, revision: 2 });
      assert.deepEqual(await turns.get('acme', turn.id), { ...started, revision: 2 });
    },
  },
  {
    title: 'a write on an older or a later revision changes nothing',
    async run({ sessions, turns }) {
      await sessions.create(session);
      const stands = await sessions.replace({ ...session, title: 'first' });
      for (const revision of [1, 3]) {
        assert.equal(await sessions.replace({ ...session, revision, title: 'lost' }), null);
      }
      assert.deepEqual(await sessions.get('acme', session.id), stands);
      await turns.create(turn);
      const standingTurn = await turns.replace({ ...turn, status: 'cancelled' });
      assert.equal(await turns.replace({ ...turn, status: 'completed' }), null);
      assert.deepEqual(await turns.get('acme', turn.id), standingTurn);
    },
  },
  {
    title: 'of many that write on the same revision at once exactly one wins',
    async run({ sessions }) {
      await sessions.create(session);
      const titles = Array.from({ length: 8 }, (_, index) => `writer ${index}`);
      const results = await Promise.all(titles.map((title) => sessions.replace({ ...session, title })));
      const winners = results.filter((result) => result !== null);
      assert.equal(winners.length, 1);
      assert.deepEqual(await sessions.get('acme', session.id), winners[0]);
    },
  },
  {
    title: 'sessions are paged in both orders, with no boundary lost or doubled',
    async run({ sessions }) {
      // Created out of order: age is in the id.
      for (const number of [3, 1, 7, 5, 2, 6, 4]) {
        await sessions.create(sessionRecord({ id: idOf(number) }));
      }
      const list = (query: PageQuery): ReturnType<typeof sessions.list> => sessions.list('acme', query);
      assert.deepEqual(await pages(list, 'asc', 3), [[1, 2, 3], [4, 5, 6], [7]]);
      assert.deepEqual(await pages(list, 'desc', 3), [[7, 6, 5], [4, 3, 2], [1]]);
      assert.deepEqual(await pages(list, 'asc', 7), [[1, 2, 3, 4, 5, 6, 7]]);
      assert.deepEqual(await pages(list, 'desc', 7), [[7, 6, 5, 4, 3, 2, 1]]);
    },
  },
  {
    title: 'a page goes on behind a record that was erased meanwhile',
    async run({ sessions }) {
      for (const number of [1, 2, 3, 4]) await sessions.create(sessionRecord({ id: idOf(number) }));
      await sessions.erase('acme', idOf(2));
      await sessions.erase('acme', idOf(3));
      const list = (query: PageQuery): ReturnType<typeof sessions.list> => sessions.list('acme', query);
      const ids = async (query: PageQuery): Promise<string[]> => (await list(query)).data.map((record) => record.id);
      assert.deepEqual(await ids({ after: idOf(2), limit: 10, order: 'asc' }), [idOf(4)]);
      assert.deepEqual(await ids({ after: idOf(3), limit: 10, order: 'desc' }), [idOf(1)]);
    },
  },
  {
    title: 'records are listed by age, whatever their ids; behind a derived id that is gone no page can start',
    async run({ sessions }) {
      const derived = 'ffffffff-0000-8000-8000-000000000000';
      const { createdAt } = sessionRecord();
      await sessions.create(sessionRecord({ id: idOf(1), createdAt: createdAt + 2 }));
      await sessions.create(sessionRecord({ id: derived, createdAt: createdAt + 1 }));
      const query: PageQuery = { after: null, limit: 10, order: 'asc' };
      const ids = async (after: string | null): Promise<string[]> =>
        (await sessions.list('acme', { ...query, after })).data.map((record) => record.id);
      assert.deepEqual(await ids(null), [derived, idOf(1)]);
      assert.deepEqual(await ids(derived), [idOf(1)]);
      await sessions.erase('acme', derived);
      await assert.rejects(ids(derived), { code: 'cursor_invalid' });
    },
  },
  {
    title: "a session's turns are paged in both orders, without other sessions' turns",
    async run({ turns }) {
      for (const number of [2, 1, 4, 3, 5]) await turns.create(turnRecord({ id: idOf(number) }));
      await turns.create(turnRecord({ id: idOf(9), sessionId: idOf(2) }));
      const list = (query: PageQuery): ReturnType<typeof turns.list> => turns.list('acme', turn.sessionId, query);
      assert.deepEqual(await pages(list, 'asc', 2), [[1, 2], [3, 4], [5]]);
      assert.deepEqual(await pages(list, 'desc', 2), [[5, 4], [3, 2], [1]]);
    },
  },
  {
    title: 'erase removes the session and its turns alone, and frees the alias',
    async run({ sessions, turns }) {
      const neighbour = sessionRecord({ id: idOf(2), alias: 'neighbour' });
      const turnOfNeighbour = turnRecord({ id: idOf(102), sessionId: neighbour.id });
      await sessions.create(session);
      await turns.create(turn);
      await sessions.create(neighbour);
      await turns.create(turnOfNeighbour);
      await sessions.erase('acme', session.id);
      assert.equal(await sessions.get('acme', session.id), null);
      assert.equal(await sessions.findByAlias('acme', 'my-session'), null);
      assert.equal(await turns.get('acme', turn.id), null);
      assert.equal(await sessions.replace(session), null);
      assert.deepEqual(await sessions.get('acme', neighbour.id), neighbour);
      assert.deepEqual(await turns.get('acme', turnOfNeighbour.id), turnOfNeighbour);
      assert.equal((await sessions.create({ ...session, id: idOf(3) })).outcome, 'created');
    },
  },
  {
    title: 'erase of a turn removes that one alone, also from the list',
    async run({ turns }) {
      for (const number of [1, 2]) await turns.create(turnRecord({ id: idOf(number) }));
      await turns.erase('other', idOf(1));
      await turns.erase('acme', idOf(1));
      await turns.erase('acme', idOf(1));
      assert.equal(await turns.get('acme', idOf(1)), null);
      const left = await turns.list('acme', turn.sessionId, { after: null, limit: 10, order: 'asc' });
      assert.deepEqual(left, { data: [turnRecord({ id: idOf(2) })], hasMore: false });
    },
  },
  {
    title: "two tenants' records of the same ids and aliases never meet",
    async run({ sessions, turns }) {
      const otherSession = { ...session, tenant: 'other', title: 'theirs' };
      const otherTurn = { ...turn, tenant: 'other', prompt: 'theirs' };
      await sessions.create(session);
      await turns.create(turn);
      assert.equal(await sessions.get('other', session.id), null);
      assert.equal(await sessions.findByAlias('other', 'my-session'), null);
      assert.equal(await turns.get('other', turn.id), null);
      assert.equal((await sessions.create(otherSession)).outcome, 'created');
      assert.equal((await turns.create(otherTurn)).outcome, 'created');
      assert.notEqual(await sessions.replace({ ...otherSession, title: 'changed' }), null);
      const query: PageQuery = { after: null, limit: 10, order: 'desc' };
      assert.deepEqual(await sessions.list('acme', query), { data: [session], hasMore: false });
      assert.deepEqual(await turns.list('acme', session.id, query), { data: [turn], hasMore: false });
      await sessions.erase('other', session.id);
      assert.deepEqual(await sessions.findByAlias('acme', 'my-session'), session);
      assert.deepEqual(await turns.get('acme', turn.id), turn);
    },
  },
];

export function recordsSuite(adapterName: string, open: () => Promise<Subject<Records>>): void {
  describeContract(`${adapterName} keeps the promises of a record store`, recordsChecks, open);
}
