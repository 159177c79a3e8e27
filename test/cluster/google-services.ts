// Google's side for the clusters of tests: the Firestore and Pub/Sub emulators, and a local Cloud Storage; each
// with what a fleet expects to find there.

import { FirestoreEmulator, missingFirestore } from '../../src/testing/firestore-emulator.ts';
import { GcsServer } from '../../src/testing/gcs-server.ts';
import { missingPubsub, PubsubEmulator } from '../../src/testing/pubsub-emulator.ts';

const bucket = 'fleet-tests';

export class GoogleServices {
  readonly firestore: FirestoreEmulator;
  readonly storage: GcsServer;
  /** Has the subscription `jobs`, and the topics `dead-jobs` and `events`. */
  readonly pubsub: PubsubEmulator;
  /** Of the names of the fleet's collections and objects: the default. */
  readonly prefix = 'codex-fleet';

  private constructor(firestore: FirestoreEmulator, storage: GcsServer, pubsub: PubsubEmulator) {
    this.firestore = firestore;
    this.storage = storage;
    this.pubsub = pubsub;
  }

  /** Why there are none on this machine, in a skip's words; or all of them. */
  static async start(): Promise<GoogleServices | string> {
    const firestore = await FirestoreEmulator.start();
    if (firestore === null) return missingFirestore;
    const pubsub = await PubsubEmulator.start();
    if (pubsub === null) {
      await firestore.stop();
      return missingPubsub;
    }
    const storage = await GcsServer.start({ bucket, dir: null });
    const services = new GoogleServices(firestore, storage, pubsub);
    await services.prepare();
    return services;
  }

  /** What a fleet expects in Pub/Sub; again where that was started again. */
  async prepare(): Promise<void> {
    const { pubsub } = this;
    for (const topic of ['jobs', 'dead-jobs', 'events']) await pubsub.createTopic(topic);
    await pubsub.createSubscription('jobs', 'jobs', { enableMessageOrdering: true });
    await pubsub.createSubscription('dead-jobs', 'dead-jobs');
    await pubsub.createSubscription('events', 'events', { enableMessageOrdering: true });
  }

  get project(): string {
    return this.pubsub.project;
  }

  /** What the roles of a cluster are told. */
  get environment(): Readonly<Record<string, string>> {
    return {
      FIRESTORE_EMULATOR_HOST: this.firestore.host,
      STORAGE_EMULATOR_HOST: this.storage.url,
      PUBSUB_EMULATOR_HOST: this.pubsub.endpoint,
      METADATA_SERVER_DETECTION: 'none',
      CODEX_FLEET_GOOGLE_PROJECT: this.project,
      CODEX_FLEET_GOOGLE_BUCKET: bucket,
      CODEX_FLEET_PUBSUB_JOBS_SUBSCRIPTION: 'jobs',
      CODEX_FLEET_PUBSUB_DEAD_LETTER_TOPIC: 'dead-jobs',
      CODEX_FLEET_PUBSUB_EVENTS_TOPIC: 'events',
    };
  }

  async stop(): Promise<void> {
    await Promise.all([this.firestore.stop(), this.pubsub.stop(), this.storage.stop()]);
  }
}
