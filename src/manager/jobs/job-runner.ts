// Runs jobs, for as long as this process leads: those that are due begin while their share of the fleet has room,
// those that run are looked at until they end. Decides which and when; the steps are in attempt-desk.ts.

import type { FleetPlace, Records } from '../../contracts/records.ts';
import { within } from '../../core/deadline.ts';
import type { TenantId } from '../../core/ids.ts';
import type { JobRecord } from '../../core/job.ts';
import type { Metrics } from '../../observability/metrics.ts';
import type { Duty } from '../duty.ts';
import { fleetEntries } from '../fleet-pages.ts';
import { Recurring } from '../recurring.ts';
import { AttemptDesk, type AttemptDeskParts, type AttemptState } from './attempt-desk.ts';
import { DueBacklog, placeName } from './due-backlog.ts';
import { DueScan } from './due-scan.ts';
import { EndedJobs } from './ended-jobs.ts';
import { JobShare } from './job-share.ts';
import type { Refusal } from './refusals.ts';
import { SessionLines } from './session-lines.ts';
import { answered } from './store-answer.ts';
import { failureDelayMs, lookDelayMs, newlyWatched, type Watched } from './watched-job.ts';

export type JobRunnerParts = Omit<
  AttemptDeskParts,
  'metrics' | 'onRefused' | 'onRunning' | 'onStarted' | 'records' | 'toJobResource'
> & {
  readonly records: { readonly jobs: Records['jobs'] };
  readonly metrics: Pick<Metrics, 'jobAttempts' | 'jobWaitSeconds' | 'jobsDue' | 'jobsRunning'>;
  /** All of the fleet, free or not. */
  readonly slots: () => Promise<number>;
  readonly settings: { readonly sharePercent: number; readonly retainMs: number };
  readonly toJobResource?: (job: JobRecord) => unknown;
};

/** How long a new job may wait to be seen; an empty list is read so often. */
const scanEveryMs = 1_000;
/** What another began or left behind. */
const findEveryMs = 30_000;
const mostAtOnce = 16;
/** What takes longer goes on by itself: others are not held up by it. */
const patienceMs = 2_000;
const stopMs = 10_000;

export class JobRunner implements Duty {
  readonly #parts: JobRunnerParts;
  readonly #desk: AttemptDesk;
  readonly #lines = new SessionLines({
    onNext: (place) => this.#backlog.giveBack(place),
    isComing: (place) => this.#backlog.has(place) || this.#watched.has(placeName(place)),
    onForgotten: () => this.#backlog.readAgain(),
  });
  readonly #backlog = new DueBacklog(undefined, (place) => this.#lines.isWaiting(place));
  readonly #scan = new DueScan(this.#backlog);
  readonly #share: JobShare;
  /** Of each tenant, until the last that was taken has been let in, or not. */
  readonly #lettingIn = new Map<TenantId, Promise<void>>();
  /** So many were taken and could not be begun. */
  #passedOver = 0;
  /** All that take a part of the share. */
  readonly #watched = new Map<string, Watched>();
  readonly #underWay = new Set<Promise<void>>();
  readonly #loop: Recurring;
  readonly #loops: readonly Recurring[];
  #nextFindMs = -Infinity;
  #nextScanMs = -Infinity;
  #isStopping = false;
  #isFailureTold = false;

  constructor(parts: JobRunnerParts) {
    const { clock, settings } = parts;
    this.#parts = parts;
    this.#share = new JobShare(parts);
    this.#desk = new AttemptDesk({
      ...parts,
      toJobResource: parts.toJobResource ?? (({ error, id, status }) => ({ id, object: 'job', status, error })),
      onStarted: () => this.#share.started(),
      onRefused: (job, refusal) => this.#refused(job, refusal),
      onRunning: (job) => this.#lines.entered(job),
    });
    const ended = new EndedJobs({ ...parts, retainMs: settings.retainMs });
    this.#loop = new Recurring(clock, () => this.#pass());
    this.#loops = [this.#loop, new Recurring(clock, (isStopping) => ended.pass(isStopping))];
  }

  start(): void {
    for (const loop of this.#loops) loop.start();
  }

  /** A job was just made: the list of due ones is read. */
  poke(): void {
    this.#nextScanMs = this.#parts.clock.monotonicMs();
    this.#loop.poke();
  }

  /** What was begun is waited for, and not for ever: whoever leads next goes on from any point. */
  async stop(): Promise<void> {
    const { clock, metrics } = this.#parts;
    this.#isStopping = true;
    await Promise.all(this.#loops.map((loop) => loop.stop()));
    await within(clock, stopMs, Promise.all(this.#underWay), undefined);
    metrics.jobsDue.set(0);
    metrics.jobsRunning.set(0);
  }

  /** Answers when the next is due. Never rejects. */
  async #pass(): Promise<number> {
    const { clock, logger, metrics } = this.#parts;
    try {
      if (clock.monotonicMs() >= this.#nextFindMs) await this.#findRunning();
      await this.#lookAtAll();
      if (!this.#isStopping) await this.#beginDue();
      this.#isFailureTold = false;
    } catch (error) {
      if (!this.#isFailureTold) logger.warn({ event: 'jobs_not_seen_to', err: error }, 'jobs could not be looked for');
      this.#isFailureTold = true;
      return scanEveryMs;
    } finally {
      metrics.jobsRunning.set(this.#watched.size);
      metrics.jobsDue.set(this.#backlog.size + this.#lines.size);
    }
    return this.#untilNextMs();
  }

  /** Those that ran when this term began, first of all: they have their part of the share. */
  async #findRunning(): Promise<void> {
    const { clock, records } = this.#parts;
    const running = fleetEntries((after, limit) => answered(clock, records.jobs.listRunning(after, limit)));
    for await (const place of running) {
      if (this.#isStopping) return;
      if (!this.#watched.has(placeName(place))) this.#watch(place, false);
    }
    this.#nextFindMs = clock.monotonicMs() + findEveryMs;
  }

  async #lookAtAll(): Promise<void> {
    const nowMs = this.#parts.clock.monotonicMs();
    const due = [...this.#watched.values()].filter(({ isUnderWay, nextLookMs }) => !isUnderWay && nextLookMs <= nowMs);
    await this.#atOnce(due.values());
  }

  async #beginDue(): Promise<void> {
    const { clock, records } = this.#parts;
    const isScanDue = clock.monotonicMs() >= this.#nextScanMs;
    let room = await this.#share.room(this.#watched.size);
    if (isScanDue || (room > 0 && this.#backlog.size === 0 && this.#scan.isUnfinished)) {
      const nowMs = clock.now();
      await this.#scan.read(
        // That of just now is among them.
        (after, limit) => answered(clock, records.jobs.listDue(nowMs + 1, after, limit)),
        nowMs,
        clock.monotonicMs(),
        room > 0,
      );
      this.#nextScanMs = clock.monotonicMs() + scanEveryMs;
      room = await this.#share.room(this.#watched.size);
    }
    // Those that cannot begin leave their room to others; not for so long that the running ones are kept waiting.
    const untilMs = clock.monotonicMs() + scanEveryMs;
    for (let before = -1; before !== this.#passedOver && clock.monotonicMs() < untilMs; ) {
      before = this.#passedOver;
      await this.#atOnce(this.#newlyTaken(room));
      room = await this.#share.room(this.#watched.size);
    }
  }

  *#newlyTaken(room: number): Generator<Watched> {
    for (let left = room; left > 0 && !this.#isStopping; left--) {
      // Others may have been refused since: they would all be.
      if (this.#share.isHeld) return;
      const place = this.#backlog.take(this.#parts.clock.monotonicMs());
      if (place === null) return;
      if (this.#watched.has(placeName(place))) left++;
      else yield this.#watch(place, true);
    }
  }

  #watch(place: FleetPlace, isNew: boolean): Watched {
    const watched = newlyWatched(place, isNew, this.#parts.clock.monotonicMs());
    this.#watched.set(placeName(place), watched);
    return watched;
  }

  async #atOnce(all: IterableIterator<Watched>): Promise<void> {
    const lane = async (): Promise<void> => {
      for (let one = all.next(); one.done !== true; one = all.next()) {
        if (this.#isStopping) return;
        await within(this.#parts.clock, patienceMs, this.#seeTo(one.value), undefined);
      }
    };
    // Lanes share one iterator.
    await Promise.all(Array.from({ length: mostAtOnce }, lane));
  }

  /** Never rejects. */
  #seeTo(watched: Watched): Promise<void> {
    watched.isUnderWay = true;
    const seeing = this.#step(watched)
      .then(
        (state) => this.#stepped(watched, state),
        (error: unknown) => this.#failed(watched, error),
      )
      .finally(() => {
        watched.isUnderWay = false;
        this.#underWay.delete(seeing);
      });
    this.#underWay.add(seeing);
    return seeing;
  }

  #step(watched: Watched): Promise<AttemptState> {
    if (watched.stray !== null) return this.#desk.endStray(watched.stray);
    if (!watched.isNew) return this.#desk.look(watched.place);
    watched.isNew = false;
    return this.#begin(watched.place);
  }

  /** Those of one tenant are let in in the order in which they were taken, whichever is read first. */
  async #begin(place: FleetPlace): Promise<AttemptState> {
    const { tenant } = place;
    const { promise: wasLetIn, resolve: letIn } = Promise.withResolvers<void>();
    const before = this.#lettingIn.get(tenant);
    this.#lettingIn.set(tenant, wasLetIn);
    const isLetIn = async (job: JobRecord): Promise<boolean> => {
      await before;
      letIn();
      const isIn = this.#lines.letIn(job, place);
      // From now on the line has it, and may give it back at any time.
      if (!isIn) this.#watched.delete(placeName(place));
      return isIn;
    };
    try {
      return await this.#desk.begin(place, () => this.#isStopping, isLetIn);
    } finally {
      letIn();
      if (this.#lettingIn.get(tenant) === wasLetIn) this.#lettingIn.delete(tenant);
    }
  }

  #stepped(watched: Watched, outcome: AttemptState): void {
    const nowMs = this.#parts.clock.monotonicMs();
    watched.failures = 0;
    watched.stray = outcome.state === 'stray' ? outcome.job : null;
    switch (outcome.state) {
      case 'runs':
      case 'cancelling':
      case 'stray':
      case 'unclear':
        watched.nextLookMs = nowMs + lookDelayMs(outcome.state, nowMs - watched.sinceMs);
        return;
      case 'waits':
        this.#unwatch(watched);
        this.#backlog.add({ ...watched.place, at: this.#parts.clock.now() }, true);
        return;
      case 'behind':
        this.#passedOver++;
        return;
      case 'passed':
        this.#passedOver++;
        this.#unwatch(watched);
        return;
      case 'left':
        this.#unwatch(watched);
    }
  }

  #unwatch({ place }: Watched): void {
    this.#watched.delete(placeName(place));
    this.#lines.leave(place);
  }

  /** What was done of it, and what not, the next look tells. */
  #failed(watched: Watched, error: unknown): void {
    const { clock, logger } = this.#parts;
    watched.failures++;
    watched.nextLookMs = clock.monotonicMs() + failureDelayMs(watched.failures);
    if (watched.failures !== 1) return;
    logger.warn(
      { event: 'job_not_seen_to', job_id: watched.place.id, tenant: watched.place.tenant, err: error },
      'a job could not be seen to; it is tried again',
    );
  }

  #refused({ tenant }: JobRecord, { delayMs, scope }: Refusal): void {
    const nowMs = this.#parts.clock.monotonicMs();
    if (scope === 'fleet') this.#share.refused();
    else if (scope === 'tenant' && delayMs !== null) this.#backlog.hold(tenant, nowMs + delayMs, nowMs);
  }

  #untilNextMs(): number {
    const nowMs = this.#parts.clock.monotonicMs();
    let nextMs = Math.min(this.#nextScanMs, this.#nextFindMs);
    for (const { isUnderWay, nextLookMs } of this.#watched.values())
      if (!isUnderWay) nextMs = Math.min(nextMs, nextLookMs);
    return Math.max(10, nextMs - nowMs);
  }
}
