// Whether Firestore, Cloud Storage and Pub/Sub can be used as the settings ask: each is written to and read from
// under a name of our own, and nothing is left there.

import type { Config } from '../config/resolve.ts';
import type { Clock } from '../core/clock.ts';
import { isServiceError } from '../core/errors.ts';
import { mintId } from '../core/ids.ts';
import type { WebhookRecord } from '../core/webhook.ts';
import { createSilentLogger } from '../observability/logger.ts';
import { type Check, fail, ok } from './doctor-check.ts';
import { hostOf, openFirestore, openGcs } from './google-stores.ts';

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
    const records = await openFirestore(config, clock, createSilentLogger());
    try {
      const id = mintId();
      await records.webhooks.create(probe(id, clock.now()));
      const isThere = (await records.webhooks.get(tenant, id)) !== null;
      await records.webhooks.erase(tenant, id);
      return [isThere ? ok('firestore', `database ${database} can be read and written`) : lost('firestore')];
    } finally {
      await records.close();
    }
  } catch (error) {
    return [refused('firestore', error, 'roles/datastore.user on the project')];
  }
}

async function checkGcs(config: Config, clock: Clock): Promise<readonly Check[]> {
  try {
    const snapshots = await openGcs(config, clock, createSilentLogger());
    const key = { tenant, sessionId: mintId() };
    try {
      await snapshots.put(key, 'probe', [Buffer.from('probe')]);
      const isThere = (await snapshots.read(key, 'probe')) !== null;
      return [isThere ? ok('storage', `bucket ${config.google.bucket} can be read and written`) : lost('storage')];
    } finally {
      await snapshots.erase(key).catch(() => undefined);
      await snapshots.close();
    }
  } catch (error) {
    return [refused('storage', error, 'roles/storage.objectUser on the bucket')];
  }
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
