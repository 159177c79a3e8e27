import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../testing/fake-clock.ts';
import { askedDelayMs, defaultRetryLimits, RetryBudget } from './retry.ts';
import { UpstreamUnreachable } from './upstream.ts';

const failure = (
  status: number,
  headers = {},
  code: string | null = null,
): { status: number; headers: Record<string, string>; code: string | null } => ({
  status,
  headers,
  code,
});

test('only what may pass is repeated, and only so often', () => {
  const budget = new RetryBudget(defaultRetryLimits, new FakeClock());
  for (const status of [429, 500, 502, 503]) assert.notEqual(budget.delayBeforeRetry(1, failure(status)), null);
  for (const status of [400, 401, 403, 404, 504]) assert.equal(budget.delayBeforeRetry(1, failure(status)), null);
  assert.equal(budget.delayBeforeRetry(1, failure(429, {}, 'insufficient_quota')), null);
  assert.notEqual(budget.delayBeforeRetry(2, new UpstreamUnreachable('ECONNREFUSED')), null);
  assert.equal(budget.delayBeforeRetry(3, new UpstreamUnreachable('ECONNREFUSED')), null);
});

test('the provider says how long to wait, unless that is too long', () => {
  const budget = new RetryBudget(defaultRetryLimits, new FakeClock());
  const delayMs = budget.delayBeforeRetry(1, failure(429, { 'retry-after': '2' }));
  assert.ok(delayMs !== null && delayMs >= 2000 && delayMs <= 2000 + defaultRetryLimits.baseDelayMs);
  assert.equal(budget.delayBeforeRetry(1, failure(429, { 'retry-after': '60' })), null);
});

test('a provider that is down gets no more repetitions than the budget of the process', () => {
  const clock = new FakeClock();
  const budget = new RetryBudget({ ...defaultRetryLimits, budgetCapacity: 3, budgetPerSecond: 1 }, clock);
  const granted = (): number => [1, 2, 3, 4, 5].filter(() => budget.delayBeforeRetry(1, failure(503)) !== null).length;
  assert.equal(granted(), 3);
  clock.advance(2000);
  assert.equal(granted(), 2);
});

test('the wait is read in every form', () => {
  const nowMs = Date.UTC(2026, 0, 1);
  const forms: readonly [Record<string, string>, number | null][] = [
    [{}, null],
    [{ 'retry-after': '' }, null],
    [{ 'retry-after': '1.5' }, 1500],
    [{ 'retry-after': '-1' }, 0],
    [{ 'retry-after': 'soon' }, null],
    [{ 'retry-after': 'Thu, 01 Jan 2026 00:00:03 GMT' }, 3000],
    [{ 'retry-after-ms': '20', 'retry-after': '1' }, 20],
  ];
  for (const [headers, expected] of forms) assert.equal(askedDelayMs(headers, nowMs), expected);
});
