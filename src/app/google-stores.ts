// Records in Firestore and snapshots in Cloud Storage. Their client libraries are loaded here, and only where
// the settings ask for them: they are larger than all the rest.

import type { Config } from '../config/resolve.ts';
import type { FirestoreRecords } from '../adapters/firestore/firestore-records.ts';
import type { GcsSnapshotStore } from '../adapters/gcs/gcs-snapshot-store.ts';
import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import type { Logger } from '../observability/logger.ts';
import type { Stores } from './stores.ts';

/** What tells one fleet's records from another's. */
export function nameOfGoogle({ google }: Config): string {
  const { bucket, database, prefix, project } = google;
  return ['google', project ?? '', database, bucket ?? '', prefix].join(' ');
}

/** Some write it as a URL. */
export function hostOf(emulator: string): string {
  return emulator.replace(/^https?:\/\//, '').replace(/\/$/, '');
}

/** Rejects with `store_unavailable`, in words for a person. */
export async function openGoogleStores(
  config: Config,
  clock: Clock,
  logger: Logger,
): Promise<Pick<Stores, 'records' | 'snapshots' | 'close'>> {
  const records = await openFirestore(config, clock, logger);
  try {
    const snapshots = await openGcs(config, clock, logger);
    return {
      records,
      snapshots,
      close: async () => {
        await snapshots.close();
        await records.close();
      },
    };
  } catch (error) {
    await records.close();
    throw error;
  }
}

export async function openFirestore(
  { google, jobs, webhooks }: Config,
  clock: Clock,
  logger: Logger,
): Promise<FirestoreRecords> {
  const { FirestoreRecords } = await import('../adapters/firestore/firestore-records.ts');
  return await FirestoreRecords.open({
    project: google.project,
    database: google.database,
    prefix: google.prefix,
    emulatorHost: google.firestoreEmulator === null ? null : hostOf(google.firestoreEmulator),
    timeoutMs: google.timeoutMs,
    retainJobsMs: jobs.retainMs,
    retainDeliveriesMs: webhooks.retainMs,
    ...{ clock, logger },
  });
}

export async function openGcs({ google }: Config, clock: Clock, logger: Logger): Promise<GcsSnapshotStore> {
  const { bucket, prefix, project, timeoutMs } = google;
  if (bucket === null) {
    const message = 'storage google needs a bucket for the snapshots: set google.bucket (CODEX_FLEET_GOOGLE_BUCKET)';
    throw new ServiceError('store_unavailable', {}, { message });
  }
  const { GcsSnapshotStore } = await import('../adapters/gcs/gcs-snapshot-store.ts');
  const apiEndpoint = google.storageEmulator === null ? null : `http://${hostOf(google.storageEmulator)}`;
  return await GcsSnapshotStore.open({ project, bucket, prefix, apiEndpoint, timeoutMs, clock, logger });
}
