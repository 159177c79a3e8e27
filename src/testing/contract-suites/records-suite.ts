// What every record store must do (contracts/records.ts), tried.

import assert from 'node:assert/strict';
import type { FleetPlace, Page, PageQuery, Records } from '../../contracts/records.ts';
import { approvalRecord, sessionRecord, turnRecord } from '../stored-records.ts';
import { type ContractCheck, describeContract, type Subject } from './contract-suite.ts';
import { all, fleetPages, idOf, pages } from './record-pages.ts';

const session = sessionRecord({ alias: 'my-session', metadata: { ticket: 'é "1"' } });
const turn = turnRecord();
const approval = approvalRecord({ id: idOf(50), details: { command: ['make', 'deploy'] } });

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
  {
    title: 'a commit writes the session and the turn, each at its next revision',
    async run(records) {
      const { sessions, turns } = records;
      await sessions.create(session);
      await turns.create(turn);
      const committed = await records.commit({ ...session, title: 'after' }, { ...turn, status: 'completed' });
      assert.deepEqual(committed, {
        session: { ...session, title: 'after', revision: 2 },
        turn: { ...turn, status: 'completed', revision: 2 },
      });
      assert.deepEqual(await sessions.get('acme', session.id), committed?.session);
      assert.deepEqual(await turns.get('acme', turn.id), committed?.turn);
    },
  },
  {
    title: 'a commit that is late for the session, for the turn, or for one that is gone changes neither',
    async run(records) {
      const { sessions, turns } = records;
      await sessions.create(session);
      await turns.create(turn);
      const latest = await sessions.replace(session);
      const latestTurn = await turns.replace(turn);
      assert.ok(latest !== null && latestTurn !== null);
      const gone = turnRecord({ id: idOf(9) });
      assert.equal(await records.commit({ ...session, title: 'lost' }, { ...latestTurn, finalMessage: 'lost' }), null);
      assert.equal(await records.commit({ ...latest, title: 'lost' }, { ...turn, finalMessage: 'lost' }), null);
      assert.equal(await records.commit({ ...latest, title: 'lost' }, gone), null);
      assert.equal(await records.commit(sessionRecord({ id: idOf(9) }), latestTurn), null);
      assert.deepEqual(await sessions.get('acme', session.id), latest);
      assert.deepEqual(await turns.get('acme', turn.id), latestTurn);
    },
  },
  {
    title: 'of many commits on the same revisions at once exactly one wins, whole',
    async run(records) {
      const { sessions, turns } = records;
      await sessions.create(session);
      await turns.create(turn);
      const names = Array.from({ length: 8 }, (_, index) => `writer ${index}`);
      const results = await Promise.all(
        names.map((name) => records.commit({ ...session, title: name }, { ...turn, finalMessage: name })),
      );
      const winners = results.filter((result) => result !== null);
      assert.equal(winners.length, 1);
      const stands = { session: await sessions.get('acme', session.id), turn: await turns.get('acme', turn.id) };
      assert.deepEqual(stands, winners[0]);
      assert.equal(stands.session?.title, stands.turn?.finalMessage);
    },
  },
  {
    title: 'a commit that writes the session and a single write never both win on one revision',
    async run(records) {
      const { sessions, turns } = records;
      await sessions.create(session);
      await turns.create(turn);
      const [single, committed] = await Promise.all([
        sessions.replace({ ...session, title: 'single' }),
        records.commit({ ...session, title: 'commit' }, { ...turn, status: 'completed' }),
      ]);
      assert.equal([single, committed].filter((result) => result !== null).length, 1);
      const isCommitted = (await turns.get('acme', turn.id))?.status === 'completed';
      assert.equal((await sessions.get('acme', session.id))?.title, isCommitted ? 'commit' : 'single');
    },
  },
  {
    title: 'open turns of all tenants are listed, the first created first, until they end',
    async run({ turns }) {
      const { createdAt } = turn;
      for (const number of [3, 1, 2]) {
        await turns.create(turnRecord({ id: idOf(number), createdAt: createdAt + number }));
      }
      await turns.create(turnRecord({ tenant: 'other', id: idOf(2), createdAt: createdAt + 2 }));
      await turns.create(turnRecord({ id: idOf(4), status: 'failed' }));
      const list = (after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> => turns.listOpen(after, limit);
      const four = [
        [1, 'acme'],
        [2, 'acme'],
        [2, 'other'],
        [3, 'acme'],
      ].map(([number, tenant]) => `${tenant} ${number} ${createdAt + Number(number)}`);
      assert.deepEqual(await fleetPages(list, 1), four);
      assert.deepEqual(await fleetPages(list, 3), four);
      const first = await turns.get('acme', idOf(1));
      assert.ok(first !== null);
      const place = { tenant: 'acme', id: idOf(1), sessionId: turn.sessionId, at: createdAt + 1 };
      assert.deepEqual(await turns.listOpen(null, 1), { data: [place], hasMore: true });
      await turns.replace({ ...first, status: 'completed' });
      await turns.erase('acme', idOf(3));
      // Behind one that has ended meanwhile the list goes on where it was.
      assert.deepEqual(await fleetPages((after, limit) => list(after ?? place, limit), 10), [four[1], four[2]]);
    },
  },
  {
    title: 'the open turns of one session are found, however many have ended',
    async run({ turns }) {
      const { createdAt, sessionId } = turn;
      for (const number of [1, 2, 3]) {
        await turns.create(turnRecord({ id: idOf(number), createdAt: createdAt + number }));
      }
      for (let number = 4; number < 20; number++) {
        await turns.create(turnRecord({ id: idOf(number), createdAt: createdAt + number, status: 'failed' }));
      }
      await turns.create(turnRecord({ id: idOf(20), sessionId: idOf(99) }));
      const first = await turns.get('acme', idOf(1));
      assert.ok(first !== null);
      await turns.replace({ ...first, status: 'completed' });
      const page = await turns.listOpenOf('acme', sessionId, { after: null, limit: 10, order: 'asc' });
      assert.deepEqual([page.data.map(({ id }) => id), page.hasMore], [[idOf(2), idOf(3)], false]);
    },
  },
  {
    title: 'sessions that a run holds or that have untold turns are listed, and no others',
    async run(records) {
      const { sessions, turns } = records;
      const { createdAt } = session;
      const idle = sessionRecord({ id: idOf(1) });
      await sessions.create(idle);
      await sessions.create(sessionRecord({ id: idOf(2), worker: 'worker-1' }));
      await sessions.create(sessionRecord({ tenant: 'other', id: idOf(2), untold: [turn.id] }));
      const held = (): Promise<string[]> => fleetPages((after, limit) => sessions.listHeld(after, limit), 1);
      assert.deepEqual(await held(), [`acme 2 ${createdAt}`, `other 2 ${createdAt}`]);
      const other = await sessions.get('other', idOf(2));
      const taken = await sessions.replace({ ...idle, worker: 'worker-1' });
      assert.ok(other !== null && taken !== null);
      await sessions.replace({ ...other, untold: [] });
      assert.deepEqual(await held(), [`acme 1 ${createdAt}`, `acme 2 ${createdAt}`]);
      await turns.create({ ...turn, sessionId: idOf(1) });
      await records.commit({ ...taken, worker: null }, { ...turn, sessionId: idOf(1), status: 'completed' });
      await sessions.erase('acme', idOf(2));
      assert.deepEqual(await held(), []);
    },
  },
  {
    title: 'sessions that nobody holds are listed by when they were last used, up to a time',
    async run({ sessions }) {
      for (const number of [4, 2, 3, 1]) {
        await sessions.create(sessionRecord({ id: idOf(number), lastAccessedAt: 1_000 * (5 - number) }));
      }
      await sessions.create(sessionRecord({ id: idOf(5), lastAccessedAt: 1, worker: 'worker-1' }));
      const unused = (beforeMs: number): Promise<string[]> =>
        fleetPages((after, limit) => sessions.listUnused(beforeMs, after, limit), 2);
      assert.deepEqual(await unused(4_000), ['acme 4 1000', 'acme 3 2000', 'acme 2 3000']);
      assert.deepEqual(await unused(1_000), []);
      const fourth = await sessions.get('acme', idOf(4));
      assert.ok(fourth !== null);
      await sessions.replace({ ...fourth, lastAccessedAt: 9_000 });
      assert.deepEqual(await unused(10_000), ['acme 3 2000', 'acme 2 3000', 'acme 1 4000', 'acme 4 9000']);
    },
  },
  {
    title: 'an approval is created once, read back whole and replaced at its revision alone',
    async run({ approvals }) {
      assert.equal(await approvals.get('acme', approval.id), null);
      assert.equal(await approvals.replace(approval), null);
      assert.deepEqual(await approvals.create(approval), { outcome: 'created', record: approval });
      assert.deepEqual(await approvals.create({ ...approval, reason: 'again' }), {
        outcome: 'exists',
        record: approval,
      });
      assert.deepEqual(await approvals.get('acme', approval.id), approval);
      assert.equal(await approvals.get('other', approval.id), null);
      const decisions = await Promise.all(
        (['accept', 'decline', 'cancel'] as const).map((decision) =>
          approvals.replace({ ...approval, status: 'decided', decision }),
        ),
      );
      const winners = decisions.filter((result) => result !== null);
      assert.equal(winners.length, 1);
      assert.deepEqual(await approvals.get('acme', approval.id), winners[0]);
      assert.equal(winners[0]?.revision, 2);
    },
  },
  {
    title: "approvals are paged in both orders, by session, by status, by both, without other tenants'",
    async run({ approvals }) {
      const sessionOf = (number: number): string => idOf(100 + (number % 2));
      for (const number of [4, 1, 3, 2, 5, 6]) {
        const status = number > 4 ? 'expired' : 'pending';
        await approvals.create(approvalRecord({ id: idOf(number), sessionId: sessionOf(number), status }));
      }
      await approvals.create(approvalRecord({ id: idOf(1), tenant: 'other' }));
      const filters = [
        { sessionId: null, status: null },
        { sessionId: sessionOf(1), status: null },
        { sessionId: null, status: 'pending' },
        { sessionId: sessionOf(1), status: 'pending' },
        { sessionId: sessionOf(1), status: 'decided' },
      ] as const;
      const found = await Promise.all(
        filters.map((filter) => pages((query) => approvals.list('acme', filter, query), 'asc', 2)),
      );
      assert.deepEqual(found, [
        [
          [1, 2],
          [3, 4],
          [5, 6],
        ],
        [[1, 3], [5]],
        [
          [1, 2],
          [3, 4],
        ],
        [[1, 3]],
        [[]],
      ]);
      const descending = await pages((query) => approvals.list('acme', filters[1], query), 'desc', 2);
      assert.deepEqual(descending, [[5, 3], [1]]);
      const third = await approvals.get('acme', idOf(3));
      assert.ok(third !== null);
      await approvals.replace({ ...third, status: 'decided', decision: 'accept' });
      const pending = await approvals.list('acme', filters[3], all);
      assert.deepEqual(
        pending.data.map(({ id }) => id),
        [idOf(1)],
      );
    },
  },
  {
    title: 'pending approvals whose time is over are listed over all tenants, the first to expire first',
    async run({ approvals }) {
      await approvals.create(approvalRecord({ id: idOf(1), expiresAt: 3_000 }));
      await approvals.create(approvalRecord({ id: idOf(2), expiresAt: 1_000, tenant: 'other' }));
      await approvals.create(approvalRecord({ id: idOf(3), expiresAt: 2_000, status: 'decided' }));
      await approvals.create(approvalRecord({ id: idOf(4), expiresAt: 4_000 }));
      const due = (beforeMs: number): Promise<string[]> =>
        fleetPages((after, limit) => approvals.listDue(beforeMs, after, limit), 1);
      assert.deepEqual(await due(4_000), ['other 2 1000', 'acme 1 3000']);
      const first = await approvals.get('acme', idOf(1));
      assert.ok(first !== null);
      await approvals.replace({ ...first, status: 'expired' });
      assert.deepEqual(await due(9_000), ['other 2 1000', 'acme 4 4000']);
    },
  },
  {
    title: "an erased session's approvals go with it, and no others",
    async run({ sessions, approvals }) {
      await sessions.create(session);
      await approvals.create(approval);
      const ofNeighbour = approvalRecord({ id: idOf(2), sessionId: idOf(2) });
      const ofOther = { ...approval, tenant: 'other' };
      await approvals.create(ofNeighbour);
      await approvals.create(ofOther);
      await sessions.erase('acme', session.id);
      assert.equal(await approvals.get('acme', approval.id), null);
      const left = await approvals.list('acme', { sessionId: null, status: null }, all);
      assert.deepEqual(left, { data: [ofNeighbour], hasMore: false });
      assert.deepEqual(await approvals.get('other', approval.id), ofOther);
      const due = await fleetPages((after, limit) => approvals.listDue(Number.MAX_SAFE_INTEGER, after, limit), 10);
      assert.deepEqual(due, [`acme 2 ${approval.expiresAt}`, `other 50 ${approval.expiresAt}`]);
    },
  },
];

export function recordsSuite(adapterName: string, open: () => Promise<Subject<Records>>): void {
  describeContract(`${adapterName} keeps the promises of a record store`, recordsChecks, open);
}
