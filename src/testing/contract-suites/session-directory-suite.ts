// What every session directory must do (contracts/session-directory.ts), tried.

import assert from 'node:assert/strict';
import type { Lease, SessionDirectory } from '../../contracts/session-directory.ts';
import { type ContractCheck, describeContract, type Subject } from './contract-suite.ts';

export type TimedDirectory = {
  readonly directory: SessionDirectory;
  /** Lets time pass for the leases: a fake clock moves, a real server is waited for. */
  passTime(ms: number): Promise<void>;
};

const sessionId = '019f0000-0000-7000-8000-000000000001';
const first: Lease = { tenant: 'acme', sessionId, worker: 'worker-1', epoch: 1 };
const second: Lease = { tenant: 'acme', sessionId, worker: 'worker-2', epoch: 2 };
const ttlMs = 1_000;

export const sessionDirectoryChecks: readonly ContractCheck<TimedDirectory>[] = [
  {
    title: 'a session that nobody holds is found nowhere',
    async run({ directory }) {
      assert.equal(await directory.lookup('acme', sessionId), null);
      assert.equal(await directory.renew(first, ttlMs), false);
      await directory.release(first);
    },
  },
  {
    title: 'a claim succeeds once, and the second claimer is told who holds it',
    async run({ directory }) {
      assert.equal(await directory.claim(first, ttlMs), null);
      assert.deepEqual(await directory.claim(second, ttlMs), first);
      assert.deepEqual(await directory.lookup('acme', sessionId), first);
    },
  },
  {
    title: 'of many claimers at once exactly one succeeds',
    async run({ directory }) {
      const leases = Array.from({ length: 10 }, (_, index) => ({ ...first, worker: `worker-${index}` }));
      const answers = await Promise.all(leases.map((lease) => directory.claim(lease, ttlMs)));
      const winner = leases[answers.indexOf(null)];
      assert.deepEqual(
        answers.filter((answer) => answer !== null),
        Array(9).fill(winner),
      );
      assert.deepEqual(await directory.lookup('acme', sessionId), winner);
    },
  },
  {
    title: 'the holder may claim again, with a later epoch too, but not with an earlier one',
    async run({ directory }) {
      const later = { ...first, epoch: 2 };
      await directory.claim(first, ttlMs);
      assert.equal(await directory.claim(first, ttlMs), null);
      assert.equal(await directory.claim(later, ttlMs), null);
      assert.deepEqual(await directory.lookup('acme', sessionId), later);
      assert.equal(await directory.renew(first, ttlMs), false);
      assert.deepEqual(await directory.claim(first, ttlMs), later);
    },
  },
  {
    title: 'a lease that is not renewed ends, and is then free to claim',
    async run({ directory, passTime }) {
      await directory.claim(first, ttlMs);
      await passTime(ttlMs / 2);
      assert.deepEqual(await directory.claim(second, ttlMs), first);
      await passTime(ttlMs / 2);
      assert.equal(await directory.lookup('acme', sessionId), null);
      assert.equal(await directory.claim(second, ttlMs), null);
      assert.deepEqual(await directory.lookup('acme', sessionId), second);
    },
  },
  {
    title: 'a renewed lease outlives its first term',
    async run({ directory, passTime }) {
      await directory.claim(first, ttlMs);
      for (let round = 0; round < 3; round += 1) {
        await passTime(ttlMs * 0.6);
        assert.equal(await directory.renew(first, ttlMs), true);
      }
      assert.deepEqual(await directory.lookup('acme', sessionId), first);
    },
  },
  {
    title: 'a holder that paused past its term cannot renew, taken over or not',
    async run({ directory, passTime }) {
      await directory.claim(first, ttlMs);
      await passTime(ttlMs * 1.1);
      assert.equal(await directory.renew(first, ttlMs), false);
      await directory.claim(second, ttlMs);
      assert.equal(await directory.renew(first, ttlMs), false);
      assert.deepEqual(await directory.lookup('acme', sessionId), second);
    },
  },
  {
    title: 'release frees the session, yet only for its holder',
    async run({ directory }) {
      await directory.claim(first, ttlMs);
      await directory.release(second);
      await directory.release({ ...first, epoch: 9 });
      assert.deepEqual(await directory.lookup('acme', sessionId), first);
      await directory.release(first);
      await directory.release(first);
      assert.equal(await directory.lookup('acme', sessionId), null);
      assert.equal(await directory.claim(second, ttlMs), null);
    },
  },
  {
    title: "two tenants' sessions of the same id never meet",
    async run({ directory }) {
      const other = { ...second, tenant: 'other' };
      await directory.claim(first, ttlMs);
      assert.equal(await directory.claim(other, ttlMs), null);
      await directory.release({ ...first, tenant: 'other' });
      assert.deepEqual(await directory.lookup('acme', sessionId), first);
      assert.deepEqual(await directory.lookup('other', sessionId), other);
    },
  },
  {
    title: 'what it says of how long it knows grows with time, and not by what it is told',
    async run({ directory, passTime }) {
      const firstMs = await directory.knownForMs();
      await passTime(ttlMs / 4);
      await directory.claim(first, ttlMs);
      await directory.release(first);
      const secondMs = await directory.knownForMs();
      assert.ok(firstMs >= 0 && secondMs >= firstMs + ttlMs / 4, `${firstMs} ms, then ${secondMs} ms`);
    },
  },
];

export function sessionDirectorySuite(adapterName: string, open: () => Promise<Subject<TimedDirectory>>): void {
  describeContract(`${adapterName} keeps the promises of a session directory`, sessionDirectoryChecks, open);
}
