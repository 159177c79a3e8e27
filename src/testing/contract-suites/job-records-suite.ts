// What every store of jobs and schedules must do (contracts/job-records.ts), tried.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { JobFilter } from '../../contracts/job-records.ts';
import type { FleetPlace, Records } from '../../contracts/records.ts';
import type { JobRecord } from '../../core/job.ts';
import type { ScheduleRecord } from '../../core/schedule.ts';
import { jobRecord, jobSpec, scheduleRecord } from '../stored-records.ts';
import { type ContractCheck, describeContract, type Subject } from './contract-suite.ts';
import { type KeyedKind, keyedRecordsChecks, longRecordCheck } from './keyed-records-checks.ts';
import { all, fleetPages, idOf, pages } from './record-pages.ts';

const { createdAt } = jobRecord();
const forEver = Number.MAX_SAFE_INTEGER;
/** Cannot be made much shorter. */
const longText = randomBytes(1_500_000).toString('base64');

const richSpec = jobSpec({
  prompt: 'é "1" \u2028 \u{1f680}\n',
  sessionRef: 'nightly.build',
  model: 'gpt-5.5',
  effort: 'high',
  outputSchema: { type: 'object', properties: { 'a.b/c': { enum: [[1, [2]], null, true] } } },
  retry: { maxAttempts: 5, firstDelayMs: 1_000, longestDelayMs: 60_000 },
  metadata: { 'a.b': '', ticket: 'é', __proto: 'x' },
  webhook: { url: 'https://hooks.example.com/?a=b', secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw' },
});

const richJob = jobRecord({
  spec: richSpec,
  source: 'schedule',
  scheduleId: idOf(50),
  requestHash: 'a'.repeat(64),
  requestId: 'request-1',
  status: 'failed',
  attempts: [
    {
      turnId: idOf(61),
      sessionId: idOf(62),
      startedAt: createdAt + 1,
      endedAt: createdAt + 2,
      status: 'failed',
      error: { code: 'turn_failed', message: 'no' },
    },
    { turnId: idOf(63), sessionId: idOf(62), startedAt: createdAt + 3, endedAt: null, status: null, error: null },
  ],
  attemptCount: 27,
  countedFrom: 25,
  dueAt: null,
  isCancelling: true,
  finalMessage: 'done\u0000?',
  error: { code: 'agent_crashed', message: 'crashed' },
  endedAt: createdAt + 4,
});

const jobs: KeyedKind<JobRecord> = {
  name: 'jobs',
  of: (records) => records.jobs,
  list: (records, tenant, query) => records.jobs.list(tenant, { status: null, scheduleId: null }, query),
  whole: richJob,
  plain: jobRecord,
  by: (job, writer) => ({ ...job, finalMessage: writer }),
};

const schedules: KeyedKind<ScheduleRecord> = {
  name: 'schedules',
  of: (records) => records.schedules,
  list: (records, tenant, query) => records.schedules.list(tenant, query),
  whole: scheduleRecord({
    title: 'é "1"',
    spec: richSpec,
    overlap: 'allow',
    missed: 'skip',
    isPaused: true,
    dueAt: null,
    lastRunAt: createdAt + 5,
    lastJobId: idOf(64),
  }),
  plain: scheduleRecord,
  by: (schedule, writer) => ({ ...schedule, title: writer }),
};

const jobListChecks: readonly ContractCheck<Records>[] = [
  {
    title: 'jobs are listed by status, by schedule, by both, in both orders',
    async run(records) {
      for (const number of [4, 1, 3, 2, 5, 6]) {
        const status = number > 4 ? 'completed' : 'queued';
        await records.jobs.create(jobRecord({ id: idOf(number), status, scheduleId: idOf(100 + (number % 2)) }));
      }
      await records.jobs.create(jobRecord({ id: idOf(7) }));
      await records.jobs.create(jobRecord({ id: idOf(8), tenant: 'other', scheduleId: idOf(101) }));
      const filters: readonly JobFilter[] = [
        { status: null, scheduleId: null },
        { status: 'queued', scheduleId: null },
        { status: null, scheduleId: idOf(101) },
        { status: 'queued', scheduleId: idOf(101) },
        { status: 'failed', scheduleId: idOf(101) },
      ];
      const found = (order: 'asc' | 'desc'): Promise<number[][][]> =>
        Promise.all(filters.map((filter) => pages((query) => records.jobs.list('acme', filter, query), order, 2)));
      const ascending = [[[1, 2], [3, 4], [5, 6], [7]], [[1, 2], [3, 4], [7]], [[1, 3], [5]], [[1, 3]], [[]]];
      assert.deepEqual(await found('asc'), ascending);
      const descending = [[[7, 6], [5, 4], [3, 2], [1]], [[7, 4], [3, 2], [1]], [[5, 3], [1]], [[3, 1]], [[]]];
      assert.deepEqual(await found('desc'), descending);
    },
  },
  {
    title: 'a job leaves the list of its status when that changes, and stands in the next',
    async run(records) {
      const statusLists = async (): Promise<string[]> => {
        const lists = (['queued', 'running', 'completed', 'failed', 'cancelled'] as const).map(async (status) => {
          const { data } = await records.jobs.list('acme', { status, scheduleId: null }, all);
          return data.map(() => status);
        });
        return (await Promise.all(lists)).flat();
      };
      let job: JobRecord | null = jobRecord();
      await records.jobs.create(job);
      assert.deepEqual(await statusLists(), ['queued']);
      job = await records.jobs.replace({ ...job, status: 'running', dueAt: null });
      assert.ok(job !== null);
      assert.deepEqual(await statusLists(), ['running']);
      job = await records.jobs.replace({ ...job, status: 'cancelled', endedAt: createdAt + 1 });
      assert.ok(job !== null);
      assert.deepEqual(await statusLists(), ['cancelled']);
      await records.jobs.replace({ ...job, status: 'queued', dueAt: createdAt + 2, endedAt: null });
      assert.deepEqual(await statusLists(), ['queued']);
    },
  },
  {
    title: 'open jobs of one tenant are counted, up to the most that is asked for',
    async run(records) {
      assert.equal(await records.jobs.countOpen('acme', 10), 0);
      const statuses = ['queued', 'running', 'completed', 'failed', 'cancelled', 'queued'] as const;
      for (const [index, status] of statuses.entries()) {
        await records.jobs.create(jobRecord({ id: idOf(index + 1), status }));
      }
      await records.jobs.create(jobRecord({ tenant: 'other' }));
      assert.equal(await records.jobs.countOpen('acme', 10), 3);
      const atMostTwo = await records.jobs.countOpen('acme', 2);
      assert.ok(atMostTwo === 2 || atMostTwo === 3, 'it says fewer than there are and than were asked for');
      const first = await records.jobs.get('acme', idOf(1));
      assert.ok(first !== null);
      await records.jobs.replace({ ...first, status: 'completed', dueAt: null, endedAt: createdAt });
      await records.jobs.erase('acme', idOf(6));
      assert.equal(await records.jobs.countOpen('acme', 10), 1);
      assert.equal(await records.jobs.countOpen('other', 10), 1);
    },
  },
  {
    title: 'queued jobs of all tenants are due by their time, then id, then tenant, until they are begun',
    async run(records) {
      const due = (beforeMs: number, limit: number): Promise<string[]> =>
        fleetPages((after, most) => records.jobs.listDue(beforeMs, after, most), limit);
      await records.jobs.create(jobRecord({ id: idOf(1), dueAt: 3_000 }));
      await records.jobs.create(jobRecord({ id: idOf(4), dueAt: 2_000 }));
      await records.jobs.create(jobRecord({ id: idOf(4), dueAt: 2_000, tenant: 'other' }));
      await records.jobs.create(jobRecord({ id: idOf(3), dueAt: 2_000, tenant: 'zoo' }));
      await records.jobs.create(jobRecord({ id: idOf(2), dueAt: 4_000, tenant: 'other' }));
      await records.jobs.create(jobRecord({ id: idOf(5), dueAt: null, status: 'running' }));
      const four = ['zoo 3 2000', 'acme 4 2000', 'other 4 2000', 'acme 1 3000'];
      for (const limit of [1, 3, 10]) assert.deepEqual(await due(4_000, limit), four);
      assert.deepEqual(await due(2_000, 10), []);
      const first = await records.jobs.listDue(4_000, null, 1);
      const place = { tenant: 'zoo', id: idOf(3), sessionId: idOf(3), at: 2_000 };
      assert.deepEqual(first, { data: [place], hasMore: true });
      const begun = await records.jobs.get('acme', idOf(4));
      const later = await records.jobs.get('zoo', idOf(3));
      assert.ok(begun !== null && later !== null);
      await records.jobs.replace({ ...begun, status: 'running', dueAt: null });
      await records.jobs.replace({ ...later, dueAt: 3_500 });
      await records.jobs.erase('acme', idOf(1));
      assert.deepEqual(await due(4_001, 10), ['other 4 2000', 'zoo 3 3500', 'other 2 4000']);
    },
  },
  {
    title: 'a list over all tenants goes on behind a place that is gone',
    async run(records) {
      for (const number of [1, 2, 3]) await records.jobs.create(jobRecord({ id: idOf(number), dueAt: number }));
      const after: FleetPlace = { tenant: 'acme', id: idOf(2), sessionId: idOf(2), at: 2 };
      await records.jobs.erase('acme', idOf(2));
      const rest = await records.jobs.listDue(100, after, 10);
      assert.deepEqual([rest.data.map(({ id }) => id), rest.hasMore], [[idOf(3)], false]);
      // Of another tenant's: between what stands at the same time.
      const between: FleetPlace = { ...after, tenant: 'abc', id: idOf(3), at: 3 };
      const same = await records.jobs.listDue(100, between, 10);
      assert.deepEqual([same.data.map(({ id }) => id), same.hasMore], [[idOf(3)], false]);
    },
  },
  {
    title: 'running jobs of all tenants are listed by when they were made, until they end',
    async run(records) {
      const running = { status: 'running', dueAt: null } as const;
      for (const number of [3, 1, 2]) {
        const tenant = number === 2 ? 'other' : 'acme';
        await records.jobs.create(jobRecord({ ...running, tenant, id: idOf(number), createdAt: createdAt + number }));
      }
      await records.jobs.create(jobRecord({ id: idOf(4) }));
      await records.jobs.create(jobRecord({ id: idOf(5), status: 'failed', dueAt: null, endedAt: createdAt }));
      const list = (): Promise<string[]> => fleetPages((after, limit) => records.jobs.listRunning(after, limit), 2);
      const three = [`acme 1 ${createdAt + 1}`, `other 2 ${createdAt + 2}`, `acme 3 ${createdAt + 3}`];
      assert.deepEqual(await list(), three);
      const first = await records.jobs.get('acme', idOf(1));
      const fourth = await records.jobs.get('acme', idOf(4));
      assert.ok(first !== null && fourth !== null);
      await records.jobs.replace({ ...first, status: 'completed', endedAt: createdAt + 9 });
      await records.jobs.replace({ ...fourth, ...running });
      assert.deepEqual(await list(), [`acme 4 ${createdAt}`, ...three.slice(1)]);
    },
  },
  {
    title: 'jobs of all tenants that ended before a moment are listed by that time, unless they were asked for again',
    async run(records) {
      const ended = { status: 'failed', dueAt: null } as const;
      for (const number of [3, 1, 2]) {
        await records.jobs.create(jobRecord({ ...ended, id: idOf(number), endedAt: 1_000 * (4 - number) }));
      }
      await records.jobs.create(jobRecord({ ...ended, tenant: 'other', status: 'cancelled', endedAt: 1_500 }));
      await records.jobs.create(jobRecord({ id: idOf(5) }));
      await records.jobs.create(jobRecord({ id: idOf(6), status: 'running', dueAt: null }));
      const list = (beforeMs: number): Promise<string[]> =>
        fleetPages((after, limit) => records.jobs.listEnded(beforeMs, after, limit), 1);
      assert.deepEqual(
        (await list(3_000)).map((line) => line.replace(/ .* /, ' ')),
        ['acme 1000', 'other 1500', 'acme 2000'],
      );
      const third = await records.jobs.get('acme', idOf(3));
      assert.ok(third !== null);
      await records.jobs.replace({ ...third, status: 'queued', dueAt: 9_000, endedAt: null });
      await records.jobs.erase('other', jobRecord().id);
      assert.deepEqual(await list(forEver), ['acme 2 2000', 'acme 1 3000']);
    },
  },
];

const scheduleListChecks: readonly ContractCheck<Records>[] = [
  {
    title: 'schedules of all tenants are due by their time, then id, then tenant; those without one never are',
    async run(records) {
      const due = (beforeMs: number, limit: number): Promise<string[]> =>
        fleetPages((after, most) => records.schedules.listDue(beforeMs, after, most), limit);
      await records.schedules.create(scheduleRecord({ id: idOf(1), dueAt: 2_000 }));
      await records.schedules.create(scheduleRecord({ id: idOf(1), dueAt: 2_000, tenant: 'other' }));
      await records.schedules.create(scheduleRecord({ id: idOf(2), dueAt: 1_000 }));
      await records.schedules.create(scheduleRecord({ id: idOf(3), dueAt: null, isPaused: true }));
      await records.schedules.create(scheduleRecord({ id: idOf(4), dueAt: 3_000 }));
      const three = ['acme 2 1000', 'acme 1 2000', 'other 1 2000'];
      for (const limit of [1, 2, 10]) assert.deepEqual(await due(3_000, limit), three);
      const [place] = (await records.schedules.listDue(1_001, null, 10)).data;
      assert.deepEqual(place, { tenant: 'acme', id: idOf(2), sessionId: idOf(2), at: 1_000 });
      const second = await records.schedules.get('acme', idOf(2));
      const paused = await records.schedules.get('acme', idOf(3));
      const first = await records.schedules.get('acme', idOf(1));
      assert.ok(first !== null && second !== null && paused !== null);
      await records.schedules.replace({ ...second, dueAt: 61_000 });
      await records.schedules.replace({ ...paused, dueAt: 2_500, isPaused: false });
      await records.schedules.replace({ ...first, dueAt: null, isPaused: true });
      await records.schedules.erase('other', idOf(1));
      assert.deepEqual(await due(forEver, 10), ['acme 3 2500', 'acme 4 3000', 'acme 2 61000']);
    },
  },
  {
    title: 'jobs and schedules of the same id never meet',
    async run(records) {
      const job = jobRecord({ id: idOf(1) });
      const schedule = scheduleRecord({ id: idOf(1) });
      await records.jobs.create(job);
      assert.equal((await records.schedules.create(schedule)).outcome, 'created');
      assert.deepEqual(await records.jobs.get('acme', idOf(1)), job);
      await records.jobs.erase('acme', idOf(1));
      assert.deepEqual(await records.schedules.get('acme', idOf(1)), schedule);
    },
  },
];

export const jobRecordsChecks: readonly ContractCheck<Records>[] = [
  ...keyedRecordsChecks(jobs),
  longRecordCheck(jobs, jobRecord({ spec: jobSpec({ prompt: longText }) })),
  ...jobListChecks,
  ...keyedRecordsChecks(schedules),
  longRecordCheck(schedules, scheduleRecord({ spec: jobSpec({ prompt: longText }) })),
  ...scheduleListChecks,
];

export function jobRecordsSuite(adapterName: string, open: () => Promise<Subject<Records>>): void {
  describeContract(`${adapterName} keeps the promises of a store of jobs and schedules`, jobRecordsChecks, open);
}
