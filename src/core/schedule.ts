// A job that is made again and again, by a cron expression. When it is next due is computed elsewhere: calendars
// and time zones are a library's business.

import type { TenantId } from './ids.ts';
import type { JobSpec } from './job.ts';

/** What is done when the job before has not ended: leave this one out, or make it all the same. */
export const overlapChoices = ['skip', 'allow'] as const;
export type OverlapChoice = (typeof overlapChoices)[number];

/** What is done about times that passed while nobody could act: make up for all of them with one job, or leave them out. */
export const missedChoices = ['run_once', 'skip'] as const;
export type MissedChoice = (typeof missedChoices)[number];

export type ScheduleRecord = {
  readonly tenant: TenantId;
  readonly id: string;
  readonly revision: number;
  readonly title: string | null;
  readonly cron: string;
  /** As the IANA names it. */
  readonly timeZone: string;
  readonly spec: JobSpec;
  readonly overlap: OverlapChoice;
  readonly missed: MissedChoice;
  readonly isPaused: boolean;
  /** When its next job is due; null while it is paused, and when no time is left that its cron expression names. */
  readonly dueAt: number | null;
  readonly lastRunAt: number | null;
  readonly lastJobId: string | null;
  readonly createdBy: string;
  readonly createdAt: number;
};
