// What must be true of every refusal, wherever it was written. Fails on doctored answers
// (problem-checks.test.ts), so that its silence means something.

import assert from 'node:assert/strict';
import type { Problem } from '../../src/api/problem.ts';
import { errorRegister, type ErrorCode } from '../../src/core/errors.ts';

export type AnyAnswer = {
  readonly status: number;
  readonly headers: { get(name: string): string | null | undefined };
  readonly body: string;
};

const longestProblem = 8_192;

/** A typed refusal that a program can act on and a browser cannot misread. */
export function assertProblem({ status, headers, body }: AnyAnswer): Problem {
  assert.equal(headers.get('content-type'), 'application/problem+json', body.slice(0, 200));
  for (const name of ['x-request-id', 'x-content-type-options', 'x-frame-options', 'content-security-policy']) {
    assert.ok(headers.get(name), `${name} of a ${status}`);
  }
  assert.equal(headers.get('cache-control'), 'no-store');
  assert.ok(body.length <= longestProblem, `it repeats what was sent: ${body.length} characters`);
  const problem = JSON.parse(body) as Problem;
  assert.ok(Object.hasOwn(errorRegister, problem.code), `${problem.code} is registered`);
  const entry = errorRegister[problem.code];
  assert.deepEqual(
    { status: problem.status, httpStatus: status, retry: problem.retry, requestId: problem.request_id },
    { status: entry.status, httpStatus: entry.status, retry: entry.retry, requestId: headers.get('x-request-id') },
  );
  assert.ok(problem.detail.length > 0);
  if (entry.retry === 'after') assert.match(headers.get('retry-after') ?? '', /^[1-9]\d*$/);
  if (status === 401) assert.match(headers.get('www-authenticate') ?? '', /^Bearer/);
  if (status === 405) assert.match(headers.get('allow') ?? '', /^[A-Z]+(, [A-Z]+)*$/);
  return problem;
}

export function assertRefusal(answer: AnyAnswer, code: ErrorCode): Problem {
  const problem = assertProblem(answer);
  assert.equal(problem.code, code, answer.body);
  return problem;
}
