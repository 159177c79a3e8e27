// Makes the jobs of schedules when they are due. A job's id follows from its schedule and the time that it is due
// at: whoever makes it, and however often, it is one job. The job is made first, then the schedule's next time is
// written: a crash in between repeats both.

import type { FleetPlace, Records } from '../../contracts/records.ts';
import type { Clock } from '../../core/clock.ts';
import { within } from '../../core/deadline.ts';
import { hasJobEnded, type JobRecord, newJob } from '../../core/job.ts';
import type { ScheduleRecord } from '../../core/schedule.ts';
import type { Logger } from '../../observability/logger.ts';
import type { Duty } from '../duty.ts';
import { fleetEntries } from '../fleet-pages.ts';
import { Recurring } from '../recurring.ts';
import { scheduledJobId } from './attempt-ids.ts';
import { DueBacklog, placeName } from './due-backlog.ts';
import { answered } from './store-answer.ts';

export type ScheduleRunnerParts = {
  readonly records: {
    readonly jobs: Pick<Records['jobs'], 'countOpen' | 'create' | 'get'>;
    readonly schedules: Pick<Records['schedules'], 'get' | 'listDue' | 'replace'>;
  };
  /** The first time after that moment; null when none is left. */
  readonly nextRun: (cron: string, timeZone: string, afterMs: number) => number | null;
  readonly settings: { readonly maxOpenPerTenant: number };
  readonly onJobMade: (job: JobRecord) => void;
  readonly clock: Clock;
  readonly logger: Logger;
};

const everyMs = 1_000;
/** So late is in time: a new leader needs some seconds, and so does a store that was away. */
const graceMs = 60_000;
/** In one pass, tenants in turn; the longest of their lists are cut. */
const ofOnePass = { mostPlaces: 1_000, mostPerTenant: 500 };
/** In one pass, to find those of other tenants behind the many of one. */
const mostRead = 5_000;
const mostAtOnce = 16;
/** What takes longer goes on by itself: others are not held up by it. */
const patienceMs = 5_000;
const stopMs = 10_000;
/** One that cannot be seen to is left alone for that long: it would be first in every list. */
const failedForMs = 30_000;
const mostRemembered = 10_000;

type Left = 'overlap' | 'missed' | 'too_many_jobs';

export class ScheduleRunner implements Duty {
  readonly #parts: ScheduleRunnerParts;
  readonly #loop: Recurring;
  readonly #failedUntilMs = new Map<string, number>();
  readonly #underWay = new Map<string, Promise<void>>();
  /** The schedules have been within reach since then, without a gap longer than the grace; as the wall clock counts. */
  #inReachSinceMs = Infinity;
  #lastReachedMs = -Infinity;
  #isFailureTold = false;

  constructor(parts: ScheduleRunnerParts) {
    this.#parts = parts;
    this.#loop = new Recurring(parts.clock, (isStopping) => this.#pass(isStopping));
  }

  start(): void {
    this.#loop.start();
  }

  /** What was begun is waited for, and not for ever: it may be cut off anywhere. */
  async stop(): Promise<void> {
    await this.#loop.stop();
    await within(this.#parts.clock, stopMs, Promise.all(this.#underWay.values()), undefined);
  }

  /** Answers when the next is due. Never rejects. */
  async #pass(isStopping: () => boolean): Promise<number> {
    const { clock, logger } = this.#parts;
    try {
      const due = await this.#due(isStopping);
      const lane = async (): Promise<void> => {
        for (let place = due.take(0); place !== null && !isStopping(); place = due.take(0))
          await within(clock, patienceMs, this.#begin(place), undefined);
      };
      await Promise.all(Array.from({ length: mostAtOnce }, lane));
      this.#isFailureTold = false;
    } catch (error) {
      if (!this.#isFailureTold)
        logger.warn({ event: 'schedules_not_seen_to', err: error }, 'schedules that are due could not be looked for');
      this.#isFailureTold = true;
    }
    return everyMs;
  }

  async #due(isStopping: () => boolean): Promise<DueBacklog> {
    const { clock, records } = this.#parts;
    const nowMs = clock.now();
    const due = new DueBacklog(ofOnePass, (place) => this.#isLeftAlone(place));
    const listed = fleetEntries((after, limit) => answered(clock, records.schedules.listDue(nowMs + 1, after, limit)));
    let read = 0;
    for await (const place of listed) {
      if (isStopping() || read >= mostRead || due.size >= ofOnePass.mostPlaces) break;
      read++;
      due.add(place, true);
    }
    this.#reached();
    return due;
  }

  /** What comes due from now on is in time, however long it takes until it is its turn. */
  #reached(): void {
    const nowMs = this.#parts.clock.now();
    // Nobody could act in between, or the clock was set.
    if (nowMs - this.#lastReachedMs > graceMs) this.#inReachSinceMs = nowMs;
    this.#inReachSinceMs = Math.min(this.#inReachSinceMs, nowMs);
    this.#lastReachedMs = nowMs;
  }

  #isLeftAlone(place: FleetPlace): boolean {
    const name = placeName(place);
    if (this.#underWay.has(name)) return true;
    const untilMs = this.#failedUntilMs.get(name);
    if (untilMs === undefined) return false;
    if (untilMs > this.#parts.clock.monotonicMs()) return true;
    this.#failedUntilMs.delete(name);
    return false;
  }

  #begin(place: FleetPlace): Promise<void> {
    const name = placeName(place);
    const seeing = this.#seeTo(place).finally(() => this.#underWay.delete(name));
    this.#underWay.set(name, seeing);
    return seeing;
  }

  /** Never rejects. */
  async #seeTo(place: FleetPlace): Promise<void> {
    const { clock, logger, records } = this.#parts;
    try {
      const schedule = await answered(clock, records.schedules.get(place.tenant, place.id));
      this.#reached();
      if (schedule !== null && schedule.dueAt !== null && schedule.dueAt <= clock.now()) {
        await this.#run(schedule, schedule.dueAt);
      }
    } catch (error) {
      if (this.#failedUntilMs.size >= mostRemembered) this.#failedUntilMs.clear();
      this.#failedUntilMs.set(placeName(place), clock.monotonicMs() + failedForMs);
      logger.warn(
        { event: 'schedule_not_run', schedule_id: place.id, tenant: place.tenant, err: error },
        'a schedule could not be seen to; it is tried again',
      );
    }
  }

  async #run(schedule: ScheduleRecord, dueAt: number): Promise<void> {
    const { clock, logger, nextRun, onJobMade, records } = this.#parts;
    if (schedule.isPaused) {
      await answered(clock, records.schedules.replace({ ...schedule, dueAt: null }));
      return;
    }
    const nowMs = clock.now();
    // Also where the clock was set back: a time that was seen to does not come again.
    const nextAt = nextRun(schedule.cron, schedule.timeZone, Math.max(nowMs, dueAt));
    const facts = { schedule_id: schedule.id, tenant: schedule.tenant, due_at: dueAt };
    const jobId = scheduledJobId(schedule, dueAt);
    const left = await this.#reasonToLeaveOut(schedule, dueAt, nowMs, jobId);
    if (left !== null) {
      const written = await answered(clock, records.schedules.replace({ ...schedule, dueAt: nextAt }));
      if (written !== null)
        logger.info({ event: 'schedule_skipped', ...facts, reason: left }, 'a schedule made no job');
      return;
    }
    const made = await answered(clock, records.jobs.create(jobOf(schedule, jobId, nowMs)));
    if (made.outcome === 'created') {
      logger.info({ event: 'schedule_ran', ...facts, job_id: jobId }, 'a schedule made a job');
      onJobMade(made.record);
    }
    // Where it has changed meanwhile it is seen to again, and the same job found.
    const lastRunAt = made.record.createdAt;
    await answered(clock, records.schedules.replace({ ...schedule, dueAt: nextAt, lastRunAt, lastJobId: jobId }));
  }

  /** null: the job is to be made, or was. */
  async #reasonToLeaveOut(schedule: ScheduleRecord, dueAt: number, nowMs: number, jobId: string): Promise<Left | null> {
    const { clock, records, settings } = this.#parts;
    const { lastJobId, missed, overlap, tenant } = schedule;
    if ((await answered(clock, records.jobs.get(tenant, jobId))) !== null) return null;
    if (missed === 'skip' && !this.#isInTime(schedule, dueAt, nowMs)) return 'missed';
    if (overlap === 'skip' && lastJobId !== null) {
      const last = await answered(clock, records.jobs.get(tenant, lastJobId));
      if (last !== null && !hasJobEnded(last)) return 'overlap';
    }
    const open = await answered(clock, records.jobs.countOpen(tenant, settings.maxOpenPerTenant));
    return open >= settings.maxOpenPerTenant ? 'too_many_jobs' : null;
  }

  /** Whether it is its time, or one after it, that could not be seen to before: what was missed earlier is left out. */
  #isInTime({ cron, timeZone }: ScheduleRecord, dueAt: number, nowMs: number): boolean {
    const sinceMs = Math.min(nowMs, this.#inReachSinceMs) - graceMs;
    if (dueAt >= sinceMs) return true;
    const lastAt = this.#parts.nextRun(cron, timeZone, sinceMs - 1);
    return lastAt !== null && lastAt <= nowMs;
  }
}

/** Due when it was made, not when it should have been: among other jobs it is no older than it is. */
function jobOf(schedule: ScheduleRecord, id: string, nowMs: number): JobRecord {
  const { createdBy, spec, tenant } = schedule;
  return {
    ...newJob,
    tenant,
    id,
    spec,
    source: 'schedule',
    scheduleId: schedule.id,
    requestHash: null,
    requestId: null,
    createdBy,
    dueAt: nowMs,
    createdAt: nowMs,
  };
}
