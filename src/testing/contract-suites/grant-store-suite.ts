// What every grant store must do (contracts/grant-store.ts), tried.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { GrantChange, GrantStore, StoredGrant, TurnTally } from '../../contracts/grant-store.ts';
import { isServiceError } from '../../core/errors.ts';
import { type ContractCheck, describeContract, type Subject } from './contract-suite.ts';

/** Two of one store: what one proxy and another see. */
export type SharedGrantStore = {
  readonly here: GrantStore;
  readonly there: GrantStore;
  /** Until what was told has been heard. */
  heard(isHeard: () => boolean): Promise<void>;
};

const sessionId = '019f0000-0000-7000-8000-000000000001';

function grantOf(name: string, changes: Partial<StoredGrant> = {}, epoch = 1): StoredGrant {
  return {
    id: `session-1.${name}`,
    request: { tenant: 'acme', sessionId, epoch, models: ['m'] },
    credentialSha256: createHash('sha256').update(name).digest('hex'),
    turn: null,
    revision: 1,
    ...changes,
  };
}

const used = (calls: number, inputTokens: number): TurnTally => ({
  calls,
  usage: { inputTokens, cachedInputTokens: 1, outputTokens: 2, reasoningOutputTokens: 3, costUsd: null },
});

export const grantStoreChecks: readonly ContractCheck<SharedGrantStore>[] = [
  {
    title: 'what was never put is unknown, and its end is harmless',
    async run({ here }) {
      const grant = grantOf('a');
      assert.equal(await here.find(grant.id), null);
      assert.equal(await here.findByCredential(grant.credentialSha256), null);
      assert.deepEqual((await here.count(grant.id, 't', used(1, 1))).calls, 0);
      await here.remove(grant.id);
    },
  },
  {
    title: 'a grant that one proxy put is found by the other, by its id and by its credential',
    async run({ here, there }) {
      const grant = grantOf('a', { turn: 'turn-1' });
      assert.deepEqual(await here.put(grant), grant);
      assert.deepEqual(await there.find(grant.id), grant);
      assert.deepEqual(await there.findByCredential(grant.credentialSha256), grant);
    },
  },
  {
    title: 'what the calls of the running turn are traced under goes with it',
    async run({ here, there }) {
      const traced = grantOf('a', { turn: 'turn-1', traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` });
      await here.put(traced);
      assert.deepEqual(await there.find(traced.id), traced);
      const next = grantOf('a', { turn: 'turn-2', revision: 2 });
      await here.put(next);
      assert.deepEqual(await there.find(traced.id), next);
    },
  },
  {
    title: 'of two states the one with the higher revision stands, whichever comes first',
    async run({ here, there }) {
      const ended = grantOf('a', { revision: 3 });
      await here.put(grantOf('a', { turn: 'turn-1', revision: 1 }));
      await here.put(ended);
      assert.deepEqual(await there.put(grantOf('a', { turn: 'turn-1', revision: 2 })), ended);
      assert.deepEqual(await there.put(grantOf('a', { turn: 'turn-2', revision: 3 })), ended);
      assert.deepEqual(await there.find(ended.id), ended);
    },
  },
  {
    title: 'a later epoch ends the grants of earlier ones and is never gone back from',
    async run({ here, there }) {
      const old = grantOf('old', { turn: 'turn-1' });
      const next = grantOf('new', {}, 3);
      await here.put(old);
      await there.put(next);
      assert.equal(await here.find(old.id), 'ended');
      assert.equal(await here.findByCredential(old.credentialSha256), 'ended');
      for (const stale of [grantOf('other', {}, 2), { ...old, revision: 9 }]) {
        await assert.rejects(
          here.put(stale),
          (error) =>
            (isServiceError(error, 'stale_epoch') && error.details['epoch'] === 3) ||
            isServiceError(error, 'grant_not_found'),
        );
      }
      const sibling = grantOf('sibling', {}, 3);
      await here.put(sibling);
      assert.deepEqual([await here.find(next.id), await here.find(sibling.id)], [next, sibling]);
    },
  },
  {
    title: 'the end of a grant is for good, a put that comes late included',
    async run({ here, there }) {
      const grant = grantOf('a');
      await here.put(grant);
      await there.remove(grant.id);
      await there.remove(grant.id);
      assert.equal(await here.find(grant.id), 'ended');
      assert.equal(await here.findByCredential(grant.credentialSha256), 'ended');
      await assert.rejects(here.put({ ...grant, revision: 2 }), (error) => isServiceError(error, 'grant_not_found'));
      const neverPut = grantOf('late');
      await here.remove(neverPut.id);
      await assert.rejects(here.put(neverPut), (error) => isServiceError(error, 'grant_not_found'));
    },
  },
  {
    title: "what both proxies counted of a turn is added up, and another turn's count begins at nothing",
    async run({ here, there }) {
      const { id } = grantOf('a');
      await here.put(grantOf('a', { turn: 'turn-1' }));
      await here.count(id, 'turn-1', used(2, 10));
      assert.deepEqual(await there.count(id, 'turn-1', used(1, 5)), {
        calls: 3,
        usage: { inputTokens: 15, cachedInputTokens: 2, outputTokens: 4, reasoningOutputTokens: 6, costUsd: null },
      });
      assert.equal((await there.count(id, 'turn-2', used(1, 5))).calls, 0);
      await here.put(grantOf('a', { turn: 'turn-2', revision: 2 }));
      assert.equal((await there.count(id, 'turn-1', used(1, 5))).calls, 0);
      assert.equal((await there.count(id, 'turn-2', used(1, 5))).calls, 1);
    },
  },
  {
    title: 'whoever listens is told of changes and ends, until it stops listening',
    async run({ here, there, heard }) {
      const changes: GrantChange[] = [];
      const stop = here.onChange((change) => changes.push(change));
      const { id } = grantOf('a');
      // A subscription may take a moment: the first that is heard shows that it stands.
      let revision = 0;
      await heard(() => {
        revision += 1;
        there.put(grantOf('a', { revision })).catch(() => undefined);
        return changes.length > 0;
      });
      await there.remove(id);
      await heard(() => changes.some((change) => change.id === id && change.revision === null));
      stop();
      const before = changes.length;
      await there.put(grantOf('b'));
      await there.find(id);
      assert.equal(changes.length, before);
    },
  },
  {
    title: 'it says since when it knows what it knows',
    async run({ here }) {
      const knownForMs = await here.knownForMs();
      assert.ok(knownForMs >= 0 && knownForMs < 60_000, `${knownForMs} ms`);
    },
  },
];

export function grantStoreSuite(adapterName: string, open: () => Promise<Subject<SharedGrantStore>>): void {
  describeContract(`${adapterName} keeps the promises of a grant store`, grantStoreChecks, open);
}
