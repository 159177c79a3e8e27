import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/resolve.ts';
import { SystemClock } from '../observability/system-clock.ts';
import { FirestoreEmulator, missingFirestore } from '../testing/firestore-emulator.ts';
import { GcsServer } from '../testing/gcs-server.ts';
import { missingPubsub, PubsubEmulator } from '../testing/pubsub-emulator.ts';
import { checkGoogle } from './doctor-google.ts';

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

async function found(env: Readonly<Record<string, string>>): Promise<string[]> {
  const checks = await checkGoogle(configOf(env), new SystemClock(), 3_000);
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
    'firestore ok: database (default) can be read and written',
    'storage ok: bucket snapshots can be read and written',
  ]);
  assert.equal((storage.counts.get('delete') ?? 0) > 0, true);

  storage.granted = (permission) => permission !== 'storage.objects.create';
  const [, refused] = (await found(env)).sort();
  assert.match(refused ?? '', /^storage fail: .*storage\.objects\.create.*roles\/storage\.objectUser/);
});

test('services that are not there are told by name, in time', async () => {
  const env = {
    CODEX_FLEET_STORAGE: 'google',
    CODEX_FLEET_GOOGLE_PROJECT: 'emulator',
    CODEX_FLEET_GOOGLE_BUCKET: 'snapshots',
    FIRESTORE_EMULATOR_HOST: '127.0.0.1:1',
    STORAGE_EMULATOR_HOST: 'http://127.0.0.1:1',
  };
  const [firestore, storage] = (await found(env)).sort();
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
