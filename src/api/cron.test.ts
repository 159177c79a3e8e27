import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isServiceError } from '../core/errors.ts';
import { assertCron, nextRun } from './cron.ts';

const runsAfter = (cron: string, zone: string, from: string, count: number): string[] => {
  const runs: string[] = [];
  for (let after = Date.parse(from); runs.length < count; ) {
    const next = nextRun(cron, zone, after);
    if (next === null) break;
    after = next;
    runs.push(new Date(next).toISOString().slice(0, 16));
  }
  return runs;
};

test('the next time is after the moment, never at it, whole minutes in the zone that is named', () => {
  assert.deepEqual(runsAfter('*/20 * * * *', 'UTC', '2026-01-01T00:00:00Z', 3), [
    '2026-01-01T00:20',
    '2026-01-01T00:40',
    '2026-01-01T01:00',
  ]);
  assert.deepEqual(runsAfter('0 9 * * MON-FRI', 'America/New_York', '2026-01-02T15:00:00Z', 2), [
    '2026-01-05T14:00',
    '2026-01-06T14:00',
  ]);
});

test('a time that the clocks jump over is made up for, and one that they pass twice is met once', () => {
  assert.deepEqual(runsAfter('30 2 * * *', 'Europe/Berlin', '2026-03-28T00:00:00Z', 3), [
    '2026-03-28T01:30',
    '2026-03-29T01:00',
    '2026-03-30T00:30',
  ]);
  assert.deepEqual(runsAfter('30 2 * * *', 'Europe/Berlin', '2026-10-24T00:00:00Z', 3), [
    '2026-10-24T00:30',
    '2026-10-25T00:30',
    '2026-10-26T01:30',
  ]);
});

test('a day that no month has never comes', () => {
  assert.equal(nextRun('0 0 30 2 *', 'UTC', 0), null);
  assert.deepEqual(runsAfter('0 0 29 2 *', 'UTC', '2026-01-01T00:00:00Z', 1), ['2028-02-29T00:00']);
});

test('what is no cron expression, or no zone, is refused by its field', () => {
  assertCron('0 3 * * *', 'Europe/Berlin');
  assertCron(' 0  3\t* * MON#1 ', 'UTC');
  for (const cron of [
    '',
    '*',
    '* * * * * *',
    '@daily',
    '60 * * * *',
    '* * 0 * *',
    '* * * * 8',
    '5/15 * * * *',
    '\u0663 * * * *',
    '1e0 * * * *',
  ])
    assert.throws(() => assertCron(cron, 'UTC'), problemOf('cron'), cron);
  for (const zone of ['', '+02:00', '../etc/passwd', 'Europe/Atlantis', 'x'.repeat(100)])
    assert.throws(() => assertCron('* * * * *', zone), problemOf('time_zone'), zone);
});

const problemOf =
  (field: string) =>
  (error: unknown): boolean =>
    isServiceError(error, 'invalid_request') && (error.details['errors'] as { field: string }[])[0]?.field === field;
