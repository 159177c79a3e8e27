import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { FirestoreProxy, type ProxyFault } from '../../testing/firestore-proxy.ts';
import { firestoreStores } from '../../testing/firestore-stores.ts';

const stores = firestoreStores();
const { skip } = stores;
const refused = { code: 'store_unavailable', message: /another fleet uses this database .*google\.prefix: / };

async function proxyOf(t: TestContext): Promise<FirestoreProxy> {
  const proxy = await FirestoreProxy.start((await stores.emulator()).host);
  t.after(() => proxy.stop());
  return proxy;
}

test('a prefix of a database is of the fleet that came first, for all its roles and after a restart', {
  skip,
}, async () => {
  const prefix = 'first';
  assert.equal(await (await stores.open({ prefix })).fleetFound(), null);
  const roles = await Promise.all([1, 2, 3].map(() => stores.open({ prefix, fleet: 'ours' })));
  await assert.rejects(stores.open({ prefix, fleet: 'theirs' }), refused);
  for (const role of roles) await role.close();
  await assert.rejects(stores.open({ prefix, fleet: 'theirs' }), refused);
  const again = await stores.open({ prefix, fleet: 'ours' });
  assert.equal(await again.fleetFound(), 'ours');
  const others = await stores.open({ prefix: 'second', fleet: 'theirs' });
  assert.notEqual(others.name, again.name);
  assert.equal(again.name, roles[0]?.name);
});

test('of two fleets that come at once one is refused', { skip }, async () => {
  for (let round = 0; round < 5; round++) {
    const prefix = `contest-${round}`;
    const opened = await Promise.allSettled(['ours', 'theirs'].map((fleet) => stores.open({ prefix, fleet })));
    assert.deepEqual(opened.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected']);
  }
});

test('a claim whose answer was lost is ours if it arrived, and made again if it did not', { skip }, async (t) => {
  const proxy = await proxyOf(t);
  for (const after of [true, false]) {
    for (const fault of [
      { kind: 'status', code: 14, after },
      { kind: 'cut', after },
    ] as const satisfies readonly ProxyFault[]) {
      const prefix = `lost-${fault.kind}-${after}`;
      let commits = 0;
      proxy.faultOf = (method) => (method === 'Commit' && commits++ === 0 ? fault : null);
      const opened = await stores.open({ prefix, emulatorHost: proxy.host, fleet: 'ours' });
      assert.equal(await opened.fleetFound(), 'ours');
      await assert.rejects(stores.open({ prefix, fleet: 'theirs' }), refused);
    }
  }
});

test('a claim that is lost to another fleet, with its answer, is refused', { skip }, async (t) => {
  const proxy = await proxyOf(t);
  const prefix = 'overtaken';
  proxy.faultOf = (method) => (method === 'Commit' ? { kind: 'delay', ms: 500 } : null);
  const late = assert.rejects(stores.open({ prefix, emulatorHost: proxy.host, fleet: 'late' }), refused);
  await stores.open({ prefix, fleet: 'first' });
  await late;
});
