// What every rate limiter must do (contracts/rate-limiter.ts), tried.

import assert from 'node:assert/strict';
import type { RateAnswer, RateLimiter } from '../../contracts/rate-limiter.ts';
import { type ContractCheck, describeContract, type Subject } from './contract-suite.ts';

export type TimedLimiter = {
  readonly limiter: RateLimiter;
  passTime(ms: number): Promise<void>;
};

/** One comes back every four seconds: on the slowest machine none does within a check that does not wait. */
const perMinute = 15;
const everyMs = 60_000 / perMinute;

function takeMany(limiter: RateLimiter, times: number, limit = perMinute): Promise<RateAnswer[]> {
  return Promise.all(Array.from({ length: times }, () => limiter.take('acme', 'turns', limit)));
}

function countAllowed(answers: readonly RateAnswer[]): number {
  return answers.filter(({ allowed }) => allowed).length;
}

export const rateLimiterChecks: readonly ContractCheck<TimedLimiter>[] = [
  {
    title: 'the first may be taken at once up to the limit, and each answer says how many are left',
    async run({ limiter }) {
      for (let taken = 1; taken <= perMinute; taken += 1) {
        const answer = await limiter.take('acme', 'turns', perMinute);
        const expected = { allowed: true, retryAfterMs: 0, limit: perMinute, remaining: perMinute - taken };
        assert.deepEqual(answer, expected);
      }
    },
  },
  {
    title: 'of many at once exactly as many are allowed, and the others are told how long to wait',
    async run({ limiter }) {
      const answers = await takeMany(limiter, perMinute * 3);
      assert.equal(countAllowed(answers), perMinute);
      for (const { allowed, limit, remaining, retryAfterMs } of answers.filter((answer) => !answer.allowed)) {
        assert.deepEqual([allowed, limit, remaining], [false, perMinute, 0]);
        assert.ok(retryAfterMs > everyMs / 2 && retryAfterMs <= everyMs, `in ${retryAfterMs} ms`);
      }
    },
  },
  {
    title: 'after the time that was named there is one more, and refusals in between cost nothing',
    async run({ limiter, passTime }) {
      await takeMany(limiter, perMinute * 2);
      const refused = await limiter.take('acme', 'turns', perMinute);
      await passTime(refused.retryAfterMs);
      assert.equal(countAllowed(await takeMany(limiter, 5)), 1);
    },
  },
  {
    title: 'tenants do not count against one another',
    async run({ limiter }) {
      await takeMany(limiter, perMinute * 2);
      assert.equal((await limiter.take('other', 'turns', perMinute)).remaining, perMinute - 1);
    },
  },
  {
    title: 'a limit of any size lets through just so many',
    async run({ limiter }) {
      for (const limit of [1, 7, 11]) {
        const answers = await Promise.all(
          Array.from({ length: limit + 3 }, () => limiter.take(`tenant-${limit}`, 'turns', limit)),
        );
        assert.equal(countAllowed(answers), limit, `with ${limit} in a minute`);
      }
    },
  },
  {
    title: 'another limit counts from then on',
    async run({ limiter }) {
      await takeMany(limiter, 60, 60);
      const lowered = await limiter.take('acme', 'turns', 1);
      assert.equal(lowered.allowed, false);
      assert.ok(lowered.retryAfterMs <= 60_000, `in ${lowered.retryAfterMs} ms`);
    },
  },
];

export function rateLimiterSuite(adapterName: string, open: () => Promise<Subject<TimedLimiter>>): void {
  describeContract(`${adapterName} keeps the promises of a rate limiter`, rateLimiterChecks, open);
}
