// How a worker comes to write a session: its lease, then the epoch in its record, then the end of its
// log, then its first event and files if it is new. What was taken is given back when a step fails.

import type { Lease } from '../contracts/session-directory.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import { ServiceError } from '../core/errors.ts';
import type { WorkerId } from '../core/ids.ts';
import type { SessionRecord } from '../core/session.ts';
import { seedRollout } from '../protocol/rollout.ts';
import { answered } from './store-answer.ts';
import type { HostParts } from './host-parts.ts';
import type { LeaseKeeper } from './lease-keeper.ts';
import { SessionWriter } from './session-writer.ts';

export type TakeParts = {
  readonly parts: HostParts;
  readonly worker: WorkerId;
  /** This run of the worker. */
  readonly boot: string;
  readonly leases: LeaseKeeper;
  readonly maxPendingEvents: number;
  /** This worker lost the session before: what it wrote then must be fenced like another's. */
  readonly wasLost: boolean;
  /** May be called before this resolves, and never before the session is ours. */
  readonly onLost: () => void;
};

export type TakenSession = {
  readonly session: SessionRecord;
  readonly lease: Lease;
  readonly writer: SessionWriter;
  /** Whoever wrote it before did not let it go: there may be turns that nobody runs. */
  readonly isTakeover: boolean;
  /** Of who wrote it before. */
  readonly formerEpoch: number;
};

export async function takeSession(taking: TakeParts, key: SessionKey): Promise<TakenSession> {
  const { boot, leases, onLost, parts, worker } = taking;
  const found = await answered(parts.clock, parts.records.sessions.get(key.tenant, key.sessionId));
  if (found === null || found.erasing === true) throw new ServiceError('session_not_found');
  if (found.status === 'failed') throw new ServiceError('session_failed');
  const isSameWriter = found.boot === null || (found.boot === boot && !taking.wasLost);
  const isTakeover = !isSameWriter && (taking.wasLost || found.worker !== null || found.untold.length > 0);
  const epoch = isSameWriter ? found.epoch : found.epoch + 1;
  const lease: Lease = { tenant: key.tenant, sessionId: key.sessionId, worker, epoch };
  // Before the record: a worker that still holds the session must not be fenced by asking.
  const standing = await leases.claim(lease, onLost);
  if (standing !== null) throw new ServiceError('stale_epoch', { worker: standing.worker });
  try {
    const isOurs = isSameWriter && found.boot === boot && found.worker === worker;
    const session = await ownedRecord(taking, { ...found, worker, boot, epoch }, isOurs);
    return { session, lease, writer: await openWriter(taking, session), isTakeover, formerEpoch: found.epoch };
  } catch (error) {
    await leases
      .release(lease)
      .catch((problem: unknown) =>
        parts.logger.warn(
          { event: 'lease_not_released', session_id: key.sessionId, err: problem },
          'a lease could not be released',
        ),
      );
    throw error;
  }
}

async function ownedRecord({ parts }: TakeParts, ours: SessionRecord, isOurs: boolean): Promise<SessionRecord> {
  if (isOurs) return ours;
  const owned = await answered(parts.clock, parts.records.sessions.replace(ours));
  if (owned === null) throw new ServiceError('store_conflict');
  return owned;
}

async function openWriter(
  { maxPendingEvents, onLost, parts }: TakeParts,
  session: SessionRecord,
): Promise<SessionWriter> {
  const { clock, codexVersion, files, log, logger, metrics } = parts;
  const key = { tenant: session.tenant, sessionId: session.id };
  const { lastSeq } = await answered(clock, log.read(key, Number.MAX_SAFE_INTEGER, 1));
  const isNew = lastSeq === 0;
  if (isNew) {
    const seed = seedRollout({
      sessionId: session.id,
      createdAtMs: session.createdAt,
      codexVersion,
      modelProvider: 'fleet',
    });
    await files.create(key, { relativePath: seed.relativePath, content: seed.line }, session.epoch);
  }
  const writer = new SessionWriter({
    log,
    key,
    epoch: session.epoch,
    lastSeq,
    clock,
    logger,
    metrics,
    maxPending: maxPendingEvents,
    onLost,
  });
  if (isNew) writer.write({ type: 'session.created', turnId: null, fields: {}, raw: null });
  return writer;
}
