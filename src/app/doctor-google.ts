// Whether Firestore, Cloud Storage and Pub/Sub can be used as the settings ask: each is written to and read from
// under a name of our own, and nothing is left there. What is another fleet's is not written to.

import type { Config } from '../config/resolve.ts';
import type { Clock } from '../core/clock.ts';
import { isServiceError } from '../core/errors.ts';
import { mintId } from '../core/ids.ts';
import type { WebhookRecord } from '../core/webhook.ts';
import { createSilentLogger } from '../observability/logger.ts';
import { type Check, fail, ok } from './doctor-check.ts';
import { fleetOf, hostOf, openFirestore, openGcs } from './google-stores.ts';

/** Of nobody: a tenant's name has no such sign. */
const tenant = '~doctor';

/** None where the settings ask for nothing of Google's. */
export async function checkGoogle(config: Config, clock: Clock, timeoutMs: number): Promise<readonly Check[]> {
  const limited: Config = { ...config, google: { ...config.google, timeoutMs } };
  const checks = [checkPubsub(limited, timeoutMs)];
  if (config.storage === 'google') checks.push(checkFirestore(limited, clock), checkGcs(limited, clock));
  return (await Promise.all(checks)).flat();
}

async function checkFirestore(config: Config, clock: Clock): Promise<readonly Check[]> {
  const { database } = config.google;
  try {
    const records = await openFirestore(config, clock, createSilentLogger(), null);
    try {
      const owner = ownerOf(config, await records.fleetFound());
      if (owner === null) return [anothers('firestore', `database ${database}`, config)];
      const lists = await records.checkIndexes();
      const id = mintId();
      let isThere = false;
      try {
        await records.webhooks.create(probe(id, clock.now()));
        isThere = (await records.webhooks.get(tenant, id)) !== null;
      } finally {
        // Also where its answer was lost: it may have arrived.
        await records.webhooks.erase(tenant, id);
      }
      if (!isThere) return [lost('firestore')];
      return [ok('firestore', `database ${database} can be read and written; ${owner}`), ...withoutIndex(lists)];
    } finally {
      await records.close();
    }
  } catch (error) {
    return [refused('firestore', error, 'roles/datastore.user on the project')];
  }
}

function withoutIndex(lists: readonly string[]): readonly Check[] {
  if (lists.length === 0) return [];
  const message = `indexes are missing or still being built, for: ${lists.join('; ')}`;
  return [fail('firestore', message, 'deploy the indexes: see deploy/firestore/README.md')];
}

async function checkGcs(config: Config, clock: Clock): Promise<readonly Check[]> {
  const { bucket } = config.google;
  try {
    const snapshots = await openGcs(config, clock, createSilentLogger(), null);
    const key = { tenant, sessionId: mintId() };
    try {
      const found = await snapshots.fleetFound();
      const owner = ownerOf(config, found?.identity ?? null);
      if (owner === null) return [anothers('storage', `bucket ${bucket}`, config)];
      const records = found === null ? '' : `, with records in ${found.records}`;
      let isThere = false;
      try {
        await snapshots.put(key, 'probe', [Buffer.from('probe')]);
        isThere = (await snapshots.read(key, 'probe')) !== null;
      } finally {
        await snapshots.erase(key);
      }
      return [
        isThere ? ok('storage', `bucket ${bucket} can be read and written; ${owner}${records}`) : lost('storage'),
      ];
    } finally {
      await snapshots.close();
    }
  } catch (error) {
    return [refused('storage', error, 'roles/storage.objectUser on the bucket')];
  }
}

/** In words; null when it is another fleet's. */
function ownerOf(config: Config, found: string | null): string | null {
  const { prefix } = config.google;
  if (found === null) return `no fleet has the prefix ${prefix} yet`;
  const ours = fleetOf(config);
  if (ours === null)
    return `a fleet has the prefix ${prefix}, and without cluster.secret nothing tells whether it is this one`;
  return ours === found ? `the prefix ${prefix} is this fleet's` : null;
}

function anothers(name: string, what: string, { google }: Config): Check {
  const message = `${what}: another fleet uses it under the same google.prefix, ${google.prefix}`;
  return fail(name, message, 'give this fleet a google.prefix of its own, or the cluster.secret of that fleet');
}

async function checkPubsub({ google, pubsub }: Config, timeoutMs: number): Promise<readonly Check[]> {
  const { deadLetterTopic, eventsTopic, jobsSubscription } = pubsub;
  const topics = [deadLetterTopic, eventsTopic].filter((topic) => topic !== null);
  if (jobsSubscription === null && topics.length === 0) return [];
  const adapter = await import('../adapters/pubsub/check-pubsub.ts');
  const findings = await adapter.checkPubsub({
    project: google.project,
    ...(google.pubsubEmulator === null ? {} : { endpoint: hostOf(google.pubsubEmulator) }),
    subscription: jobsSubscription,
    topics,
    hasDeadLetterTopic: deadLetterTopic !== null,
    timeoutMs,
  });
  return findings.map((finding) => ({ name: 'pubsub', ...finding }));
}

function lost(name: string): Check {
  return fail(name, 'what was just written is not there', null);
}

function refused(name: string, error: unknown, role: string): Check {
  const isRefused = isServiceError(error) && error.details['reason'] === 'refused';
  const message = error instanceof Error ? error.message : String(error);
  return fail(name, message, isRefused ? `grant this identity ${role}` : 'see docs/google.md');
}

function probe(id: string, nowMs: number): WebhookRecord {
  return {
    ...{ tenant, id, revision: 1, url: 'https://example.invalid/', secrets: [], types: [], description: null },
    ...{ disabled: 'user', failingSince: null, createdBy: 'doctor', createdAt: nowMs },
  };
}
