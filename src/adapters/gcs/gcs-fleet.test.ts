import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSilentLogger } from '../../observability/logger.ts';
import { SystemClock } from '../../observability/system-clock.ts';
import { GcsServer } from '../../testing/gcs-server.ts';
import type { FleetMark } from './gcs-fleet.ts';
import { GcsSnapshotStore } from './gcs-snapshot-store.ts';

const ours: FleetMark = { identity: 'ours', records: 'projects/p/databases/(default) fleet' };
const refused = {
  code: 'store_unavailable',
  message: /another fleet keeps its snapshots in the bucket .*google\.prefix/,
};

async function open(server: GcsServer, fleet: FleetMark | null, prefix = 'fleet'): Promise<GcsSnapshotStore> {
  return GcsSnapshotStore.open({
    ...{ project: null, bucket: 'bucket', prefix, fleet, apiEndpoint: server.url, timeoutMs: 5_000 },
    clock: new SystemClock(),
    logger: createSilentLogger(),
  });
}

async function opens(server: GcsServer, fleet: FleetMark | null, prefix?: string): Promise<FleetMark | null> {
  const store = await open(server, fleet, prefix);
  const found = await store.fleetFound();
  await store.close();
  return found;
}

test('a prefix of a bucket is of the fleet that came first, and its mark is no session', async () => {
  await using server = await GcsServer.start({ bucket: 'bucket', dir: null });
  assert.equal(await opens(server, null), null);
  assert.deepEqual(server.bucket.names, []);
  const found = await Promise.all([1, 2, 3].map(() => opens(server, ours)));
  assert.deepEqual(found, [ours, ours, ours]);
  assert.deepEqual(server.bucket.names, ['fleet/fleet.json']);
  assert.deepEqual(await opens(server, ours), ours);
  for (const other of [
    { ...ours, identity: 'theirs' },
    { ...ours, records: 'projects/p/databases/other fleet' },
  ]) {
    await assert.rejects(open(server, other), refused);
    assert.deepEqual(await opens(server, other, 'theirs'), other);
    server.bucket.delete('theirs/fleet.json', null);
  }
  const store = await open(server, ours);
  const key = { tenant: 'acme', sessionId: 'one' };
  await store.put(key, 'object', [Buffer.from('content')]);
  const sessions = [];
  for await (const session of store.sessions()) sessions.push(session);
  assert.deepEqual(sessions, [key]);
  await store.erase(key);
  assert.deepEqual(server.bucket.names, ['fleet/fleet.json']);
  await store.close();
});

test('of two fleets that come at once one is refused', async () => {
  await using server = await GcsServer.start({ bucket: 'bucket', dir: null });
  server.delayMs = 20;
  const opened = await Promise.allSettled([opens(server, ours), opens(server, { ...ours, identity: 'theirs' })]);
  assert.deepEqual(opened.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected']);
});

test('a mark whose answer was lost is ours if it arrived, and made again if it did not', async () => {
  for (const when of ['before', 'after'] as const) {
    for (const act of ['cut', { status: 503 }] as const) {
      await using server = await GcsServer.start({ bucket: 'bucket', dir: null });
      server.faults.add({ on: ['insert'], act, when });
      assert.deepEqual(await opens(server, ours), ours);
      assert.equal(server.faults.left, 0);
      await assert.rejects(open(server, { ...ours, identity: 'theirs' }), refused);
    }
  }
});

test("a mark that cannot be read is nobody's, and refused", async () => {
  await using server = await GcsServer.start({ bucket: 'bucket', dir: null });
  const url = `${server.url}/upload/storage/v1/b/bucket/o?uploadType=media&name=fleet%2Ffleet.json`;
  assert.equal((await fetch(url, { method: 'POST', body: 'no JSON' })).status, 200);
  await assert.rejects(open(server, ours), refused);
});
