import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/resolve.ts';
import { createSilentLogger } from '../observability/logger.ts';
import { SystemClock } from '../observability/system-clock.ts';
import { FirestoreEmulator, missingFirestore } from '../testing/firestore-emulator.ts';
import { GcsServer } from '../testing/gcs-server.ts';
import { missingRedis, RedisServer } from '../testing/redis-server.ts';
import { openClusterDir } from './cluster-dir.ts';
import { type ClusterStores, openClusterStores } from './cluster-stores.ts';
import { hostOf, openGcs } from './google-stores.ts';
import { openStores } from './stores.ts';

const facts = {
  homeDir: '/nowhere',
  cwd: '/nowhere',
  hostname: 'host',
  cores: 2,
  memoryBytes: 2 ** 32,
  stderrIsTerminal: false,
};
const secret = 'a secret that all roles of the cluster know';

function configOf(env: Readonly<Record<string, string>>): Config {
  return loadConfig({ env: { CODEX_FLEET_STORAGE: 'google', ...env }, flags: {}, facts, readFile: () => null }).config;
}

test('a fleet of one process refuses stores that are for many hosts, and says what to do', async () => {
  const options = { isOnlyOwner: true, checksRecords: false, reserve: null, onForgotten: () => {} };
  const opening = openStores(configOf({}), '/nowhere', new SystemClock(), createSilentLogger(), options);
  await assert.rejects(opening, { code: 'store_unavailable', message: /--storage google is for a cluster/ });
});

test('a role on one of many hosts refuses to start without the secret that all share', async () => {
  await assert.rejects(openClusterDir(configOf({})), { code: 'store_unavailable', message: /cluster\.secret/ });
});

test('a bucket has to be named', async () => {
  const opening = openGcs(configOf({}), new SystemClock(), createSilentLogger(), null);
  await assert.rejects(opening, { code: 'store_unavailable', message: /google\.bucket/ });
});

test('gateways on two hosts derive the same ids from an Idempotency-Key, of another cluster others', async (t) => {
  const dirs = [1, 2, 3].map(() => mkdtempSync(join(tmpdir(), 'google-stores-')));
  t.after(() => dirs.forEach((dir) => rmSync(dir, { recursive: true })));
  const secretOf = async (dir: string, of: string): Promise<string> => {
    const opened = await openClusterDir(configOf({ CODEX_FLEET_DATA_DIR: dir, CODEX_FLEET_CLUSTER_SECRET: of }));
    await opened.close();
    return Buffer.from(opened.idempotencySecret).toString('hex');
  };
  const [first = '', second = '', other = ''] = dirs;
  const here = await secretOf(first, secret);
  assert.equal(await secretOf(second, secret), here);
  assert.notEqual(await secretOf(other, `${secret}!`), here);
});

test('an emulator may be given as a host and a port or as a URL', () => {
  assert.deepEqual(['127.0.0.1:8085', 'http://127.0.0.1:8085', 'http://[::1]:1/'].map(hostOf), [
    '127.0.0.1:8085',
    '127.0.0.1:8085',
    '[::1]:1',
  ]);
});

test('a Redis is claimed in the name of the database that was found, whatever the settings call it; who is refused closes all', async (t) => {
  await using firestore = await FirestoreEmulator.start();
  if (firestore === null) {
    t.skip(missingFirestore);
    return;
  }
  const redis = await RedisServer.start();
  if (redis === null) {
    t.skip(missingRedis);
    return;
  }
  t.after(() => redis.stop());
  await using storage = await GcsServer.start({ bucket: 'snapshots', dir: null });
  const env = {
    REDIS_URL: redis.url,
    CODEX_FLEET_CLUSTER_SECRET: secret,
    CODEX_FLEET_GOOGLE_BUCKET: 'snapshots',
    CODEX_FLEET_GOOGLE_TIMEOUT_MS: '20000',
    FIRESTORE_EMULATOR_HOST: firestore.host,
    STORAGE_EMULATOR_HOST: storage.url,
  };
  const open = (more: Readonly<Record<string, string>>): Promise<ClusterStores> =>
    openClusterStores({
      config: configOf({ ...env, ...more }),
      dataDir: '/nowhere',
      reserve: null,
      checksRecords: false,
      clock: new SystemClock(),
      logger: createSilentLogger(),
    });
  // The emulator calls a project that is not given by that name, as credentials would by theirs.
  const opened = [await open({}), await open({ CODEX_FLEET_GOOGLE_PROJECT: 'emulator' })];
  for (const other of [{ CODEX_FLEET_GOOGLE_PROJECT: 'another' }, { CODEX_FLEET_GOOGLE_PREFIX: 'another' }]) {
    // Another project has no place in the same bucket either; with one of its own it is the Redis that refuses.
    await assert.rejects(open({ CODEX_FLEET_GOOGLE_PREFIX: 'another', ...other }), {
      code: 'store_unavailable',
      message: /other records .* uses this Redis/,
    });
    storage.bucket.delete('another/fleet.json', null);
  }
  for (const stores of opened) await stores.close();
});
