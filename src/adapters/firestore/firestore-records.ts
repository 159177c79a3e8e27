// The records in Firestore: true across hosts. Each is a document below its tenant; every write is conditional on the
// document as it stood, and durable before it resolves. Lists over all tenants go over all collections of a name,
// which carries the fleet's prefix, so that several fleets may share a database.

import { randomBytes } from 'node:crypto';
import type { ApprovalRecords, Records, SessionRecords, TurnRecords } from '../../contracts/records.ts';
import type { JobRecords, ScheduleRecords } from '../../contracts/job-records.ts';
import type { DeliveryRecords, WebhookRecords } from '../../contracts/webhook-records.ts';
import type { Clock } from '../../core/clock.ts';
import { within } from '../../core/deadline.ts';
import type { SessionRecord } from '../../core/session.ts';
import type { TurnRecord } from '../../core/turn.ts';
import type { Logger } from '../../observability/logger.ts';
import { replaceAll, replacementOf } from './conditional-write.ts';
import { firestoreError, lateFirestore } from './firestore-errors.ts';
import { claimFleet, readFleet } from './fleet-claim.ts';
import { FirestoreLink, type OperationKind } from './firestore-link.ts';
import { listsWithoutIndex } from './index-check.ts';
import { FirestoreJobRecords, FirestoreScheduleRecords } from './job-records.ts';
import type { Query } from './query.ts';
import { type RecordStore, startCall } from './record-store.ts';
import {
  FirestoreApprovalRecords,
  FirestoreSessionRecords,
  FirestoreTurnRecords,
  sessionShape,
  turnShape,
} from './session-records.ts';
import { FirestoreDeliveryRecords, FirestoreWebhookRecords } from './webhook-records.ts';
import { WrittenPlaces } from './written-places.ts';

export type FirestoreRecordsOptions = {
  /** null: that of the credentials. */
  readonly project: string | null;
  readonly database: string;
  readonly prefix: string;
  /** What this fleet is called; the database belongs to one under each prefix. null: nothing is claimed or compared. */
  readonly fleet?: string | null;
  /** Of one call, with all its repeats. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long those that ended are kept at least; see `expiryMarginMs`. */
  readonly retainJobsMs: number;
  readonly retainDeliveriesMs: number;
  /** host:port of an emulator; null: the service itself. */
  readonly emulatorHost?: string | null;
  /** What is paid for, as it happens: for measuring. */
  readonly onOperations?: (kind: OperationKind, count: number, collection: string) => void;
  readonly onQuery?: (query: Query) => void;
  /** 0 to 1; for the waits between repeats. */
  readonly random?: () => number;
};

/** The session manager removes what ended, and tells of it; Firestore's own removal is for when it did not. */
const expiryMarginMs = 7 * 24 * 3_600_000;

export class FirestoreRecords implements Records {
  readonly sessions: SessionRecords;
  readonly turns: TurnRecords;
  readonly approvals: ApprovalRecords;
  readonly jobs: JobRecords;
  readonly schedules: ScheduleRecords;
  readonly webhooks: WebhookRecords;
  readonly deliveries: DeliveryRecords;
  /** Of the database and the place in it, as they were found: the same for all who share the records. */
  readonly name: string;
  readonly #store: RecordStore;
  readonly #closing: AbortController;

  private constructor(store: RecordStore, closing: AbortController, options: FirestoreRecordsOptions) {
    const { retainDeliveriesMs, retainJobsMs } = options;
    this.name = `${store.link.databaseName} ${store.prefix}`;
    this.#store = store;
    this.#closing = closing;
    this.sessions = new FirestoreSessionRecords(store);
    this.turns = new FirestoreTurnRecords(store);
    this.approvals = new FirestoreApprovalRecords(store);
    this.jobs = new FirestoreJobRecords(store, retainJobsMs + expiryMarginMs);
    this.schedules = new FirestoreScheduleRecords(store);
    this.webhooks = new FirestoreWebhookRecords(store);
    this.deliveries = new FirestoreDeliveryRecords(store, retainDeliveriesMs + expiryMarginMs);
  }

  /**
   * Rejects with `store_unavailable` where the database cannot be used, or is another fleet's, in words for a person;
   * `reason` says why.
   */
  static async open(options: FirestoreRecordsOptions): Promise<FirestoreRecords> {
    const { clock, fleet = null, logger, prefix, timeoutMs } = options;
    const closing = new AbortController();
    const link = await openLink(options);
    const store: RecordStore = {
      link,
      places: new WrittenPlaces(),
      time: { clock, timeoutMs, random: options.random ?? Math.random, closing: closing.signal },
      prefix,
      logger,
      newWriteId: () => randomBytes(9).toString('base64url'),
    };
    try {
      // Whether the database answers at all is known by then, too.
      await (fleet === null ? readFleet(store) : claimFleet(store, fleet));
      return new FirestoreRecords(store, closing, options);
    } catch (error) {
      await link.close();
      throw error;
    }
  }

  async commit(session: SessionRecord, turn: TurnRecord): Promise<{ session: SessionRecord; turn: TurnRecord } | null> {
    const isWritten = await replaceAll(this.#store, startCall(this.#store, 'commit'), [
      replacementOf(this.#store, sessionShape, session),
      replacementOf(this.#store, turnShape, turn),
    ]);
    if (!isWritten) return null;
    return {
      session: { ...session, revision: session.revision + 1 },
      turn: { ...turn, revision: turn.revision + 1 },
    };
  }

  /** The fleet that uses them; null where none does yet. */
  fleetFound(): Promise<string | null> {
    return readFleet(this.#store);
  }

  /** Names the lists that need an index which is missing, or still being built. About fifty reads. */
  checkIndexes(): Promise<readonly string[]> {
    return listsWithoutIndex(this);
  }

  /** What is under way is rejected with `store_unavailable` at once; a write among it may have arrived. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#store.link.close();
  }
}

async function openLink(options: FirestoreRecordsOptions): Promise<FirestoreLink> {
  const { clock, database, project, timeoutMs } = options;
  const opening = FirestoreLink.open({
    project,
    database,
    emulatorHost: options.emulatorHost ?? null,
    onOperations: options.onOperations ?? (() => {}),
    onQuery: options.onQuery ?? (() => {}),
  });
  try {
    const link = await within(clock, timeoutMs, opening, null);
    if (link !== null) return link;
  } catch (error) {
    throw firestoreError(error, 'open');
  }
  // It may come yet, and nobody would close it.
  opening.then((link) => link.close()).catch(() => {});
  throw lateFirestore('open');
}
