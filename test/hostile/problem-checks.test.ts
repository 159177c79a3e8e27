import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertProblem, type AnyAnswer } from './problem-checks.ts';

const facts = {
  status: 503,
  code: 'queue_full',
  retry: 'after',
  request_id: 'r',
  detail: 'x',
};
const headers: Readonly<Record<string, string>> = {
  'content-type': 'application/problem+json',
  'x-request-id': 'r',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'content-security-policy': "default-src 'none'",
  'cache-control': 'no-store',
  'retry-after': '2',
};

function answer(
  change: Partial<typeof facts> = {},
  headerChange: Record<string, string> = {},
  status = 503,
): AnyAnswer {
  return {
    status,
    headers: new Headers({ ...headers, ...headerChange }),
    body: JSON.stringify({ ...facts, ...change }),
  };
}

test('a refusal that is as it should be passes the check, and each flaw is found', () => {
  assert.equal(assertProblem(answer()).code, 'queue_full');
  const flawed: readonly AnyAnswer[] = [
    answer({}, { 'content-type': 'text/html' }),
    answer({}, { 'retry-after': '' }),
    answer({}, { 'x-content-type-options': '' }),
    answer({}, { 'x-request-id': 'another' }),
    answer({ code: 'made_up' }),
    answer({ detail: '' }),
    answer({ detail: 'x'.repeat(10_000) }),
    answer({ status: 500 }),
    answer({ retry: 'never' }),
    answer({}, {}, 500),
  ];
  for (const [index, one] of flawed.entries()) assert.throws(() => assertProblem(one), `flaw ${index} is not found`);
});
