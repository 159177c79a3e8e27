import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ServiceError } from '../../core/errors.ts';
import { begunJob, cancelledJob, retriedJob } from '../../core/job.ts';
import { JobLab, jobLabIdOf } from '../../testing/job-lab.ts';
import { jobSpec } from '../../testing/stored-records.ts';

test('a job that is due becomes one turn, and its result is kept', async () => {
  const lab = new JobLab();
  await lab.running();
  await lab.job(1);
  await lab.clock.advanceAsync(1_100);
  assert.equal((await lab.now(1)).status, 'running');
  lab.turns.end(lab.turnOf(1), 'completed', { finalMessage: 'done' });
  await lab.clock.advanceAsync(1_000);
  const { attempts, attemptCount, finalMessage, status } = await lab.now(1);
  assert.deepEqual([status, finalMessage, attemptCount, attempts.length], ['completed', 'done', 1, 1]);
  assert.equal(attempts[0]?.sessionId, lab.turns.order[0]?.sessionId);
  assert.deepEqual(lab.toldTypes, ['job.started', 'job.completed']);
  await lab.stop();
  assert.equal(lab.clock.pendingTimers, 0);
});

test('a job of the same process is begun at once, one for later at its time and not before', async () => {
  const lab = new JobLab();
  const runner = await lab.running();
  await lab.clock.advanceAsync(300);
  await lab.job(1);
  runner.poke();
  await lab.clock.advanceAsync(1);
  assert.equal((await lab.now(1)).status, 'running');
  await lab.job(2, { dueAt: lab.clock.now() + 60_000 });
  await lab.clock.advanceAsync(59_000);
  assert.equal((await lab.now(2)).status, 'queued');
  await lab.clock.advanceAsync(2_100);
  assert.equal((await lab.now(2)).status, 'running');
  await lab.stop();
});

test('jobs take their share of the slots and no more, and at least one runs', async () => {
  const lab = new JobLab();
  for (let number = 1; number <= 20; number++) await lab.job(number);
  lab.slots = 10;
  await lab.running();
  await lab.clock.advanceAsync(5_000);
  assert.equal(lab.turns.running.length, 5);
  for (const { id } of lab.turns.running) lab.turns.end(id);
  await lab.clock.advanceAsync(5_000);
  assert.equal(lab.turns.running.length, 5);
  assert.equal(lab.turns.order.length, 10);
  await lab.stop();

  const small = new JobLab();
  small.slots = 1;
  for (const number of [1, 2]) await small.job(number);
  await small.running();
  await small.clock.advanceAsync(5_000);
  assert.equal(small.turns.running.length, 1);
  await small.stop();
});

test("twenty thousand jobs of one tenant delay another's single one by one round, and the memory stays bounded", async () => {
  const lab = new JobLab();
  for (let number = 1; number <= 20_000; number++) await lab.job(number);
  await lab.job(30_000, { tenant: 'zeta', dueAt: lab.clock.now() + 1 });
  lab.slots = 4;
  let listed = 0;
  const { jobs } = lab.records;
  const listDue: typeof jobs.listDue = async (...query) => {
    const page = await jobs.listDue(...query);
    listed += page.data.length;
    return page;
  };
  const counted = Object.assign(Object.create(jobs) as typeof jobs, { listDue });
  await lab.running({ records: { jobs: counted } });
  await lab.clock.advanceAsync(30_000);
  // The share was full before the end of the list was reached.
  assert.deepEqual(
    lab.turns.order.map(({ tenant }) => tenant),
    ['acme', 'acme'],
  );
  // Each entry of the list was read about once, though jobs could begin no more.
  assert.ok(listed <= 21_000, String(listed));
  for (const { id } of lab.turns.running) lab.turns.end(id);
  await lab.clock.advanceAsync(15_000);
  assert.deepEqual(
    lab.turns.order.slice(2).map(({ tenant }) => tenant),
    ['acme', 'zeta'],
  );
  const due = await lab.metrics.jobsDue.get();
  assert.ok((due.values[0]?.value ?? 0) <= 100, JSON.stringify(due.values));
  await lab.stop();
});

test('of one tenant the jobs that became due first begin first, also beyond what is remembered', async () => {
  const lab = new JobLab();
  for (let number = 1; number <= 350; number++) await lab.job(number, { dueAt: lab.clock.now() - 10_000 + number });
  lab.slots = 20;
  await lab.running();
  for (let rounds = 0; lab.turns.order.length < 350 && rounds < 200; rounds++) {
    await lab.clock.advanceAsync(1_000);
    for (const { id } of lab.turns.running) lab.turns.end(id);
  }
  assert.deepEqual(
    lab.turns.order.map(({ jobId }) => jobId),
    Array.from({ length: 350 }, (_, index) => jobLabIdOf(index + 1)),
  );
  await lab.stop();
});

test('an attempt that fails is followed by others, each later than the one before, as often as the job allows', async () => {
  const lab = new JobLab();
  await lab.job(1, {}, { maxAttempts: 3 });
  await lab.running();
  const startsAt: number[] = [];
  for (let attempt = 1; attempt <= 3; attempt++) {
    while (!lab.turns.byId.has(lab.turnOf(1, attempt))) await lab.clock.advanceAsync(500);
    startsAt.push(lab.clock.monotonicMs());
    lab.turns.end(lab.turnOf(1, attempt), attempt === 2 ? 'timed_out' : 'failed');
    await lab.clock.advanceAsync(1_000);
  }
  await lab.clock.advanceAsync(3_600_000);
  const { attempts, error, status } = await lab.now(1);
  assert.deepEqual([status, error?.code, attempts.length], ['failed', 'turn_failed', 3]);
  assert.deepEqual(
    attempts.map((attempt) => attempt.status),
    ['failed', 'timed_out', 'failed'],
  );
  const [first = 0, second = 0, third = 0] = startsAt;
  assert.ok(second - first >= 10_000 && second - first <= 13_000, String(second - first));
  assert.ok(third - second >= 20_000 && third - second <= 23_000, String(third - second));
  const types = ['job.started', 'job.retrying', 'job.started', 'job.retrying', 'job.started', 'job.failed'];
  assert.deepEqual(lab.toldTypes, types);
  await lab.stop();
});

test('a failed job that a client wants tried again begins anew, with as many attempts', async () => {
  const lab = new JobLab();
  await lab.job(1, {}, { maxAttempts: 2, firstDelayMs: 1_000 });
  await lab.running();
  const failAll = async (): Promise<void> => {
    for (let seconds = 0; seconds < 10; seconds++) {
      await lab.clock.advanceAsync(1_000);
      for (const { id } of lab.turns.running) lab.turns.end(id, 'failed');
    }
  };
  await failAll();
  assert.deepEqual([(await lab.now(1)).status, (await lab.now(1)).attemptCount], ['failed', 2]);
  await lab.change(1, (job) => retriedJob(job, lab.clock.now()));
  await failAll();
  assert.deepEqual([(await lab.now(1)).status, (await lab.now(1)).attemptCount], ['failed', 4]);
  assert.deepEqual([...lab.turns.made.values()], [1, 1, 1, 1]);
  await lab.stop();
});

test('a job whose turn is refused for now waits ever longer, and that is no attempt', async () => {
  const lab = new JobLab();
  await lab.job(1);
  lab.turns.refusal = () => new ServiceError('session_busy');
  await lab.running();
  await lab.clock.advanceAsync(60_000);
  const { attemptCount, attempts, error, status } = await lab.now(1);
  assert.deepEqual([status, attemptCount, attempts, error?.code], ['queued', 0, [], 'session_busy']);
  assert.ok(lab.turns.starts >= 4 && lab.turns.starts <= 7, String(lab.turns.starts));
  lab.turns.refusal = () => null;
  await lab.clock.advanceAsync(62_000);
  assert.equal((await lab.now(1)).status, 'running');
  assert.deepEqual(lab.toldTypes, ['job.started']);
  await lab.stop();
});

test('while no worker is ready one job at a time is tried, whoever waits', async () => {
  const lab = new JobLab();
  for (let number = 1; number <= 500; number++) await lab.job(number);
  lab.turns.refusal = () => new ServiceError('no_worker_ready');
  await lab.running();
  await lab.clock.advanceAsync(120_000);
  assert.ok(lab.turns.starts <= 50 + 16, String(lab.turns.starts));
  lab.turns.refusal = () => null;
  await lab.clock.advanceAsync(30_000);
  assert.equal(lab.turns.running.length, 50);
  await lab.stop();
});

test('a tenant at its rate waits alone', async () => {
  const lab = new JobLab();
  for (let number = 1; number <= 100; number++) await lab.job(number, { dueAt: lab.clock.now() - 1_000 });
  for (let number = 201; number <= 210; number++) await lab.job(number, { tenant: 'zeta' });
  lab.turns.refusal = ({ tenant }) =>
    tenant === 'acme' ? new ServiceError('rate_limited', { limit: 1, retry_after_s: 30 }) : null;
  await lab.running();
  await lab.clock.advanceAsync(10_000);
  assert.equal(lab.turns.running.length, 10);
  // Those that were tried at once, and no more until its half minute is over.
  assert.ok(lab.turns.starts <= 10 + 40, String(lab.turns.starts));
  await lab.stop();
});

test('a job that can never start fails, with what it was refused for', async () => {
  const lab = new JobLab();
  await lab.job(1, {}, { maxAttempts: 5 });
  lab.turns.refusal = () => new ServiceError('session_failed');
  await lab.running();
  await lab.clock.advanceAsync(2_000);
  const { attempts, error, status } = await lab.now(1);
  assert.deepEqual([status, error?.code, attempts[0]?.status], ['failed', 'session_failed', 'failed']);
  assert.deepEqual(lab.toldTypes, ['job.failed']);
  await lab.stop();
});

test('what nobody foresaw is tried a few times, then the job fails', async () => {
  const lab = new JobLab();
  await lab.job(1);
  lab.turns.refusal = () => new TypeError('no such thing');
  await lab.running();
  await lab.clock.advanceAsync(120_000);
  assert.deepEqual([(await lab.now(1)).status, lab.turns.starts], ['failed', 5]);
  await lab.stop();
});

test('a job that waits is cancelled and never starts; one that runs ends with its turn', async () => {
  const lab = new JobLab();
  lab.slots = 1;
  for (const number of [1, 2]) await lab.job(number, { dueAt: lab.clock.now() - 10 + number });
  await lab.running();
  await lab.clock.advanceAsync(1_500);
  for (const number of [1, 2]) await lab.change(number, (job) => cancelledJob(job, lab.clock.now()));
  await lab.clock.advanceAsync(5_000);
  for (const number of [1, 2]) assert.equal((await lab.now(number)).status, 'cancelled');
  assert.deepEqual([lab.turns.order.length, lab.turns.running.length], [1, 0]);
  assert.deepEqual(lab.toldTypes, ['job.started', 'job.cancelled', 'job.cancelled']);
  await lab.stop();
});

test('a job that is being cancelled is not tried again when its turn fails by itself', async () => {
  const lab = new JobLab();
  await lab.job(1, {}, { maxAttempts: 3 });
  await lab.running();
  await lab.clock.advanceAsync(1_500);
  lab.turns.end(lab.turnOf(1), 'failed');
  await lab.change(1, (job) => cancelledJob(job, lab.clock.now()));
  await lab.clock.advanceAsync(60_000);
  assert.deepEqual([(await lab.now(1)).status, lab.turns.order.length], ['cancelled', 1]);
  await lab.stop();
});

test('a job whose session is erased while it runs fails and says so; it does not run again', async () => {
  const lab = new JobLab();
  await lab.job(1, {}, { maxAttempts: 3 });
  await lab.running();
  await lab.clock.advanceAsync(1_500);
  lab.turns.byId.clear();
  await lab.clock.advanceAsync(60_000);
  const { error, status } = await lab.now(1);
  assert.deepEqual(
    [status, error, lab.turns.order.length],
    ['failed', { code: 'turn_not_found', message: 'its session was erased' }, 1],
  );
  await lab.stop();
});

test('an attempt that was handed over to another worker goes on with the turn that follows, and counts both', async () => {
  const lab = new JobLab();
  await lab.job(1, {}, { maxAttempts: 3 });
  await lab.running();
  await lab.clock.advanceAsync(1_500);
  lab.turns.goOn(lab.turnOf(1), jobLabIdOf(900));
  await lab.clock.advanceAsync(20_000);
  assert.equal((await lab.now(1)).status, 'running');
  const usage = { inputTokens: 5, cachedInputTokens: 0, outputTokens: 2, reasoningOutputTokens: 0, costUsd: null };
  lab.turns.byId.set(lab.turnOf(1), { ...(lab.turns.byId.get(lab.turnOf(1)) ?? assert.fail()), usage });
  lab.turns.end(jobLabIdOf(900), 'completed', { usage, finalMessage: 'in the end' });
  await lab.clock.advanceAsync(20_000);
  const job = await lab.now(1);
  assert.deepEqual([job.status, job.finalMessage, job.usage.inputTokens], ['completed', 'in the end', 10]);
  assert.equal(lab.turns.order.length, 1);
  await lab.stop();
});

test('a job that runs for hours is looked at ever more rarely, and its end is seen within ten seconds', async () => {
  const lab = new JobLab();
  await lab.job(1);
  let finds = 0;
  const find = lab.turns.find.bind(lab.turns);
  lab.turns.find = (job, attempt) => {
    finds++;
    return find(job, attempt);
  };
  await lab.running();
  await lab.clock.advanceAsync(3_600_000);
  assert.ok(finds >= 300 && finds <= 450, String(finds));
  lab.turns.end(lab.turnOf(1));
  await lab.clock.advanceAsync(10_100);
  assert.equal((await lab.now(1)).status, 'completed');
  await lab.stop();
});

test('jobs that ended are kept for a while and then erased; others are not', async () => {
  const lab = new JobLab();
  const dayMs = 86_400_000;
  await lab.job(1, { status: 'failed', dueAt: null, endedAt: lab.clock.now() - dayMs - 1_000 });
  await lab.job(2, { status: 'failed', dueAt: null, endedAt: lab.clock.now() - dayMs + 120_000 });
  await lab.job(3, { dueAt: lab.clock.now() + 10 * dayMs });
  await lab.running();
  await lab.clock.advanceAsync(1_000);
  const left = async (): Promise<readonly string[]> =>
    (
      await lab.records.jobs.list('acme', { status: null, scheduleId: null }, { after: null, limit: 10, order: 'asc' })
    ).data.map(({ id }) => id);
  assert.deepEqual(await left(), [jobLabIdOf(2), jobLabIdOf(3)]);
  await lab.clock.advanceAsync(200_000);
  assert.deepEqual(await left(), [jobLabIdOf(3)]);
  await lab.stop();
});

test('a store that is away for a while costs time and nothing else', async () => {
  const lab = new JobLab();
  let isAway = false;
  const { jobs } = lab.records;
  const flaky = new Proxy(jobs, {
    get: (target, name) => {
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== 'function') return method;
      return (...args: unknown[]): unknown =>
        isAway ? Promise.reject(new ServiceError('store_unavailable')) : Reflect.apply(method, target, args);
    },
  });
  for (let number = 1; number <= 5; number++) await lab.job(number);
  await lab.running({ records: { jobs: flaky } });
  await lab.clock.advanceAsync(1_200);
  isAway = true;
  for (const { id } of lab.turns.running) lab.turns.end(id);
  await lab.job(6);
  await lab.clock.advanceAsync(60_000);
  isAway = false;
  await lab.clock.advanceAsync(30_000);
  lab.turns.end(lab.turnOf(6));
  await lab.clock.advanceAsync(30_000);
  for (let number = 1; number <= 6; number++) assert.equal((await lab.now(number)).status, 'completed');
  assert.deepEqual([...lab.turns.made.values()], [1, 1, 1, 1, 1, 1]);
  await lab.stop();
});

test('a fleet that stays full fails no job: its turns that never ran use no attempt up, and come again ever later', async () => {
  const lab = new JobLab();
  await lab.job(1);
  await lab.running();
  for (let seconds = 0; seconds < 600; seconds++) {
    await lab.clock.advanceAsync(1_000);
    for (const { id } of lab.turns.running) lab.turns.endUnstarted(id);
  }
  assert.deepEqual([(await lab.now(1)).status, (await lab.now(1)).error?.code], ['queued', 'queue_timed_out']);
  assert.ok(lab.turns.order.length >= 10 && lab.turns.order.length <= 14, String(lab.turns.order.length));
  for (let seconds = 0; seconds < 70; seconds++) {
    await lab.clock.advanceAsync(1_000);
    for (const { id } of lab.turns.running) lab.turns.end(id);
  }
  assert.equal((await lab.now(1)).status, 'completed');
  // Who was told of its start is told that there is to be another.
  assert.deepEqual(lab.toldTypes.slice(0, 4), ['job.started', 'job.retrying', 'job.started', 'job.retrying']);
  assert.deepEqual(lab.toldTypes.slice(-2), ['job.started', 'job.completed']);
  await lab.stop();
});

function withGet<T extends { readonly get: unknown }>(jobs: T, get: T['get']): T {
  return new Proxy(jobs, {
    get: (target, name) => {
      const value: unknown = name === 'get' ? get : Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

test('ten jobs of one session hold one part of the share, begin in their order, and delay nobody else', async () => {
  const lab = new JobLab();
  const spec = jobSpec({ sessionRef: 'one' });
  for (let number = 1; number <= 10; number++) await lab.job(number, { dueAt: lab.clock.now() - 100 + number, spec });
  await lab.job(11);
  lab.slots = 8;
  // What is asked first is not what is answered first.
  const { jobs } = lab.records;
  let gets = 0;
  const get: typeof jobs.get = async (...key) => {
    const delayMs = (gets++ * 7) % 20;
    await new Promise<void>((resolve) => void lab.clock.after(delayMs, resolve));
    return jobs.get(...key);
  };
  await lab.running({ records: { jobs: withGet(jobs, get) } });
  await lab.clock.advanceAsync(5_000);
  await lab.job(99, { tenant: 'zeta' });
  await lab.clock.advanceAsync(2_000);
  const begun = (): readonly (string | undefined)[] => lab.turns.order.map(({ jobId }) => jobId);
  assert.deepEqual(begun(), [1, 11, 99].map(jobLabIdOf));
  assert.equal((await lab.metrics.jobsDue.get()).values[0]?.value, 9);
  await lab.change(3, (job) => cancelledJob(job, lab.clock.now()));
  for (let seconds = 0; seconds < 40; seconds++) {
    for (const { id, sessionId } of lab.turns.running) if (sessionId === 'one') lab.turns.end(id);
    await lab.clock.advanceAsync(1_000);
    assert.ok(lab.turns.running.filter(({ sessionId }) => sessionId === 'one').length <= 1);
  }
  assert.deepEqual(begun(), [1, 11, 99, 2, 4, 5, 6, 7, 8, 9, 10].map(jobLabIdOf));
  await lab.stop();
});

test('a new leader begins nothing in a session where a job of the last one runs', async () => {
  const lab = new JobLab();
  const spec = jobSpec({ sessionRef: 'one' });
  await lab.job(1, { spec });
  const first = await lab.running();
  await lab.clock.advanceAsync(1_500);
  const stopped = first.stop();
  await lab.clock.advanceAsync(20_000);
  await stopped;
  await lab.job(2, { spec });
  await lab.running();
  await lab.clock.advanceAsync(60_000);
  assert.equal(lab.turns.order.length, 1);
  lab.turns.end(lab.turnOf(1));
  await lab.clock.advanceAsync(11_000);
  assert.deepEqual([(await lab.now(1)).status, (await lab.now(2)).status], ['completed', 'running']);
  await lab.stop();
});

test('a job that is cancelled before the turn of its attempt was started is never started', async () => {
  const lab = new JobLab();
  const begun = await lab.job(1);
  await lab.records.jobs.replace(
    cancelledJob(begunJob(begun, lab.turnOf(1), lab.clock.now()) ?? begun, lab.clock.now()) ?? begun,
  );
  await lab.running();
  await lab.clock.advanceAsync(5_000);
  const { attemptCount, attempts, status } = await lab.now(1);
  assert.deepEqual([status, attemptCount, attempts, lab.turns.starts], ['cancelled', 0, [], 0]);
  assert.deepEqual(lab.toldTypes, ['job.cancelled']);
  await lab.stop();
});

test('an old job that a client wants tried again just before it is erased stays, and so does one with something untold', async () => {
  const lab = new JobLab();
  const old = { status: 'failed', dueAt: null, endedAt: lab.clock.now() - 2 * 86_400_000 } as const;
  await lab.job(1, old);
  const { jobs } = lab.records;
  let isRetried = false;
  const get: typeof jobs.get = async (...key) => {
    const read = await jobs.get(...key);
    if (!isRetried) {
      isRetried = true;
      await lab.change(1, (job) => retriedJob(job, lab.clock.now() + 1_000_000));
    }
    return read;
  };
  await lab.running({ records: { jobs: withGet(jobs, get) } });
  await lab.clock.advanceAsync(200_000);
  assert.deepEqual([isRetried, (await lab.now(1)).status], [true, 'queued']);
  await lab.stop();

  const untold = new JobLab();
  await untold.job(1, { ...old, untold: ['job.failed'] });
  let isAway = true;
  const put = async (...notices: Parameters<typeof untold.outbox.put>): Promise<void> => {
    if (isAway) throw new ServiceError('store_unavailable');
    return untold.outbox.put(...notices);
  };
  await untold.running({ outbox: { put } });
  await untold.clock.advanceAsync(130_000);
  assert.deepEqual((await untold.now(1)).untold, ['job.failed']);
  isAway = false;
  await untold.clock.advanceAsync(130_000);
  assert.deepEqual([untold.toldTypes, await untold.records.jobs.get('acme', jobLabIdOf(1))], [['job.failed'], null]);
  await untold.stop();
});
