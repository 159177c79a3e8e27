// The steps of one job's attempt: begun, started, looked at, ended. Each may be cut off anywhere and be repeated by
// anybody, at the same time too: every write is conditional, and what is started or told follows from the job and
// the number of the attempt. Does not decide which job, nor when.
//
// The attempt is on record before its turn is: a job that waits was never started, so that cancelling it is one
// write, and whoever comes after a crash finds the job among the running ones and starts the turn, under the id
// that it may have been started under before. Once the record has the turn's session, the turn was started: that it
// is gone then means that somebody erased it, and it is not run again.

import type { Outbox } from '../../contracts/outbox.ts';
import type { FleetPlace, Records } from '../../contracts/records.ts';
import type { Clock } from '../../core/clock.ts';
import { within } from '../../core/deadline.ts';
import { isServiceError, ServiceError } from '../../core/errors.ts';
import {
  begunJob,
  hasJobEnded,
  isAttended,
  type JobNoticeType,
  type JobRecord,
  lostJob,
  refusedJob,
  settledJob,
  startedJob,
  unstartedAttempt,
  toldJob,
  untoldJob,
} from '../../core/job.ts';
import { jobNotice } from '../../core/job-notice.ts';
import { type TurnRecord, wasNeverTaken } from '../../core/turn.ts';
import type { Notice } from '../../core/webhook.ts';
import type { Logger } from '../../observability/logger.ts';
import type { Metrics } from '../../observability/metrics.ts';
import { attemptTurnId } from './attempt-ids.ts';
import { placeName } from './due-backlog.ts';
import type { JobTurns } from './job-turns.ts';
import { type Refusal, Refusals } from './refusals.ts';
import { answered } from './store-answer.ts';

export type AttemptDeskParts = {
  readonly records: { readonly jobs: Pick<Records['jobs'], 'get' | 'replace'> };
  readonly turns: JobTurns;
  readonly outbox: Outbox;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'jobAttempts' | 'jobWaitSeconds'>;
  /** What those outside are told of a job. */
  readonly toJobResource: (job: JobRecord) => unknown;
  readonly onStarted: () => void;
  readonly onRefused: (job: JobRecord, refusal: Refusal) => void;
  /** A job was found running. */
  readonly onRunning: (job: JobRecord) => void;
};

type JobKey = Pick<FleetPlace, 'tenant' | 'id'>;

/**
 * runs: look again later; unclear: look again soon; waits: it is queued, and due; left: it has ended, or is due at
 * another time; passed: so it had before anything was begun; behind: it was not let in; stray: a turn runs that its
 * job wants no more.
 */
export type AttemptState =
  | { readonly state: 'runs' | 'unclear' | 'waits' | 'left' | 'passed' | 'behind' | 'cancelling' }
  | { readonly state: 'stray'; readonly job: JobRecord };

const runs: AttemptState = { state: 'runs' };
const unclear: AttemptState = { state: 'unclear' };
const waits: AttemptState = { state: 'waits' };
const left: AttemptState = { state: 'left' };
const passed: AttemptState = { state: 'passed' };
const behind: AttemptState = { state: 'behind' };
const cancelling: AttemptState = { state: 'cancelling' };

/** Longer than it takes to find a worker and hand a turn over. */
const startMs = 30_000;
const cancelMs = 20_000;
const mostTries = 4;
/** Of one attempt: who stops for a new version hands its turns over, each time. */
const mostContinuations = 100;

export class AttemptDesk {
  readonly #parts: AttemptDeskParts;
  readonly #refusals = new Refusals();

  constructor(parts: AttemptDeskParts) {
    this.#parts = parts;
  }

  /** Begins the next attempt of a job that is due, if it is let in. Rejects as the stores do: then it is to be looked at. */
  async begin(
    place: JobKey,
    isStopping: () => boolean,
    isLetIn: (job: JobRecord) => Promise<boolean>,
  ): Promise<AttemptState> {
    const { clock, metrics, records } = this.#parts;
    const job = await this.#get(place);
    if (job === null || !isDue(job, clock.now())) return job !== null && isAttended(job) ? unclear : passed;
    if (isStopping()) return waits;
    // In the order in which it happened.
    if (isUntold(job)) return this.#tell(job);
    if (!(await isLetIn(job))) return behind;
    const nowMs = clock.now();
    const begun = begunJob(job, attemptTurnId(job, job.attemptCount + 1), nowMs);
    const written = begun === null ? null : await answered(clock, records.jobs.replace(begun));
    // Cancelled meanwhile, or begun by another who leads.
    if (written === null) return unclear;
    metrics.jobWaitSeconds.observe(Math.max(0, nowMs - (job.dueAt ?? nowMs)) / 1_000);
    // Who leads next finds it among the running ones.
    return isStopping() ? unclear : this.#start(written);
  }

  /** What has become of it, and what is to be done about that. Rejects as the stores do. */
  async look(place: JobKey): Promise<AttemptState> {
    const { clock, onRunning } = this.#parts;
    const job = await this.#get(place);
    if (job?.status === 'running') onRunning(job);
    if (job !== null && isUntold(job)) return this.#tell(job);
    if (job?.status !== 'running') return job !== null && isDue(job, clock.now()) ? waits : left;
    const turns = await this.#turnsOf(job);
    const [first] = turns;
    const current = turns.at(-1);
    const wasStarted = unstartedAttempt(job) === null;
    if (!wasStarted && (first === undefined || wasNeverTaken(first)))
      return job.isCancelling ? this.#withdraw(job) : this.#start(job);
    if (first === undefined || current === undefined) return this.#lose(job);
    // Who made the turn's record may have been lost before a worker had it.
    if (!wasStarted && first.endedAt === null) return this.#start(job);
    if (current.endedAt !== null) return this.#settle(job, turns);
    if (!wasStarted) return this.#started(job, first);
    if (!job.isCancelling) return runs;
    await this.#cancel(current);
    return cancelling;
  }

  /** Ends a turn that no job wants any more: `job` as it was when the turn was started. */
  async endStray(job: JobRecord): Promise<AttemptState> {
    const turn = (await this.#turnsOf(job)).at(-1);
    // The job may wait for its end, or for an attempt that was asked for since.
    if (turn === undefined || turn.endedAt !== null) return this.look(job);
    await this.#cancel(turn);
    return { state: 'stray', job };
  }

  async #start(job: JobRecord): Promise<AttemptState> {
    const { clock, onStarted, turns } = this.#parts;
    let turn: TurnRecord;
    try {
      const answer = await within(clock, startMs, turns.start(job, job.attemptCount), 'late');
      // It may start yet.
      if (answer === 'late') return unclear;
      turn = answer;
    } catch (error) {
      return this.#refuse(job, error);
    }
    this.#refusals.forget(placeName(job));
    onStarted();
    return this.#started(job, turn);
  }

  async #started(job: JobRecord, turn: TurnRecord): Promise<AttemptState> {
    const { clock, logger, outbox, records } = this.#parts;
    const started = startedJob(job, turn);
    if (started === null) return unclear;
    await answered(clock, outbox.put([this.#notice(started, 'job.started')]));
    if ((await answered(clock, records.jobs.replace(started))) !== null) {
      logger.info({ event: 'job_started', ...factsOf(started), turn_id: turn.id }, 'a job was started');
      return runs;
    }
    return this.#outrun(job, turn);
  }

  /** Somebody else changed the job while its turn was started. */
  async #outrun(job: JobRecord, turn: TurnRecord): Promise<AttemptState> {
    const { clock, records } = this.#parts;
    const now = await this.#get(job);
    if (now?.status === 'queued' && now.attemptCount === job.attemptCount - 1) {
      // Another was refused what was granted here, and withdrew the attempt.
      const begun = begunJob(now, turn.id, clock.now());
      const started = begun === null ? null : startedJob(begun, turn);
      if (started !== null) await answered(clock, records.jobs.replace(started));
      return unclear;
    }
    const isWanted = now !== null && !hasJobEnded(now) && now.attemptCount === job.attemptCount;
    return isWanted || turn.endedAt !== null ? unclear : { state: 'stray', job };
  }

  async #refuse(job: JobRecord, cause: unknown): Promise<AttemptState> {
    const { clock, logger, onRefused, records, turns } = this.#parts;
    const refusal = this.#refusals.judge(placeName(job), cause);
    const { code, delayMs, error } = refusal;
    onRefused(job, refusal);
    // A turn that waits on record is given to a worker sooner or later: it is not to be left behind.
    const turn = await answered(clock, turns.find(job, job.attemptCount));
    if (turn !== null && !wasNeverTaken(turn)) return unclear;
    const nowMs = clock.now();
    const refused = refusedJob(job, error, nowMs, delayMs === null ? null : nowMs + delayMs);
    if (refused === null) return unclear;
    const facts = { event: 'job_refused', ...factsOf(job), code };
    if (hasJobEnded(refused)) return (await this.#end(refused)) ?? unclear;
    if ((await answered(clock, records.jobs.replace(refused))) === null) return unclear;
    if (code === 'internal') logger.warn({ ...facts, err: cause }, 'an attempt of a job could not be started');
    else logger.debug(facts, 'an attempt of a job could not be started now');
    return left;
  }

  /** Cancelled before a turn of its attempt was started: whoever starts one all the same ends it as a stray. */
  async #withdraw(job: JobRecord): Promise<AttemptState> {
    const { code, message } = new ServiceError('turn_cancelled');
    const nowMs = this.#parts.clock.now();
    return (await this.#end(refusedJob(job, { code, message }, nowMs, nowMs))) ?? unclear;
  }

  async #settle(job: JobRecord, turns: readonly TurnRecord[]): Promise<AttemptState> {
    const { clock } = this.#parts;
    const current = turns.at(-1);
    let now = job;
    for (let tries = 1; current !== undefined && tries <= mostTries; tries++) {
      const settled = settledJob(now, current, clock.now(), turns.slice(0, -1));
      if (settled === null) return unclear;
      const state = await this.#end(settled, unstartedAttempt(now) !== null ? ['job.started'] : []);
      if (state !== null) return state;
      // Most likely a client wants it cancelled: what is true of the turn stays true.
      const next = await this.#get(job);
      if (next?.status !== 'running') return unclear;
      now = next;
    }
    return unclear;
  }

  async #lose(job: JobRecord): Promise<AttemptState> {
    const { code, message } = new ServiceError('turn_not_found', {}, { message: 'its session was erased' });
    return (await this.#end(lostJob(job, { code, message }, this.#parts.clock.now()))) ?? unclear;
  }

  /** null when somebody else has changed the record; `before`: what may not have been told of the attempt so far. */
  async #end(job: JobRecord | null, before: readonly JobNoticeType[] = []): Promise<AttemptState | null> {
    const { clock, logger, metrics, records } = this.#parts;
    if (job === null) return null;
    const written = await answered(clock, records.jobs.replace(untoldJob(job, before)));
    if (written === null) return null;
    this.#refusals.forget(placeName(job));
    const facts = { ...factsOf(job), code: job.error?.code ?? null };
    if (job.status === 'queued') {
      metrics.jobAttempts.inc({ outcome: 'retried' });
      logger.info({ event: 'job_retried', ...facts, delay_ms: (job.dueAt ?? 0) - clock.now() }, 'a job is tried again');
    } else if (job.status !== 'running') {
      metrics.jobAttempts.inc({ outcome: job.status });
      logger.info({ event: 'job_ended', ...facts, status: job.status }, 'a job has ended');
    }
    return this.#tell(written);
  }

  /** What is so is told once it is so, and named as untold until then: who stops in between leaves it to the next look. */
  async #tell(job: JobRecord): Promise<AttemptState> {
    const { clock, outbox, records } = this.#parts;
    await answered(clock, outbox.put((job.untold ?? []).map((type) => this.#notice(job, type))));
    const told = await answered(clock, records.jobs.replace(toldJob(job)));
    if (told === null || told.status === 'running') return unclear;
    return isDue(told, clock.now()) ? waits : left;
  }

  /** That of the attempt, and those that went on with it where it was interrupted. */
  async #turnsOf(job: JobRecord): Promise<readonly TurnRecord[]> {
    const { clock, turns } = this.#parts;
    const chain: TurnRecord[] = [];
    let turn = await answered(clock, turns.find(job, job.attemptCount));
    while (turn !== null) {
      chain.push(turn);
      if (turn.status !== 'interrupted' || chain.length > mostContinuations) break;
      turn = await answered(clock, turns.continuation(turn));
    }
    return chain;
  }

  async #cancel(turn: TurnRecord): Promise<void> {
    const { clock, logger, turns } = this.#parts;
    try {
      await answered(clock, turns.cancel(turn), cancelMs);
    } catch (error) {
      if (isServiceError(error, 'turn_ended')) return;
      logger.debug({ event: 'job_not_cancelled', turn_id: turn.id, err: error }, "a job's turn could not be ended yet");
    }
  }

  #get({ tenant, id }: JobKey): Promise<JobRecord | null> {
    const { clock, records } = this.#parts;
    return answered(clock, records.jobs.get(tenant, id));
  }

  #notice(job: JobRecord, type: JobNoticeType): Notice {
    const { clock, toJobResource } = this.#parts;
    return jobNotice(job, type, clock.now(), JSON.stringify(toJobResource(job)));
  }
}

function isDue({ dueAt, status }: JobRecord, nowMs: number): boolean {
  return status === 'queued' && dueAt !== null && dueAt <= nowMs;
}

function isUntold({ untold = [] }: JobRecord): boolean {
  return untold.length > 0;
}

function factsOf({ attemptCount, id, tenant }: JobRecord): Readonly<Record<string, unknown>> {
  return { job_id: id, tenant, attempt: attemptCount };
}
