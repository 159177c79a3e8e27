// A turn that no client waits for, with what is done when it fails. Pure steps on a record: who starts its
// attempts and who is told of its end is not decided here.

import { type ErrorEntry, errorRegister } from './errors.ts';
import type { SessionId, TenantId, TurnId } from './ids.ts';
import type { ReasoningEffort, TerminalStatus, TurnError, TurnRecord } from './turn.ts';
import { addUsage, noUsage, type Usage } from './usage.ts';

/** queued: waits for its time, for its share of the fleet, or for the next attempt. */
export const jobStatuses = ['queued', 'running', 'completed', 'failed', 'cancelled'] as const;
export type JobStatus = (typeof jobStatuses)[number];

/** Where it came from. */
export const jobSources = ['api', 'schedule', 'pubsub'] as const;
export type JobSource = (typeof jobSources)[number];

export type JobRetry = {
  /** With the first; 1: none but that. */
  readonly maxAttempts: number;
  /** Before the second attempt; doubled before each further one. */
  readonly firstDelayMs: number;
  readonly longestDelayMs: number;
};

export const noRetry: JobRetry = { maxAttempts: 1, firstDelayMs: 10_000, longestDelayMs: 600_000 };

/** What is asked of the agent; the same for every attempt, and what a schedule repeats. */
export type JobSpec = {
  readonly prompt: string;
  /** As the client named it, made where there is none of that name; null: each attempt begins a session of its own. */
  readonly sessionRef: string | null;
  /** null: the session's, else the fleet's; so are those below. */
  readonly model: string | null;
  readonly effort: ReasoningEffort | null;
  readonly outputSchema: Readonly<Record<string, unknown>> | null;
  readonly timeoutMs: number;
  readonly queueTimeoutMs: number;
  readonly retry: JobRetry;
  readonly metadata: Readonly<Record<string, string>>;
  /** Who is told of this job beside the tenant's endpoints. */
  readonly webhook: JobWebhook | null;
};

/** `secret`: as an endpoint's, with its prefix. */
export type JobWebhook = { readonly url: string; readonly secret: string };

export type JobAttempt = {
  /**
   * Follows from the job's id and the attempt's number: a second try to start it finds the same turn. Others that
   * went on with that turn, where it was interrupted, belong to the attempt.
   */
  readonly turnId: TurnId;
  /** null until the turn is known to have been started: before that, that there is no such turn means nothing. */
  readonly sessionId: SessionId | null;
  readonly startedAt: number;
  /** null while it has not ended; so are those below. */
  readonly endedAt: number | null;
  readonly status: TerminalStatus | null;
  /** null also of one that completed. */
  readonly error: TurnError | null;
};

export type JobNoticeType = 'job.started' | 'job.retrying' | 'job.completed' | 'job.failed' | 'job.cancelled';

export type JobRecord = {
  readonly tenant: TenantId;
  readonly id: string;
  readonly revision: number;
  readonly status: JobStatus;
  readonly spec: JobSpec;
  readonly source: JobSource;
  /** The schedule that made it. */
  readonly scheduleId: string | null;
  /** Hash of the request that made it, to recognise a repeat. */
  readonly requestHash: string | null;
  readonly requestId: string | null;
  readonly createdBy: string;
  /** The last of them, in order; see `attemptCount` for how many there were. */
  readonly attempts: readonly JobAttempt[];
  /** Of all that were begun: the number of the last one. */
  readonly attemptCount: number;
  /**
   * Those that a retry policy allows are counted from here: a client that asks for another try begins anew, and one
   * that had no room moves it on by one.
   */
  readonly countedFrom: number;
  /** When the next attempt is due; null unless it is queued. */
  readonly dueAt: number | null;
  /** A client wants it to end, and its turn runs. */
  readonly isCancelling: boolean;
  /** What is so and may not have been told outside. Absent: everything was. */
  readonly untold?: readonly JobNoticeType[];
  /** Its erasure was asked for: nothing more is told of it, and it is not tried again. */
  readonly erasing?: true;
  /** The last attempt's; empty before. */
  readonly finalMessage: string;
  readonly error: TurnError | null;
  /** Of all attempts together. */
  readonly usage: Usage;
  readonly createdAt: number;
  readonly endedAt: number | null;
};

/** What is true of a job that has just been asked for. */
export const newJob = {
  revision: 1,
  status: 'queued',
  attempts: [],
  attemptCount: 0,
  countedFrom: 0,
  isCancelling: false,
  finalMessage: '',
  error: null,
  usage: noUsage,
  endedAt: null,
} as const;

/** Of one job, the last: so many are kept in its record. */
export const keptAttempts = 20;

/** Each turn that had no room is on record, and so may be its session: it is not asked for more often than that. */
const firstRoomDelayMs = 5_000;
const longestRoomDelayMs = 60_000;

/** Somebody has to look at it before long: its turn runs, or what became of it is to be told. */
export function isAttended({ status, untold = [] }: Pick<JobRecord, 'status' | 'untold'>): boolean {
  return status === 'running' || untold.length > 0;
}

/** With what became of its attempt as untold; `before`: what came before that and may not have been told either. */
export function untoldJob(job: JobRecord, before: readonly JobNoticeType[] = []): JobRecord {
  const { status, untold = [] } = job;
  if (status === 'running') return job;
  return { ...job, untold: [...untold, ...before, status === 'queued' ? 'job.retrying' : `job.${status}`] };
}

export function toldJob({ untold: _untold, ...job }: JobRecord): JobRecord {
  return job;
}

export function hasJobEnded({ status }: Pick<JobRecord, 'status'>): boolean {
  return status === 'completed' || status === 'failed' || status === 'cancelled';
}

/**
 * Its next attempt is to be started, as this turn. On record before the turn is: a turn that no job knows of would
 * be nobody's to end. null when it does not wait for one.
 */
export function begunJob(job: JobRecord, turnId: TurnId, nowMs: number): JobRecord | null {
  if (job.status !== 'queued') return null;
  const attempt = { turnId, sessionId: null, startedAt: nowMs, endedAt: null, status: null, error: null };
  return {
    ...job,
    status: 'running',
    dueAt: null,
    attempts: [...job.attempts, attempt].slice(-keptAttempts),
    attemptCount: job.attemptCount + 1,
  };
}

/** A worker has the turn of its attempt. null when that is known, or it is another's turn. */
export function startedJob(job: JobRecord, turn: Pick<TurnRecord, 'id' | 'sessionId'>): JobRecord | null {
  const last = unstartedAttempt(job);
  return last?.turnId === turn.id ? { ...job, attempts: withLast(job, { ...last, sessionId: turn.sessionId }) } : null;
}

/** The attempt that was begun, where nobody knows whether its turn was started. */
export function unstartedAttempt(job: JobRecord): JobAttempt | null {
  const last = job.status === 'running' ? job.attempts.at(-1) : undefined;
  return last === undefined || last.sessionId !== null ? null : last;
}

/**
 * The turn of its attempt has ended: so has the job, or it waits for its next attempt. null when it does not run
 * that turn. `earlier`: those that it goes on with, the first of them the attempt's own. That it is being cancelled
 * keeps it from another attempt, and does not make another end of the one it had. A turn for which the fleet had no
 * room uses no attempt up.
 */
export function settledJob(
  job: JobRecord,
  turn: TurnRecord,
  nowMs: number,
  earlier: readonly TurnRecord[] = [],
): JobRecord | null {
  const last = job.attempts.at(-1);
  const isIts = last?.turnId === (earlier[0] ?? turn).id;
  if (job.status !== 'running' || last === undefined || !isIts || turn.endedAt === null) return null;
  const status = turn.status as TerminalStatus;
  const { endedAt, error, finalMessage, sessionId } = turn;
  const settled: JobRecord = {
    ...job,
    attempts: withLast(job, { ...last, sessionId, endedAt, status, error }),
    finalMessage,
    error,
    usage: [...earlier, turn].reduce((sum, { usage }) => addUsage(sum, usage), job.usage),
  };
  if (status === 'completed') return { ...settled, status: 'completed', isCancelling: false, endedAt: nowMs };
  if (status === 'cancelled') return { ...settled, ...cancelled(nowMs) };
  const next = [...earlier, turn].every(hadNoRoom) ? waitsForRoom(settled, nowMs) : triedAgain(settled, nowMs);
  if (next === null) return { ...settled, ...failed(nowMs) };
  return job.isCancelling ? { ...settled, ...cancelled(nowMs) } : next;
}

/**
 * Its attempt was begun, and nothing could be started. Due again at that time, and not counted as an attempt; or
 * failed where `again` is null: trying again would not help. null when its turn may run.
 */
export function refusedJob(job: JobRecord, error: TurnError, nowMs: number, again: number | null): JobRecord | null {
  const last = unstartedAttempt(job);
  if (last === null) return null;
  if (again === null) return { ...job, ...failedAttempt(job, last, error, nowMs) };
  const withdrawn = { ...job, attempts: job.attempts.slice(0, -1), attemptCount: job.attemptCount - 1, error };
  return job.isCancelling ? { ...withdrawn, ...cancelled(nowMs) } : { ...withdrawn, status: 'queued', dueAt: again };
}

/** The turn of its attempt was started and is gone: nobody will ever know how it ended. null when it runs none. */
export function lostJob(job: JobRecord, error: TurnError, nowMs: number): JobRecord | null {
  const last = job.attempts.at(-1);
  if (job.status !== 'running' || last === undefined) return null;
  return { ...job, ...failedAttempt(job, last, error, nowMs) };
}

/** null when it has ended, or was asked to already. `isCancelling` where its turn is still to be ended. */
export function cancelledJob(job: JobRecord, nowMs: number): JobRecord | null {
  if (hasJobEnded(job) || job.isCancelling) return null;
  return job.status === 'running' ? { ...job, isCancelling: true } : untoldJob({ ...job, ...cancelled(nowMs) });
}

/** Once more from the beginning, as a client wants it. null unless it failed or was cancelled. */
export function retriedJob(job: JobRecord, nowMs: number): JobRecord | null {
  if ((job.status !== 'failed' && job.status !== 'cancelled') || job.erasing === true) return null;
  return { ...job, status: 'queued', dueAt: nowMs, countedFrom: job.attemptCount, error: null, endedAt: null };
}

/** On record before anything of it goes. null when that was asked for already, or it has not ended. */
export function erasingJob(job: JobRecord): JobRecord | null {
  return job.erasing === true || !hasJobEnded(job) ? null : { ...toldJob(job), erasing: true };
}

/** How long after its nth failure in a row the next attempt is due. */
export function retryDelayMs({ firstDelayMs, longestDelayMs }: JobRetry, failures: number): number {
  return Math.min(longestDelayMs, firstDelayMs * 2 ** Math.min(30, failures - 1));
}

function triedAgain(job: JobRecord, nowMs: number): JobRecord | null {
  const { retry } = job.spec;
  const failures = job.attemptCount - job.countedFrom;
  if (failures >= retry.maxAttempts) return null;
  return { ...job, status: 'queued', dueAt: nowMs + retryDelayMs(retry, failures) };
}

/** A slot, a worker, a store or the model was not to be had, so it never ran: that passes, and is not the job's doing. */
function hadNoRoom({ error, startedAt }: TurnRecord): boolean {
  return startedAt === null && error !== null && isOfTheFleet(error.code);
}

function isOfTheFleet(code: string): boolean {
  if (code === 'worker_lost') return true;
  const entry = (errorRegister as Readonly<Record<string, ErrorEntry | undefined>>)[code];
  // The others it would meet again, whatever the fleet is like.
  return entry?.retry === 'after' || entry?.retry === 'same' || entry?.retry === 'elsewhere';
}

/** Not counted. The ended attempt keeps its number all the same: its turn has the id that follows from that. */
function waitsForRoom(job: JobRecord, nowMs: number): JobRecord {
  const ran = job.attempts.findLastIndex(({ error }) => error === null || !isOfTheFleet(error.code));
  const inRow = job.attempts.length - 1 - ran;
  const delayMs = Math.min(longestRoomDelayMs, firstRoomDelayMs * 2 ** (inRow - 1));
  return { ...job, status: 'queued', dueAt: nowMs + delayMs, countedFrom: job.countedFrom + 1 };
}

function failedAttempt(
  job: JobRecord,
  attempt: JobAttempt,
  error: TurnError,
  nowMs: number,
): Ended & Pick<JobRecord, 'attempts' | 'error'> {
  const ended: JobAttempt = { ...attempt, endedAt: nowMs, status: 'failed', error };
  return { attempts: withLast(job, ended), error, ...failed(nowMs) };
}

function withLast(job: JobRecord, attempt: JobAttempt): readonly JobAttempt[] {
  return [...job.attempts.slice(0, -1), attempt];
}

type Ended = Pick<JobRecord, 'status' | 'dueAt' | 'isCancelling' | 'endedAt'>;

function cancelled(nowMs: number): Ended {
  return { status: 'cancelled', dueAt: null, isCancelling: false, endedAt: nowMs };
}

function failed(nowMs: number): Ended {
  return { status: 'failed', dueAt: null, isCancelling: false, endedAt: nowMs };
}
