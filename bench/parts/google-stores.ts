// Firestore's emulator and a local Cloud Storage for a benchmark, each a process of its own.

import path from 'node:path';
import { FirestoreEmulator, isFirestoreInstalled, missingFirestore } from '../../src/testing/firestore-emulator.ts';
import { isRedisInstalled, missingRedis } from '../../src/testing/redis-server.ts';
import type { Lab } from '../harness/benchmark.ts';
import { Child } from '../harness/child.ts';
import type { CloudStorageJob, CloudStorageReady } from './google-facts.ts';

const bucket = 'fleet-bench';
const project = 'fleet-bench';

/** Why a cluster on them cannot be measured on this machine; null: it can. */
export function lackingForGoogle(): string | null {
  if (!isRedisInstalled()) return missingRedis;
  return isFirestoreInstalled() ? null : missingFirestore;
}

export class GoogleStores {
  readonly firestore: FirestoreEmulator;
  readonly storage: Child;
  readonly #storageUrl: string;

  private constructor(firestore: FirestoreEmulator, storage: Child, storageUrl: string) {
    this.firestore = firestore;
    this.storage = storage;
    this.#storageUrl = storageUrl;
  }

  static async start(lab: Lab): Promise<GoogleStores> {
    const firestore = await FirestoreEmulator.start();
    if (firestore === null) throw new Error(missingFirestore);
    lab.defer(() => firestore.stop());
    const job: CloudStorageJob = { bucket, dir: path.join(lab.dir, 'bucket') };
    const { child, ready } = await Child.start<CloudStorageReady>(lab, 'cloud-storage-child.ts', job);
    return new GoogleStores(firestore, child, ready.url);
  }

  /** What roles are told. `firestoreHost`: another way to it. */
  environment(firestoreHost: string = this.firestore.host): Readonly<Record<string, string>> {
    return {
      FIRESTORE_EMULATOR_HOST: firestoreHost,
      STORAGE_EMULATOR_HOST: this.#storageUrl,
      METADATA_SERVER_DETECTION: 'none',
      CODEX_FLEET_GOOGLE_PROJECT: project,
      CODEX_FLEET_GOOGLE_BUCKET: bucket,
    };
  }
}
