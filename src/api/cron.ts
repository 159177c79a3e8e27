// What a cron expression means: whether it is one, and when its next time is. Five fields, from minutes to days
// of the week, in a time zone of the IANA's; knows nothing of schedules and their jobs.

import { Cron } from 'croner';
import { type FieldProblem, invalidRequest } from './validation.ts';

const maxCronCharacters = 256;
const maxZoneCharacters = 64;

/**
 * The first time after that moment, in milliseconds since the epoch; null when none is left. Both must have passed
 * `assertCron`. Hours that are named are those of the clock on the wall: one that the clocks jump over is made up
 * for right after the jump, one that they pass twice is met the first time. `*` is each hour that there is.
 */
export function nextRun(cron: string, timeZone: string, afterMs: number): number | null {
  if (cron.trim().split(/\s+/)[1]?.includes('*') === true) return nextOf(cron, timeZone, afterMs);
  const isNearChange = offsetMs(timeZone, afterMs - nearMs) !== offsetMs(timeZone, afterMs + nearMs);
  let wallMs: number | null = wallOf(timeZone, afterMs) - (isNearChange ? nearMs : 0);
  // croner knows such changes only for one single time a day: it is asked about a clock that has none.
  while ((wallMs = nextOf(cron, 'UTC', wallMs)) !== null) {
    const atMs = instantOf(timeZone, wallMs);
    if (atMs > afterMs) return atMs;
  }
  return null;
}

/** Longer than any clock has been put forward or back in one step. */
const nearMs = 3 * 3_600_000;
const dayMs = 24 * 3_600_000;

function nextOf(cron: string, timeZone: string, afterMs: number): number | null {
  const next = new Cron(cron, { mode: '5-part', timezone: timeZone, paused: true }).nextRun(new Date(afterMs));
  return next === null ? null : next.getTime();
}

/** The moment at which clocks there first show that time; where they never do, the one at which they jump over it. */
function instantOf(timeZone: string, wallMs: number): number {
  const before = offsetMs(timeZone, wallMs - dayMs);
  const after = offsetMs(timeZone, wallMs + dayMs);
  const shown = [wallMs - before, wallMs - after].filter((atMs) => wallOf(timeZone, atMs) === wallMs);
  if (shown.length > 0) return Math.min(...shown);
  let early = wallMs - dayMs;
  let late = wallMs + dayMs;
  while (late - early > 1) {
    const middle = Math.floor((early + late) / 2);
    if (offsetMs(timeZone, middle) === before) early = middle;
    else late = middle;
  }
  return late;
}

/** What the clocks there show, as if it were UTC. */
function wallOf(timeZone: string, atMs: number): number {
  return atMs + offsetMs(timeZone, atMs);
}

const formats = new Map<string, Intl.DateTimeFormat>();
const mostFormats = 100;

function offsetMs(timeZone: string, atMs: number): number {
  const seconds = Math.floor(atMs / 1_000) * 1_000;
  const part = Object.fromEntries(
    formatOf(timeZone)
      .formatToParts(seconds)
      .map(({ type, value }) => [type, value]),
  );
  const { day, hour, minute, month, second, year } = part;
  return Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second)) - seconds;
}

function formatOf(timeZone: string): Intl.DateTimeFormat {
  const known = formats.get(timeZone);
  if (known !== undefined) return known;
  const two = '2-digit';
  const made = new Intl.DateTimeFormat('en-US', {
    ...{ timeZone, hourCycle: 'h23', year: 'numeric', month: two, day: two, hour: two, minute: two, second: two },
  });
  if (formats.size >= mostFormats) formats.clear();
  formats.set(timeZone, made);
  return made;
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
