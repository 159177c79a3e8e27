// Named hours against a model that knows nothing of zones but what their clocks show, minute by minute.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextRun } from './cron.ts';

const minuteMs = 60_000;
const zones = ['America/New_York', 'Europe/Lisbon', 'Australia/Lord_Howe', 'Asia/Kathmandu', 'America/St_Johns', 'UTC'];
/** Days of minutes and hours, as numbers; every day. */
const patterns: readonly (readonly [string, readonly number[], readonly number[]])[] = [
  ['30 2 * * *', [30], [2]],
  ['30 2,14 * * *', [30], [2, 14]],
  ['0,30 1 * * *', [0, 30], [1]],
  ['15,45 2 * * *', [15, 45], [2]],
  ['30 1-3 * * *', [30], [1, 2, 3]],
  ['0 0 * * *', [0], [0]],
];

/** Where the clocks there are changed in 2026, and a day without a change. */
const days = ['2026-03-08', '2026-03-29', '2026-04-05', '2026-10-04', '2026-10-25', '2026-11-01', '2026-07-01'];

function clock(zone: string): (atMs: number) => string {
  const format = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short', timeStyle: 'short' });
  return (atMs) => format.format(atMs);
}

/** The first minute at which the clock shows each wanted time, or the first one behind it where it is never shown. */
function expected(
  zone: string,
  fromMs: number,
  toMs: number,
  minutes: readonly number[],
  hours: readonly number[],
): number[] {
  const show = clock(zone);
  const found = new Set<number>();
  const wanted = new Set<string>();
  for (let day = fromMs - 86_400_000; day <= toMs + 86_400_000; day += 86_400_000) {
    const date = new Date(day).toISOString().slice(0, 10);
    for (const hour of hours)
      for (const minute of minutes)
        wanted.add(`${date} ${String(hour).padStart(2, '0')}:${String(minute).padStart(2, '0')}`);
  }
  let last = show(fromMs - 86_400_000);
  for (let at = fromMs - 86_400_000 + minuteMs; at <= toMs; at += minuteMs) {
    const shown = show(at);
    // Times as texts of one form are in the order of time; what was passed over has not been shown and is behind.
    for (const time of wanted) {
      if (time === shown || (time > last && time < shown)) {
        wanted.delete(time);
        if (at > fromMs) found.add(at);
      }
    }
    if (shown > last) last = shown;
  }
  return [...found].sort((a, b) => a - b);
}

for (const zone of zones) {
  test(`named hours in ${zone}: one that is jumped over comes right after, one that comes twice is met once`, () => {
    for (const day of days) {
      const fromMs = Date.parse(`${day}T00:00:00Z`) - 14 * 3_600_000;
      const toMs = fromMs + 50 * 3_600_000;
      for (const [cron, minutes, hours] of patterns) {
        const got: number[] = [];
        for (let at = nextRun(cron, zone, fromMs); at !== null && at <= toMs; at = nextRun(cron, zone, at))
          got.push(at);
        const shown = (times: readonly number[]): string[] => times.map((at) => new Date(at).toISOString());
        assert.deepEqual(shown(got), shown(expected(zone, fromMs, toMs, minutes, hours)), `${cron} ${day}`);
      }
    }
  });
}

test('each hour that there is, where the hour is not named', () => {
  const fromMs = Date.parse('2026-11-01T04:00:00Z');
  const got: number[] = [];
  for (let at = nextRun('30 * * * *', 'America/New_York', fromMs); got.length < 5 && at !== null; ) {
    got.push(at);
    at = nextRun('30 * * * *', 'America/New_York', at);
  }
  assert.deepEqual(
    got.map((at) => (at - fromMs) / 3_600_000),
    [0.5, 1.5, 2.5, 3.5, 4.5],
  );
});
