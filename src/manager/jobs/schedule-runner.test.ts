import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryRecords } from '../../adapters/memory/memory-records.ts';
import { nextRun } from '../../api/cron.ts';
import { ServiceError } from '../../core/errors.ts';
import type { JobRecord } from '../../core/job.ts';
import type { ScheduleRecord } from '../../core/schedule.ts';
import { createLogger } from '../../observability/logger.ts';
import { FakeClock } from '../../testing/fake-clock.ts';
import { jobRecord, scheduleRecord } from '../../testing/stored-records.ts';
import { scheduledJobId } from './attempt-ids.ts';
import { ScheduleRunner, type ScheduleRunnerParts } from './schedule-runner.ts';

const hourMs = 3_600_000;

class ScheduleLab {
  readonly clock: FakeClock;
  readonly records = new MemoryRecords();
  readonly made: JobRecord[] = [];
  readonly #runners: ScheduleRunner[] = [];

  constructor(startsAt: string) {
    this.clock = new FakeClock(Date.parse(startsAt));
  }

  start(changes: Partial<ScheduleRunnerParts> = {}): ScheduleRunner {
    const { clock, records } = this;
    const logger = createLogger({ level: 'silent', role: 'test' });
    const settings = { maxOpenPerTenant: 10 };
    const onJobMade = (job: JobRecord): number => this.made.push(job);
    const runner = new ScheduleRunner({ clock, logger, nextRun, onJobMade, records, settings, ...changes });
    this.#runners.push(runner);
    runner.start();
    return runner;
  }

  async schedule(changes: Partial<ScheduleRecord>): Promise<void> {
    const record = scheduleRecord(changes);
    const dueAt = changes.dueAt === undefined ? nextRun(record.cron, record.timeZone, this.clock.now()) : changes.dueAt;
    await this.records.schedules.create({ ...record, dueAt });
  }

  async now(id = scheduleRecord().id): Promise<ScheduleRecord> {
    return (await this.records.schedules.get('acme', id)) ?? assert.fail('no such schedule');
  }

  get madeAt(): readonly string[] {
    return this.made.map(({ createdAt }) => new Date(createdAt).toISOString());
  }

  /** The jobs that were made end, as they would. */
  async endAll(): Promise<void> {
    for (const { id } of this.made) {
      const job = await this.records.jobs.get('acme', id);
      if (job?.status === 'queued')
        await this.records.jobs.replace({ ...job, status: 'completed', dueAt: null, endedAt: this.clock.now() });
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#runners.map((runner) => runner.stop()));
    assert.equal(this.clock.pendingTimers, 0);
  }
}

test('a schedule makes a job at each of its times, within a second, and says which it was', async () => {
  const lab = new ScheduleLab('2026-03-01T00:00:30Z');
  await lab.schedule({ cron: '*/10 * * * *', overlap: 'allow' });
  lab.start();
  await lab.clock.advanceAsync(25 * 60_000);
  assert.equal(lab.made.length, 2);
  for (const [index, at] of ['2026-03-01T00:10:00Z', '2026-03-01T00:20:00Z'].entries()) {
    const lateMs = (lab.made[index]?.createdAt ?? 0) - Date.parse(at);
    assert.ok(lateMs >= 0 && lateMs <= 1_000, String(lateMs));
  }
  const [, last] = lab.made;
  const { dueAt, id, lastJobId, lastRunAt } = await lab.now();
  assert.deepEqual([dueAt, lastJobId, lastRunAt], [Date.parse('2026-03-01T00:30:00Z'), last?.id, last?.createdAt]);
  assert.deepEqual([last?.scheduleId, last?.source, last?.status], [id, 'schedule', 'queued']);
  await lab.stop();
});

test('times that passed while nobody led are made up for with one job, or left out, as the schedule says', async () => {
  for (const [missed, jobs] of [
    ['run_once', 1],
    ['skip', 0],
  ] as const) {
    const lab = new ScheduleLab('2026-03-01T00:00:00Z');
    await lab.schedule({ cron: '0 * * * *', missed });
    lab.clock.advance(5.5 * hourMs);
    lab.start();
    await lab.clock.advanceAsync(10_000);
    assert.equal(lab.made.length, jobs);
    assert.equal((await lab.now()).dueAt, Date.parse('2026-03-01T06:00:00Z'));
    await lab.stop();
  }
});

test('a leader that is some seconds late misses nothing, and the last of many missed times may be just now', async () => {
  const lab = new ScheduleLab('2026-03-01T00:00:00Z');
  await lab.schedule({ cron: '0 * * * *', missed: 'skip' });
  lab.clock.advance(5 * hourMs + 40_000);
  lab.start();
  await lab.clock.advanceAsync(10_000);
  assert.equal(lab.made.length, 1);
  await lab.stop();
});

test('while its last job has not ended a schedule makes none, or makes it all the same', async () => {
  for (const [overlap, jobs] of [
    ['skip', 2],
    ['allow', 4],
  ] as const) {
    const lab = new ScheduleLab('2026-03-01T00:00:30Z');
    await lab.schedule({ cron: '* * * * *', overlap });
    lab.start();
    await lab.clock.advanceAsync(3 * 60_000);
    await lab.endAll();
    await lab.clock.advanceAsync(60_000);
    assert.equal(lab.made.length, jobs);
    await lab.stop();
  }
});

test('in spring a time that there is not comes when the clock has been put forward, in autumn it comes once', async () => {
  const spring = new ScheduleLab('2026-03-29T00:45:00Z');
  await spring.schedule({ cron: '30 2 * * *', timeZone: 'Europe/Berlin', overlap: 'allow' });
  spring.start();
  await spring.clock.advanceAsync(24 * hourMs);
  assert.deepEqual(
    spring.madeAt.map((at) => at.slice(0, 16)),
    ['2026-03-29T01:00', '2026-03-30T00:30'],
  );
  await spring.stop();

  const autumn = new ScheduleLab('2026-10-25T00:15:00Z');
  await autumn.schedule({ cron: '30 2 * * *', timeZone: 'Europe/Berlin', overlap: 'allow' });
  autumn.start();
  await autumn.clock.advanceAsync(25.5 * hourMs);
  assert.deepEqual(
    autumn.madeAt.map((at) => at.slice(0, 16)),
    ['2026-10-25T00:30', '2026-10-26T01:30'],
  );
  await autumn.stop();
});

test('a clock that is set back brings no time twice, one that is set forward counts as time that was missed', async () => {
  const lab = new ScheduleLab('2026-03-01T00:00:30Z');
  await lab.schedule({ cron: '*/10 * * * *', overlap: 'allow' });
  lab.start();
  await lab.clock.advanceAsync(10 * 60_000);
  assert.equal(lab.made.length, 1);
  lab.clock.setWallTime(Date.parse('2026-03-01T00:05:00Z'));
  await lab.clock.advanceAsync(14 * 60_000);
  assert.equal(lab.made.length, 1);
  await lab.clock.advanceAsync(2 * 60_000);
  assert.equal(lab.made.length, 2);
  lab.clock.setWallTime(Date.parse('2026-03-01T09:01:00Z'));
  await lab.clock.advanceAsync(5_000);
  assert.equal(lab.made.length, 3);
  await lab.stop();
});

test('a schedule with no time left is due no more, and one that is paused makes nothing', async () => {
  const lab = new ScheduleLab('2026-03-01T00:00:00Z');
  const pausedId = '019f0000-0000-7000-8000-0000000000d2';
  await lab.schedule({ cron: '0 0 30 2 *', dueAt: lab.clock.now() + 1_000 });
  await lab.schedule({ id: pausedId, isPaused: true, dueAt: lab.clock.now() + 1_000 });
  lab.start();
  await lab.clock.advanceAsync(5_000);
  assert.equal(lab.made.length, 1);
  assert.deepEqual([(await lab.now()).dueAt, (await lab.now(pausedId)).dueAt], [null, null]);
  await lab.stop();
});

test('a leader that is lost between the job and the next time leaves one job, and so do two at once', async () => {
  const lab = new ScheduleLab('2026-03-01T00:00:30Z');
  await lab.schedule({ cron: '*/10 * * * *' });
  const { jobs, schedules } = lab.records;
  const lost = {
    get: schedules.get.bind(schedules),
    listDue: schedules.listDue.bind(schedules),
    replace: async (): Promise<never> => {
      throw new ServiceError('store_unavailable');
    },
  };
  lab.start({ records: { jobs, schedules: lost } });
  await lab.clock.advanceAsync(10 * 60_000);
  assert.equal(lab.made.length, 1);
  lab.start();
  lab.start();
  await lab.clock.advanceAsync(5_000);
  const { dueAt, lastJobId } = await lab.now();
  assert.deepEqual([lab.made.length, lastJobId], [1, lab.made[0]?.id]);
  assert.equal(lastJobId, scheduledJobId(scheduleRecord(), Date.parse('2026-03-01T00:10:00Z')));
  assert.equal(dueAt, Date.parse('2026-03-01T00:20:00Z'));
  await lab.stop();
});

test('where a tenant has as many jobs as it may have, a time is left out and the next one comes', async () => {
  const lab = new ScheduleLab('2026-03-01T00:00:30Z');
  await lab.schedule({ cron: '*/10 * * * *', overlap: 'allow' });
  for (let number = 0; number < 10; number++)
    await lab.records.jobs.create(jobRecord({ id: `019f0000-0000-7000-8000-0000000001${number}0` }));
  lab.start();
  await lab.clock.advanceAsync(11 * 60_000);
  assert.equal(lab.made.length, 0);
  await lab.records.jobs.erase('acme', '019f0000-0000-7000-8000-000000000110');
  await lab.clock.advanceAsync(10 * 60_000);
  assert.equal(lab.made.length, 1);
  await lab.stop();
});

test('a schedule that cannot be read, such as one with a broken expression, holds up no other', async () => {
  const lab = new ScheduleLab('2026-03-01T00:00:30Z');
  await lab.schedule({ id: '019f0000-0000-7000-8000-0000000000d0', cron: 'broken', dueAt: lab.clock.now() });
  await lab.schedule({ cron: '*/10 * * * *' });
  lab.start();
  await lab.clock.advanceAsync(10 * 60_000);
  assert.equal(lab.made.length, 1);
  await lab.stop();
});

/** Each call takes its time, as over a network. */
function slow<T extends object>(
  clock: FakeClock,
  target: T,
  delayMs: (method: string, args: readonly unknown[]) => number,
): T {
  return new Proxy(target, {
    get: (object, name) => {
      const value: unknown = Reflect.get(object, name, object);
      if (typeof value !== 'function') return value;
      return async (...args: unknown[]): Promise<unknown> => {
        const ms = delayMs(String(name), args);
        await new Promise<void>((resolve) => void clock.after(ms, resolve));
        return (await Reflect.apply(value, object, args)) as unknown;
      };
    },
  });
}

test('many that come due at once are seen to at once, tenants in turn, and none is left out for want of speed', async () => {
  const lab = new ScheduleLab('2026-03-01T00:59:30Z');
  const idOf = (number: number): string => `019f0000-0000-7000-8000-${String(number).padStart(12, '0')}`;
  for (let number = 0; number < 250; number++)
    await lab.schedule({ id: idOf(number), cron: '0 * * * *', missed: 'skip', overlap: 'allow' });
  await lab.schedule({ id: idOf(1_000), tenant: 'zeta', cron: '0 * * * *', missed: 'skip', overlap: 'allow' });
  const { jobs, schedules } = lab.records;
  const records = { jobs: slow(lab.clock, jobs, () => 3_000), schedules: slow(lab.clock, schedules, () => 3_000) };
  lab.start({ records, settings: { maxOpenPerTenant: 1_000 } });
  await lab.clock.advanceAsync(60_000);
  const place = lab.made.findIndex(({ tenant }) => tenant === 'zeta');
  assert.ok(place >= 0 && place < 16, String(place));
  await lab.clock.advanceAsync(180_000);
  // The last of them more than the grace after its time.
  assert.equal(lab.made.length, 251);
  assert.ok((lab.made.at(-1)?.createdAt ?? 0) > Date.parse('2026-03-01T01:01:10Z'), lab.madeAt.at(-1));
  const stopped = lab.stop();
  await lab.clock.advanceAsync(30_000);
  await stopped;
});

test('a schedule whose store calls hang holds up no other, and is not begun twice', async () => {
  const lab = new ScheduleLab('2026-03-01T00:00:30Z');
  const hangs = '019f0000-0000-7000-8000-0000000000d3';
  await lab.schedule({ id: hangs, cron: '*/10 * * * *' });
  await lab.schedule({ cron: '*/10 * * * *' });
  let asked = 0;
  const schedules = slow(lab.clock, lab.records.schedules, (method, [, id]) => {
    if (method !== 'get' || id !== hangs) return 0;
    asked++;
    return 9_000;
  });
  lab.start({ records: { jobs: lab.records.jobs, schedules } });
  await lab.clock.advanceAsync(9.5 * 60_000 + 2_000);
  assert.deepEqual([lab.made.length, asked], [1, 1]);
  await lab.clock.advanceAsync(10_000);
  assert.deepEqual([lab.made.length, asked], [2, 1]);
  await lab.stop();
});

test('what came due while the store was away for long is missed, though the runner was there', async () => {
  const lab = new ScheduleLab('2026-03-01T00:00:30Z');
  await lab.schedule({ cron: '0 * * * *', missed: 'skip' });
  const { jobs, schedules } = lab.records;
  let isAway = false;
  const listDue: typeof schedules.listDue = async (...query) => {
    if (isAway) throw new ServiceError('store_unavailable');
    return schedules.listDue(...query);
  };
  const flaky = Object.assign(Object.create(schedules) as typeof schedules, { listDue });
  lab.start({ records: { jobs, schedules: flaky } });
  await lab.clock.advanceAsync(50 * 60_000);
  isAway = true;
  await lab.clock.advanceAsync(20 * 60_000);
  isAway = false;
  await lab.clock.advanceAsync(60_000);
  assert.deepEqual([lab.made.length, (await lab.now()).dueAt], [0, Date.parse('2026-03-01T02:00:00Z')]);
  await lab.stop();
});
