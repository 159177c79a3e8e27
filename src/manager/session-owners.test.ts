import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryRecords } from '../adapters/memory/memory-records.ts';
import { MemorySessionDirectory } from '../adapters/memory/memory-session-directory.ts';
import type { Lease } from '../contracts/session-directory.ts';
import type { SessionRecord } from '../core/session.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { sessionRecord } from '../testing/stored-records.ts';
import { SessionOwners } from './session-owners.ts';
import type { OwnerVerdict } from './worker-watch.ts';

const leaseMs = 10_000;
const key = { tenant: 'acme', sessionId: sessionRecord().id };
const held = { worker: 'worker-1', boot: 'a', epoch: 3 } as const;

type Facts = {
  readonly session: Partial<SessionRecord>;
  readonly lease: Pick<Lease, 'worker' | 'epoch'> | null;
  readonly verdict: OwnerVerdict;
  /** For how long both the registry and the directory have known what they know. */
  readonly trustedForMs?: number;
};

async function stage({ lease, session, trustedForMs = Infinity, verdict }: Facts) {
  const records = new MemoryRecords();
  const directory = new MemorySessionDirectory(new FakeClock());
  const record = sessionRecord(session);
  await records.sessions.create(record);
  if (lease !== null) await directory.claim({ ...key, ...lease }, leaseMs);
  const owners = new SessionOwners({
    directory,
    records,
    watch: { trustedForMs, verdict: () => verdict },
    leaseMs,
  });
  const ownership = await owners.ownershipOf(record);
  const leaseAfter = await directory.lookup(key.tenant, key.sessionId);
  return { ownership, keptLease: leaseAfter !== null, isOrphaned: await owners.isOrphaned(key) };
}

test('the table of ownership: whose session may be taken, and whose lease is ended before its time', async () => {
  const own = { worker: 'worker-1', epoch: 3 };
  for (const [what, facts, expected] of [
    ['a live owner', { session: held, lease: own, verdict: 'live' }, ['owned', true, false]],
    ['a proven loss', { session: held, lease: own, verdict: 'proven' }, ['orphaned', false, true]],
    ['a proven loss, after its lease', { session: held, lease: null, verdict: 'proven' }, ['orphaned', false, true]],
    ['silence, within its lease', { session: held, lease: own, verdict: 'silent' }, ['waiting', true, false]],
    ['silence, after its lease', { session: held, lease: null, verdict: 'silent' }, ['orphaned', false, true]],
    ['an unknown owner, within its lease', { session: held, lease: own, verdict: 'unknown' }, ['waiting', true, false]],
    [
      'silence, after a flush',
      { session: held, lease: null, verdict: 'silent', trustedForMs: leaseMs - 1 },
      ['waiting', false, false],
    ],
    [
      'a proven loss, after a flush',
      { session: held, lease: null, verdict: 'proven', trustedForMs: 0 },
      ['orphaned', false, true],
    ],
    [
      'a loss that another worker was faster to see',
      { session: held, lease: { worker: 'worker-2', epoch: 4 }, verdict: 'proven' },
      ['owned', true, false],
    ],
    [
      'a loss that the next boot of the same worker was faster to see',
      { session: held, lease: { worker: 'worker-1', epoch: 4 }, verdict: 'proven' },
      ['owned', true, false],
    ],
    ['a live owner that let its lease go', { session: held, lease: null, verdict: 'live' }, ['owned', false, true]],
    ['nobody', { session: {}, lease: null, verdict: 'unknown' }, ['owned', false, true]],
    [
      'nobody, after a flush',
      { session: {}, lease: null, verdict: 'unknown', trustedForMs: 0 },
      ['owned', false, true],
    ],
    ['one who is about to take it', { session: {}, lease: own, verdict: 'live' }, ['owned', true, false]],
  ] as const satisfies readonly (readonly [string, Facts, readonly unknown[]])[]) {
    const { isOrphaned, keptLease, ownership } = await stage(facts);
    assert.deepEqual([ownership, keptLease, isOrphaned], expected, what);
  }
});
