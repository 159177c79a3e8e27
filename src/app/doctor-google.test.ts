import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/resolve.ts';
import { SystemClock } from '../observability/system-clock.ts';
import { FirestoreEmulator, missingFirestore } from '../testing/firestore-emulator.ts';
import { FirestoreProxy } from '../testing/firestore-proxy.ts';
import { GcsServer } from '../testing/gcs-server.ts';
import { missingPubsub, PubsubEmulator } from '../testing/pubsub-emulator.ts';
import { createSilentLogger } from '../observability/logger.ts';
import { checkGoogle } from './doctor-google.ts';
import { type GoogleStores, openGoogleStores } from './google-stores.ts';

const facts = {
  homeDir: '/nowhere',
  cwd: '/nowhere',
  hostname: 'host',
  cores: 2,
  memoryBytes: 2 ** 32,
  stderrIsTerminal: false,
};

function configOf(env: Readonly<Record<string, string>>): Config {
  return loadConfig({ env, flags: {}, facts, readFile: () => null }).config;
}

/** Emulators that have just begun are slow to answer at first. */
const patientMs = 20_000;

async function found(env: Readonly<Record<string, string>>, timeoutMs = patientMs): Promise<string[]> {
  const checks = await checkGoogle(configOf(env), new SystemClock(), timeoutMs);
  return checks.map(
    ({ advice, message, name, status }) => `${name} ${status}: ${message}${advice === null ? '' : ` (${advice})`}`,
  );
}

test('nothing of Google is looked at where the settings ask for none', async () => {
  assert.deepEqual(await found({}), []);
});

test('a database and a bucket that can be used say so, and what was tried is gone again', async (t) => {
  await using firestore = await FirestoreEmulator.start();
  if (firestore === null) {
    t.skip(missingFirestore);
    return;
  }
  await using storage = await GcsServer.start({ bucket: 'snapshots', dir: null });
  const env = {
    CODEX_FLEET_STORAGE: 'google',
    CODEX_FLEET_GOOGLE_PROJECT: 'emulator',
    CODEX_FLEET_GOOGLE_BUCKET: 'snapshots',
    FIRESTORE_EMULATOR_HOST: firestore.host,
    STORAGE_EMULATOR_HOST: storage.url,
  };
  assert.deepEqual((await found(env)).sort(), [
    'firestore ok: database (default) can be read and written; no fleet has the prefix codex-fleet yet',
    'storage ok: bucket snapshots can be read and written; no fleet has the prefix codex-fleet yet',
  ]);
  assert.equal((storage.counts.get('delete') ?? 0) > 0, true);
  assert.deepEqual([await firestore.allNames(), storage.bucket.names], [[], []]);

  // Also when the answer is lost: what was tried to be written is looked for and removed.
  const proxy = await FirestoreProxy.start(firestore.host);
  t.after(() => proxy.stop());
  let commits = 0;
  proxy.faultOf = (method) =>
    method === 'Commit' && commits++ === 0 ? { kind: 'status', code: 13, after: true } : null;
  const [throughProxy] = (await found({ ...env, FIRESTORE_EMULATOR_HOST: proxy.host })).sort();
  assert.match(throughProxy ?? '', /^firestore ok: /);
  // The creation arrives, whatever is then asked fails, and the removal is done.
  let isWritten = false;
  let failures = 0;
  proxy.faultOf = (method) => {
    if (method === 'Commit') isWritten = true;
    return isWritten && method === 'BatchGetDocuments' && failures++ === 0
      ? { kind: 'status', code: 7, after: false }
      : null;
  };
  const [failed] = (await found({ ...env, FIRESTORE_EMULATOR_HOST: proxy.host })).sort();
  assert.match(failed ?? '', /^firestore fail: .*roles\/datastore\.user/);
  assert.deepEqual([failures > 0, await firestore.allNames(), storage.bucket.names], [true, [], []]);
  // The look can fail: something is found where something is.
  await firestore.damage('anything/here', { field: { stringValue: 'x' } });
  assert.deepEqual(await firestore.allNames(), ['anything/here']);

  storage.granted = (permission) => permission !== 'storage.objects.create';
  const [, refused] = (await found(env)).sort();
  assert.match(refused ?? '', /^storage fail: .*storage\.objects\.create.*roles\/storage\.objectUser/);
});

test('whose the database and the bucket are is told, and what is of another fleet is not written to', async (t) => {
  await using firestore = await FirestoreEmulator.start();
  if (firestore === null) {
    t.skip(missingFirestore);
    return;
  }
  await using storage = await GcsServer.start({ bucket: 'snapshots', dir: null });
  const env = {
    CODEX_FLEET_STORAGE: 'google',
    CODEX_FLEET_GOOGLE_PROJECT: 'emulator',
    CODEX_FLEET_GOOGLE_BUCKET: 'snapshots',
    FIRESTORE_EMULATOR_HOST: firestore.host,
    STORAGE_EMULATOR_HOST: storage.url,
  };
  const ours = { ...env, CODEX_FLEET_CLUSTER_SECRET: 'a secret that all roles of the cluster know' };
  const theirs = { ...env, CODEX_FLEET_CLUSTER_SECRET: 'a secret that is known in another cluster' };
  const open = (of: Readonly<Record<string, string>>): Promise<GoogleStores> =>
    openGoogleStores(configOf(of), new SystemClock(), createSilentLogger());
  await assert.rejects(open(env), { code: 'store_unavailable', message: /cluster\.secret/ });
  const first = await open(ours);
  assert.match(first.name, /projects\/emulator\/databases\/\(default\) codex-fleet gs:\/\/snapshots\/codex-fleet/);
  await first.close();
  await (await open(ours)).close();
  await assert.rejects(open(theirs), { code: 'store_unavailable', message: /another fleet/ });
  const left = [await firestore.allNames(), storage.bucket.names];
  assert.deepEqual(left, [['codex-fleet-fleet/identity'], ['codex-fleet/fleet.json']]);

  const [ofFirestore, ofStorage] = (await found(ours)).sort();
  assert.match(ofFirestore ?? '', /^firestore ok: .*; the prefix codex-fleet is this fleet's$/);
  assert.match(ofStorage ?? '', /^storage ok: .*; the prefix codex-fleet is this fleet's, with records in projects\//);
  for (const line of await found(env)) assert.match(line, / ok: .*without cluster\.secret nothing tells/);
  const writes = storage.counts.get('insert');
  for (const line of await found(theirs)) assert.match(line, / fail: .*another fleet uses it.*\(give this fleet/);
  assert.equal(storage.counts.get('insert'), writes);
  assert.deepEqual([await firestore.allNames(), storage.bucket.names], left);
});

test('services that are not there are told by name, in time', async () => {
  const env = {
    CODEX_FLEET_STORAGE: 'google',
    CODEX_FLEET_GOOGLE_PROJECT: 'emulator',
    CODEX_FLEET_GOOGLE_BUCKET: 'snapshots',
    FIRESTORE_EMULATOR_HOST: '127.0.0.1:1',
    STORAGE_EMULATOR_HOST: 'http://127.0.0.1:1',
  };
  const [firestore, storage] = (await found(env, 3_000)).sort();
  assert.match(firestore ?? '', /^firestore fail: /);
  assert.match(storage ?? '', /^storage fail: /);
});

test('a subscription that is missing is told, with the command that makes it', async (t) => {
  await using pubsub = await PubsubEmulator.start();
  if (pubsub === null) {
    t.skip(missingPubsub);
    return;
  }
  await pubsub.createTopic('events');
  const env = {
    CODEX_FLEET_GOOGLE_PROJECT: pubsub.project,
    CODEX_FLEET_PUBSUB_JOBS_SUBSCRIPTION: 'jobs',
    CODEX_FLEET_PUBSUB_EVENTS_TOPIC: 'events',
    PUBSUB_EMULATOR_HOST: pubsub.endpoint,
  };
  const checks = await found(env);
  assert.ok(
    checks.some((line) => /^pubsub fail: .*jobs.*gcloud pubsub subscriptions create/.test(line)),
    checks.join('\n'),
  );
  assert.ok(
    checks.some((line) => /^pubsub ok: .*events/.test(line)),
    checks.join('\n'),
  );
});
