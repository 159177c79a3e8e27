// What a cron expression means: whether it is one, and when its next time is. Five fields, from minutes to days
// of the week, in a time zone of the IANA's; knows nothing of schedules and their jobs.

import { Cron } from 'croner';
import { type FieldProblem, invalidRequest } from './validation.ts';

const maxCronCharacters = 256;
const maxZoneCharacters = 64;

/** The first time after that moment, in milliseconds since the epoch; null when none is left. Both must have passed `assertCron`. */
export function nextRun(cron: string, timeZone: string, afterMs: number): number | null {
  const next = new Cron(cron, { mode: '5-part', timezone: timeZone, paused: true }).nextRun(new Date(afterMs));
  return next === null ? null : next.getTime();
}

/** Throws `invalid_request`, with each problem by the name of its field on the wire. */
export function assertCron(cron: string, timeZone: string): void {
  const problems: FieldProblem[] = [];
  const inZone = isTimeZone(timeZone);
  if (!inZone) problems.push({ field: 'time_zone', message: 'must be the name of a time zone, such as Europe/Berlin' });
  const problem = cronProblem(cron);
  if (problem !== null) problems.push({ field: 'cron', message: problem });
  if (problems.length > 0) throw invalidRequest(problems, 'body');
}

function cronProblem(cron: string): string | null {
  const wanted = 'must be five fields: minute, hour, day of the month, month, day of the week';
  if (cron.length > maxCronCharacters) return `must have at most ${maxCronCharacters} characters`;
  if (cron.trim().split(/\s+/).length !== 5) return wanted;
  try {
    void new Cron(cron, { mode: '5-part', paused: true });
    return null;
  } catch (error) {
    // Its words name the field and what is wrong with it; they quote no more than what was given.
    const reason = error instanceof Error ? error.message.replace(/^CronPattern: /, '') : '';
    return `is no cron expression: ${reason.toWellFormed()}`;
  }
}

function isTimeZone(timeZone: string): boolean {
  // An offset passes for a zone elsewhere, and knows no summer time.
  if (timeZone.length > maxZoneCharacters || !/^[A-Za-z]/.test(timeZone)) return false;
  try {
    void new Intl.DateTimeFormat('en', { timeZone });
    return true;
  } catch {
    return false;
  }
}
