// What every store of snapshots must do (contracts/snapshots.ts), tried.

import assert from 'node:assert/strict';
import type { SnapshotStore } from '../../contracts/snapshots.ts';
import type { SessionKey } from '../../contracts/worker-link.ts';
import { type ContractCheck, describeContract, type Subject } from './contract-suite.ts';

const key: SessionKey = { tenant: 'acme', sessionId: '019f0000-0000-7000-8000-000000000001' };
const neighbour: SessionKey = { ...key, sessionId: '019f0000-0000-7000-8000-000000000002' };
const otherTenant: SessionKey = { ...key, tenant: 'a.c/me ..' };

function octets(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

async function textOf(store: SnapshotStore, of: SessionKey, name: string): Promise<string | null> {
  const content = await store.read(of, name);
  return content === null ? null : new TextDecoder().decode(content);
}

async function namesOf(store: SnapshotStore, of: SessionKey): Promise<string[]> {
  return (await store.list(of)).map(({ name }) => name);
}

/** One buffer for all pieces, as one reads a file. */
async function* reusingItsBuffer(pieces: readonly string[]): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(16);
  for (const piece of pieces) {
    const { written } = new TextEncoder().encodeInto(piece, buffer);
    yield buffer.subarray(0, written);
    buffer.fill(0);
  }
}

export const snapshotStoreChecks: readonly ContractCheck<SnapshotStore>[] = [
  {
    title: 'what was put is read back whole, however it came in pieces',
    async run(store) {
      await store.put(key, 'one', [octets('in '), octets(''), octets('pieces')]);
      await store.put(key, 'two', reusingItsBuffer(['in ', 'other ', 'pieces']));
      await store.put(key, 'empty', []);
      assert.equal(await textOf(store, key, 'one'), 'in pieces');
      assert.equal(await textOf(store, key, 'two'), 'in other pieces');
      assert.equal(await textOf(store, key, 'empty'), '');
    },
  },
  {
    title: 'a large object keeps every octet',
    async run(store) {
      const pieces = Array.from({ length: 70 }, (_, index) => new Uint8Array(30_000 + index * 5_000).fill(index + 1));
      await store.put(key, 'large', pieces);
      const content = await store.read(key, 'large');
      assert.equal(Buffer.compare(content ?? Buffer.alloc(0), Buffer.concat(pieces)), 0);
    },
  },
  {
    title: 'a range gives those octets, as far as the object goes',
    async run(store) {
      await store.put(key, 'digits', [octets('0123456789')]);
      const read = async (offset: number, length: number): Promise<string> =>
        new TextDecoder().decode((await store.read(key, 'digits', { offset, length })) ?? octets('null'));
      assert.deepEqual(await Promise.all([read(0, 3), read(4, 2), read(8, 9), read(10, 1), read(99, 1), read(3, 0)]), [
        '012',
        '45',
        '89',
        '',
        '',
        '',
      ]);
    },
  },
  {
    title: 'what is not there is null, in a session that is known and in one that is not',
    async run(store) {
      assert.equal(await store.read(key, 'one'), null);
      assert.deepEqual(await store.list(key), []);
      await store.put(key, 'one', [octets('1')]);
      assert.equal(await store.read(key, 'two'), null);
      assert.equal(await store.read(key, 'two', { offset: 0, length: 1 }), null);
    },
  },
  {
    title: 'a name is written once: later puts are store_conflict and change nothing',
    async run(store) {
      await store.put(key, 'one', [octets('first')]);
      await assert.rejects(store.put(key, 'one', [octets('second')]), { code: 'store_conflict' });
      assert.equal(await textOf(store, key, 'one'), 'first');
      assert.deepEqual(await store.list(key), [{ name: 'one', bytes: 5 }]);
    },
  },
  {
    title: 'of many that put one name at once exactly one wins, whole',
    async run(store) {
      const contents = Array.from({ length: 8 }, (_, index) => String(index).repeat(1_000));
      const results = await Promise.allSettled(contents.map((content) => store.put(key, 'one', [octets(content)])));
      const winners = contents.filter((_, index) => results[index]?.status === 'fulfilled');
      assert.equal(winners.length, 1);
      for (const result of results) {
        if (result.status === 'rejected') assert.equal((result.reason as { code?: string }).code, 'store_conflict');
      }
      assert.equal(await textOf(store, key, 'one'), winners[0]);
    },
  },
  {
    title: 'many objects put at once are all there, listed by name with their sizes',
    async run(store) {
      const names = ['b', 'a.1', 'a-1', 'a_1', 'a', '9', 'z'.repeat(128), 'pack-0001.zst'];
      await Promise.all(names.map((name) => store.put(key, name, [octets(name)])));
      assert.deepEqual(
        await store.list(key),
        [...names].sort().map((name) => ({ name, bytes: name.length })),
      );
    },
  },
  {
    title: 'content that fails leaves nothing behind, its error as it was, and its name free',
    async run(store) {
      const broken = new Error('cannot be read');
      async function* failing(): AsyncGenerator<Uint8Array> {
        yield octets('half');
        throw broken;
      }
      await assert.rejects(store.put(key, 'one', failing()), broken);
      assert.deepEqual(await store.list(key), []);
      assert.equal(await store.read(key, 'one'), null);
      await store.put(key, 'one', [octets('whole')]);
      assert.equal(await textOf(store, key, 'one'), 'whole');
    },
  },
  {
    title: 'removing takes those objects alone, and what is not there is no matter',
    async run(store) {
      for (const name of ['one', 'two', 'three']) await store.put(key, name, [octets(name)]);
      await store.put(neighbour, 'one', [octets('theirs')]);
      await store.remove(key, ['one', 'never', 'three']);
      await store.remove({ ...key, sessionId: '019f0000-0000-7000-8000-000000000009' }, ['one']);
      assert.deepEqual(await namesOf(store, key), ['two']);
      assert.equal(await store.read(key, 'one'), null);
      assert.equal(await textOf(store, neighbour, 'one'), 'theirs');
      await store.put(key, 'one', [octets('again')]);
      assert.equal(await textOf(store, key, 'one'), 'again');
    },
  },
  {
    title: 'erase removes all of the session and nothing of others, and can be repeated',
    async run(store) {
      for (const name of ['one', 'two']) await store.put(key, name, [octets(name)]);
      await store.put(neighbour, 'one', [octets('theirs')]);
      await store.erase(key);
      await store.erase(key);
      assert.deepEqual(await store.list(key), []);
      assert.equal(await store.read(key, 'one'), null);
      assert.equal(await textOf(store, neighbour, 'one'), 'theirs');
      await store.put(key, 'one', [octets('new life')]);
      assert.equal(await textOf(store, key, 'one'), 'new life');
    },
  },
  {
    title: "two tenants' sessions of one id never meet, whatever a tenant is called",
    async run(store) {
      await store.put(key, 'one', [octets('ours')]);
      await store.put(otherTenant, 'one', [octets('theirs')]);
      await store.put({ ...key, tenant: '..' }, 'one', [octets('dots')]);
      assert.equal(await textOf(store, key, 'one'), 'ours');
      assert.equal(await textOf(store, otherTenant, 'one'), 'theirs');
      await store.erase({ ...key, tenant: '..' });
      await store.erase(otherTenant);
      assert.deepEqual(await namesOf(store, key), ['one']);
    },
  },
  {
    title: 'sessions that something is kept of are named, by tenant, and erased ones are not',
    async run(store) {
      const strange = { tenant: '../a b%2E', sessionId: key.sessionId };
      for (const one of [key, neighbour, otherTenant, strange]) await store.put(one, 'one', [octets('1')]);
      await store.erase(neighbour);
      const named: string[] = [];
      for await (const { sessionId, tenant } of store.sessions()) named.push(`${tenant} ${sessionId}`);
      const expected = [key, otherTenant, strange].map(({ sessionId, tenant }) => `${tenant} ${sessionId}`);
      assert.deepEqual([...new Set(named)].sort(), expected.sort());
    },
  },
  {
    title: 'a name that no object may have is refused',
    async run(store) {
      await store.put(key, 'one', [octets('1')]);
      for (const name of ['', '.', '..', '.hidden', '../one', 'a/b', 'A', 'é', 'a\u0000', 'z'.repeat(129)]) {
        await assert.rejects(store.put(key, name, [octets('x')]), { code: 'internal' }, name);
      }
      assert.deepEqual(await namesOf(store, key), ['one']);
    },
  },
];

export function snapshotStoreSuite(adapterName: string, open: () => Promise<Subject<SnapshotStore>>): void {
  describeContract(`${adapterName} keeps the promises of a snapshot store`, snapshotStoreChecks, open);
}
