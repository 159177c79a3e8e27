// Records in Firestore and snapshots in Cloud Storage. Their client libraries are loaded here, and only where
// the settings ask for them: they are larger than all the rest.

import { createHmac } from 'node:crypto';
import type { Config } from '../config/resolve.ts';
import type { FirestoreRecords } from '../adapters/firestore/firestore-records.ts';
import type { FleetMark } from '../adapters/gcs/gcs-fleet.ts';
import type { GcsSnapshotStore } from '../adapters/gcs/gcs-snapshot-store.ts';
import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import type { Logger } from '../observability/logger.ts';

/** What a fleet is called where it keeps its records and snapshots; null without a secret. It tells nothing of that. */
export function fleetOf({ cluster }: Config): string | null {
  if (cluster.secret === null) return null;
  return createHmac('sha256', cluster.secret).update('the fleet of these records and snapshots').digest('base64url');
}

export type GoogleStores = {
  /** Of both, as they were found: what tells one fleet's from another's. */
  readonly name: string;
  readonly records: FirestoreRecords;
  readonly snapshots: GcsSnapshotStore;
  readonly close: () => Promise<void>;
};

/** Some write it as a URL. */
export function hostOf(emulator: string): string {
  return emulator.replace(/^https?:\/\//, '').replace(/\/$/, '');
}

/** Rejects with `store_unavailable`, in words for a person; also where they are another fleet's. */
export async function openGoogleStores(config: Config, clock: Clock, logger: Logger): Promise<GoogleStores> {
  const fleet = fleetOf(config);
  if (fleet === null) {
    const message =
      'Firestore and Cloud Storage are told whose they are by cluster.secret (CODEX_FLEET_CLUSTER_SECRET)';
    throw new ServiceError('store_unavailable', {}, { message });
  }
  const records = await openFirestore(config, clock, logger, fleet);
  try {
    const snapshots = await openGcs(config, clock, logger, { identity: fleet, records: records.name });
    return {
      name: `google ${records.name} ${snapshots.name}`,
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

/** `fleet`: null claims nothing and compares nothing. */
export async function openFirestore(
  { google, jobs, webhooks }: Config,
  clock: Clock,
  logger: Logger,
  fleet: string | null,
): Promise<FirestoreRecords> {
  const { FirestoreRecords } = await import('../adapters/firestore/firestore-records.ts');
  return await FirestoreRecords.open({
    project: google.project,
    database: google.database,
    prefix: google.prefix,
    fleet,
    emulatorHost: google.firestoreEmulator === null ? null : hostOf(google.firestoreEmulator),
    timeoutMs: google.timeoutMs,
    retainJobsMs: jobs.retainMs,
    retainDeliveriesMs: webhooks.retainMs,
    ...{ clock, logger },
  });
}

/** `fleet`: as above. */
export async function openGcs(
  { google }: Config,
  clock: Clock,
  logger: Logger,
  fleet: FleetMark | null,
): Promise<GcsSnapshotStore> {
  const { bucket, prefix, project, timeoutMs } = google;
  if (bucket === null) {
    const message = 'storage google needs a bucket for the snapshots: set google.bucket (CODEX_FLEET_GOOGLE_BUCKET)';
    throw new ServiceError('store_unavailable', {}, { message });
  }
  const { GcsSnapshotStore } = await import('../adapters/gcs/gcs-snapshot-store.ts');
  const apiEndpoint = google.storageEmulator === null ? null : `http://${hostOf(google.storageEmulator)}`;
  return await GcsSnapshotStore.open({ project, bucket, prefix, fleet, apiEndpoint, timeoutMs, clock, logger });
}

/** Never rejects: lists that need one fail when they are asked, and nobody reads their errors at a start. */
export async function reportMissingIndexes(records: FirestoreRecords, logger: Logger): Promise<void> {
  try {
    const lists = await records.checkIndexes();
    if (lists.length === 0) return;
    logger.error(
      { event: 'firestore_indexes_missing', lists },
      'Firestore lacks indexes, or still builds them: deploy firestore.indexes.json',
    );
  } catch (error) {
    logger.debug({ event: 'firestore_indexes_not_checked', err: error }, 'the indexes of Firestore were not checked');
  }
}
