import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ServiceError } from '../../core/errors.ts';
import { cancelledJob, hasJobEnded } from '../../core/job.ts';
import { JobLab } from '../../testing/job-lab.ts';
import type { JobRunnerParts } from './job-runner.ts';

/** Asks before each call whether it happens, and after it whether its answer arrives: a promise that may never resolve. */
type Fate = (name: string) => { readonly before: Promise<void>; readonly after: () => Promise<void> };

const never = new Promise<never>(() => {});

function fated<T extends object>(target: T, fate: Fate): T {
  return new Proxy(target, {
    get: (object, name) => {
      const value: unknown = Reflect.get(object, name, object);
      if (typeof value !== 'function') return value;
      return async (...args: unknown[]): Promise<unknown> => {
        const { before, after } = fate(String(name));
        await before;
        const answer: unknown = await Reflect.apply(value, object, args);
        await after();
        return answer;
      };
    },
  });
}

function mortalParts(lab: JobLab, fate: Fate): Partial<JobRunnerParts> {
  return {
    records: { jobs: fated(lab.records.jobs, fate) },
    turns: fated(lab.turns, fate),
    outbox: fated(lab.outbox, fate),
  };
}

const terminal = ['job.completed', 'job.failed', 'job.cancelled'];

function assertEachOnce(lab: JobLab): void {
  for (const [turn, times] of lab.turns.made) assert.equal(times, 1, turn);
  const ends = lab.told.filter(({ type }) => terminal.includes(type)).map(({ lane }) => lane);
  assert.equal(new Set(ends).size, ends.length, 'a job is told to have ended once');
}

type Story = { readonly name: string; readonly isCancelled: boolean; readonly isRefused: boolean };
const stories: readonly Story[] = [
  { name: 'fails and is tried again', isCancelled: false, isRefused: false },
  { name: 'is cancelled', isCancelled: true, isRefused: false },
  { name: 'is refused first', isCancelled: false, isRefused: true },
];

for (const { isCancelled, isRefused, name } of stories) {
  test(`a leader that is killed at any of its calls leaves a job that ${name} to the next, which runs nothing twice`, async () => {
    let mostCalls = 0;
    for (let dies = 1; dies === 1 || dies <= mostCalls + 1; dies++) {
      for (const isBefore of [true, false]) {
        const lab = new JobLab();
        let calls = 0;
        const alive = { before: Promise.resolve(), after: () => Promise.resolve() };
        const dead = { before: never, after: () => never };
        const first = await lab.running(
          mortalParts(lab, (method) => {
            // Lists are read again and again, and change nothing.
            if (method.startsWith('list')) return calls >= dies ? dead : alive;
            calls++;
            if (calls < dies) return alive;
            return calls === dies && !isBefore ? { before: Promise.resolve(), after: () => never } : dead;
          }),
        );
        if (isRefused) lab.turns.refusal = () => (lab.turns.starts === 1 ? new ServiceError('queue_full') : null);
        await lab.job(1, {}, { maxAttempts: 2, firstDelayMs: 1_000 });
        const live = async (): Promise<void> => {
          for (let seconds = 0; seconds < 12; seconds++) {
            await lab.clock.advanceAsync(1_000);
            if (isCancelled && seconds === 3) await lab.change(1, (job) => cancelledJob(job, lab.clock.now()));
            if (isCancelled) continue;
            if (lab.turns.byId.has(lab.turnOf(1, 1))) lab.turns.end(lab.turnOf(1, 1), 'failed');
            if (lab.turns.byId.has(lab.turnOf(1, 2))) lab.turns.end(lab.turnOf(1, 2), 'completed');
          }
        };
        await live();
        mostCalls = Math.max(mostCalls, calls);
        const second = await lab.running();
        await live();
        await lab.clock.advanceAsync(60_000);
        const where = `call ${dies}, ${isBefore ? 'before' : 'after'} it`;
        const job = await lab.now(1);
        assert.deepEqual(
          [job.status, job.attemptCount],
          isCancelled ? ['cancelled', job.attemptCount] : ['completed', 2],
          where,
        );
        assert.deepEqual(lab.turns.running, [], where);
        assertEachOnce(lab);
        if (!isCancelled) {
          const types = ['job.started', 'job.retrying', 'job.started', 'job.completed'];
          assert.deepEqual(lab.toldTypes, types, where);
        }
        assert.ok(first !== second);
        await lab.stop();
      }
    }
    assert.ok(mostCalls > 10, String(mostCalls));
  });
}

test('two who lead at once start each attempt once and end each job once', async () => {
  const lab = new JobLab();
  for (let number = 1; number <= 60; number++) await lab.job(number, {}, { maxAttempts: 2, firstDelayMs: 1_000 });
  await Promise.all([lab.running(), lab.running()]);
  for (let seconds = 0; seconds < 40; seconds++) {
    await lab.clock.advanceAsync(1_000);
    for (const { id } of lab.turns.running)
      lab.turns.end(id, lab.turns.order.length % 2 === 0 ? 'failed' : 'completed');
  }
  await lab.clock.advanceAsync(60_000);
  for (const { id } of lab.turns.running) lab.turns.end(id);
  await lab.clock.advanceAsync(60_000);
  for (let number = 1; number <= 60; number++) assert.ok(hasJobEnded(await lab.now(number)));
  assertEachOnce(lab);
  await lab.stop();
});

/** One who leads waits for the answer to its start; another was refused meanwhile, and withdrew the attempt. */
async function refusedMeanwhile(lab: JobLab): Promise<() => Promise<void>> {
  const gate = Promise.withResolvers<void>();
  const slow = fated(lab.turns, (name) => ({
    before: name === 'start' ? gate.promise : Promise.resolve(),
    after: () => Promise.resolve(),
  }));
  const refused = fated(lab.turns, (name) => ({
    before: name === 'start' ? Promise.reject(new ServiceError('session_busy')) : Promise.resolve(),
    after: () => Promise.resolve(),
  }));
  await lab.job(1);
  await lab.running({ turns: slow });
  await lab.clock.advanceAsync(300);
  const other = await lab.running({ turns: refused });
  await lab.clock.advanceAsync(300);
  assert.deepEqual([(await lab.now(1)).status, (await lab.now(1)).attemptCount], ['queued', 0]);
  await other.stop();
  return async () => {
    gate.resolve();
    await lab.clock.advanceAsync(5_000);
  };
}

test('a turn that starts after its job was cancelled is ended by who started it', async () => {
  const lab = new JobLab();
  const goOn = await refusedMeanwhile(lab);
  await lab.change(1, (job) => cancelledJob(job, lab.clock.now()));
  await goOn();
  assert.deepEqual([lab.turns.order.length, lab.turns.running.length], [1, 0]);
  assert.equal((await lab.now(1)).status, 'cancelled');
  await lab.stop();
});

test('a turn that starts after another withdrew its attempt is the attempt all the same', async () => {
  const lab = new JobLab();
  const goOn = await refusedMeanwhile(lab);
  await goOn();
  const { attempts, attemptCount, status } = await lab.now(1);
  assert.deepEqual([status, attemptCount, attempts[0]?.turnId], ['running', 1, lab.turnOf(1)]);
  lab.turns.end(lab.turnOf(1));
  await lab.clock.advanceAsync(5_000);
  assert.equal((await lab.now(1)).status, 'completed');
  assertEachOnce(lab);
  await lab.stop();
});

test('an attempt whose turn waits on record is not withdrawn, whatever the answer was: a worker may get it yet', async () => {
  const lab = new JobLab();
  const afterwards = fated(lab.turns, (name) => ({
    before: Promise.resolve(),
    after: () => (name === 'start' ? Promise.reject(new ServiceError('store_unavailable')) : Promise.resolve()),
  }));
  await lab.job(1);
  const first = await lab.running({ turns: afterwards });
  await lab.clock.advanceAsync(2_000);
  assert.deepEqual([(await lab.now(1)).status, lab.turns.running.length], ['running', 1]);
  await first.stop();
  await lab.running();
  await lab.clock.advanceAsync(2_000);
  assert.deepEqual(lab.toldTypes, ['job.started']);
  assertEachOnce(lab);
  await lab.stop();
});

test('a start that does not answer is asked for again, and does not run twice', async () => {
  const lab = new JobLab();
  let starts = 0;
  const silent = fated(lab.turns, (name) => ({
    before: Promise.resolve(),
    after: () => (name === 'start' && starts++ === 0 ? never : Promise.resolve()),
  }));
  await lab.job(1);
  await lab.running({ turns: silent });
  await lab.clock.advanceAsync(35_000);
  lab.turns.end(lab.turnOf(1));
  await lab.clock.advanceAsync(10_000);
  assert.deepEqual([(await lab.now(1)).status, starts > 1], ['completed', true]);
  assertEachOnce(lab);
  await lab.stop();
});

type Step =
  | { readonly kind: 'time'; readonly ms: number }
  | { readonly kind: 'crash' | 'cancel' | 'end'; readonly which: number; readonly how: number }
  | { readonly kind: 'refuse'; readonly code: 'queue_full' | 'session_busy' | 'store_unavailable' | null };

const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('time' as const), ms: fc.integer({ min: 1, max: 3_000 }) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constantFrom('crash' as const, 'cancel' as const, 'end' as const, 'end' as const),
      which: fc.nat(5),
      how: fc.nat(4),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('refuse' as const),
      code: fc.constantFrom('queue_full' as const, 'session_busy' as const, 'store_unavailable' as const, null),
    }),
  },
);

test('whatever crashes, leads beside another, is refused or cancelled: every job ends once, and no attempt runs twice', async () => {
  const jobs = 6;
  const most = 3;
  const property = fc.asyncProperty(
    fc.array(stepArbitrary, { minLength: 5, maxLength: 40 }),
    fc.array(fc.nat(400), { minLength: 1, maxLength: 50 }),
    async (steps, delays) => {
      const lab = new JobLab();
      let delay = 0;
      const wait = (): Promise<void> =>
        new Promise((resolve) => void lab.clock.after(delays[delay++ % delays.length] ?? 0, resolve));
      const begin = async (): Promise<() => void> => {
        let isDead = false;
        const mortal = (): Promise<void> => (isDead ? never : wait().then(() => (isDead ? never : undefined)));
        await lab.running(mortalParts(lab, () => ({ before: mortal(), after: mortal })));
        return () => {
          isDead = true;
        };
      };
      const leaders = [await begin(), await begin()];
      for (let number = 1; number <= jobs; number++)
        await lab.job(number, {}, { maxAttempts: most, firstDelayMs: 500, longestDelayMs: 2_000 });
      for (const step of steps) {
        if (step.kind === 'time') await lab.clock.advanceAsync(step.ms);
        else if (step.kind === 'refuse') {
          const { code } = step;
          lab.turns.refusal = () => (code === null ? null : new ServiceError(code));
        } else if (step.kind === 'crash') {
          leaders[step.which % 2]?.();
          leaders[step.which % 2] = await begin();
        } else if (step.kind === 'cancel') {
          await lab.change(step.which + 1, (job) => cancelledJob(job, lab.clock.now()));
        } else {
          const turn = lab.turns.running[step.which];
          const how = (['completed', 'failed', 'timed_out', 'interrupted'] as const)[step.how];
          if (turn === undefined) continue;
          if (how === undefined) lab.turns.endUnstarted(turn.id);
          else lab.turns.end(turn.id, how);
        }
      }
      for (const leader of leaders) leader();
      lab.turns.refusal = () => null;
      const last = await lab.running();
      // What runs now is what some job says of itself.
      await lab.clock.advanceAsync(130_000);
      for (const turn of lab.turns.running) {
        const job = await lab.records.jobs.get(turn.tenant, turn.jobId ?? '');
        assert.deepEqual([job?.status, job?.attempts.at(-1)?.turnId], ['running', turn.id]);
      }
      for (let rounds = 0; rounds < 20; rounds++) {
        for (const { id } of lab.turns.running) lab.turns.end(id, rounds % 2 === 0 ? 'failed' : 'completed');
        await lab.clock.advanceAsync(15_000);
      }
      for (let number = 1; number <= jobs; number++) {
        const job = await lab.now(number);
        assert.ok(hasJobEnded(job), job.status);
        assert.ok(job.attemptCount - job.countedFrom <= most, String(job.attemptCount));
      }
      assert.deepEqual(lab.turns.running, []);
      assertEachOnce(lab);
      const stopped = last.stop();
      await lab.clock.advanceAsync(20_000);
      await stopped;
    },
  );
  const runs = Number(process.env['CODEX_FLEET_JOB_RUNS'] ?? 40);
  // One run takes a tenth of a second: what takes so long goes round in a circle.
  await fc.assert(property, { numRuns: runs, plugins: [fc.timeout(20_000)], endOnFailure: true });
});
