// How a worker comes to write a session: its lease, then the epoch in its record, then the end of its
// log, then its first event and files if it is new. What was taken is given back when a step fails.

import type { Lease } from '../contracts/session-directory.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import { ServiceError } from '../core/errors.ts';
import { isTerminalEventType } from '../core/event.ts';
import type { TurnId, WorkerId } from '../core/ids.ts';
import type { SessionRecord } from '../core/session.ts';
import { seedRollout } from '../protocol/rollout.ts';
import { answered } from './store-answer.ts';
import type { HostParts } from './host-parts.ts';
import type { LeaseKeeper } from './lease-keeper.ts';
import { isOwner } from './ownership.ts';
import { RetainedEvents } from './retained-events.ts';
import { SessionWriter } from './session-writer.ts';

const retainedPageLimit = 1_000;

export type TakeParts = {
  readonly parts: HostParts;
  readonly worker: WorkerId;
  /** This run of the worker. */
  readonly boot: string;
  readonly leases: LeaseKeeper;
  readonly maxPendingEvents: number;
  /** May be called before this resolves, and never before the session is ours. */
  readonly onLost: () => void;
};

export type TakenSession = {
  readonly session: SessionRecord;
  readonly lease: Lease;
  readonly writer: SessionWriter;
  /** Whoever wrote it before did not let it go: there may be turns that nobody runs. */
  readonly isTakeover: boolean;
  /** Who had it before let it go in good order, with turns that wait. */
  readonly hasWaiting: boolean;
};

export async function takeSession(taking: TakeParts, key: SessionKey): Promise<TakenSession> {
  const { boot, leases, onLost, parts, worker } = taking;
  const found = await answered(parts.clock, parts.records.sessions.get(key.tenant, key.sessionId));
  if (found === null || found.erasing === true) throw new ServiceError('session_not_found');
  // Nobody is asked to take what it has: a session with an owner, be it this run, was lost by that owner.
  const isTakeover = found.boot !== null && (found.worker !== null || found.untold.length > 0);
  const hasWaiting = !isTakeover && found.status === 'queued';
  // A log that may have lost what was last written here would let this run give its places out twice.
  const isOtherWriter = isTakeover || found.boot !== boot || parts.mayLogBeLost;
  const hasOtherWriter = found.boot !== null && isOtherWriter;
  const isElsewhere = found.worker !== null && found.worker !== worker;
  if (isElsewhere && (await leases.isForgetful())) throw new ServiceError('stale_epoch', { worker: found.worker });
  const epoch = hasOtherWriter ? found.epoch + 1 : found.epoch;
  const lease: Lease = { tenant: key.tenant, sessionId: key.sessionId, worker, epoch };
  // Before the record: a worker that still holds the session must not be fenced by asking.
  const standing = await leases.claim(lease, onLost);
  if (standing !== null) throw new ServiceError('stale_epoch', { worker: standing.worker });
  try {
    const session = await answered(parts.clock, parts.records.sessions.replace({ ...found, worker, boot, epoch }));
    if (session === null) throw new ServiceError('store_conflict');
    const writer = await openWriter(taking, session);
    const lostEnds = parts.mayLogBeLost ? endsLostWithLog(session, writer) : [];
    if (lostEnds.length === 0) {
      const mustTell = isTakeover || (await goesBackInLog(taking, writer, session));
      return { session, lease, writer, isTakeover: mustTell, hasWaiting };
    }
    const untold = [...session.untold, ...lostEnds];
    return { session: { ...session, untold }, lease, writer, isTakeover: true, hasWaiting };
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

/**
 * Whether clients may have been told of something that is in the log no more, and in no snapshot: what a session hears
 * while it is let go is said behind the seal, that turns wait, too. Who goes back is to hear of it first, as after a
 * takeover; where Redis has lost its data, and nothing of this session, that is a word too many.
 */
async function goesBackInLog(
  { leases, parts }: TakeParts,
  writer: SessionWriter,
  { snapshot }: SessionRecord,
): Promise<boolean> {
  const endsAtSeal = writer.lastSeq > 0 && writer.lastSeq <= (snapshot?.lastSeq ?? 0);
  if (!parts.mayLogBeLost || !endsAtSeal) return false;
  return await leases.isForgetful();
}

/** What is in the log and in no snapshot, whoever wrote it: its end is told behind the seal, turn after turn. */
async function retainedSince(
  { clock, log }: HostParts,
  key: SessionKey,
  { lastSeq, sealedSeq }: { readonly lastSeq: number; readonly sealedSeq: number },
): Promise<RetainedEvents> {
  const retained = new RetainedEvents();
  for (let after = sealedSeq; after < lastSeq; ) {
    const { events } = await answered(clock, log.read(key, after, retainedPageLimit));
    const last = events.at(-1);
    if (last === undefined) break;
    retained.keep(events);
    after = last.header.seq;
  }
  return retained;
}

/**
 * The turns whose end lay behind what the snapshot holds, where the log has it no more: whoever reads the log would
 * wait for it for ever. An end that was told before the snapshot was taken is in it.
 */
function endsLostWithLog(session: SessionRecord, writer: SessionWriter): readonly TurnId[] {
  const { policy, snapshot, unsealed, untold } = session;
  // A record of before ends were noted says so of the last one alone.
  const isOld =
    unsealed === undefined && policy.durability === 'committed' && writer.lastSeq <= (snapshot?.lastSeq ?? 0);
  const last = isOld ? (snapshot?.turnId ?? null) : null;
  const candidates = unsealed ?? (last === null ? [] : [last]);
  const isTold = (turnId: TurnId): boolean =>
    writer.keeps(({ header }) => header.turnId === turnId && isTerminalEventType(header.type));
  return candidates.filter((turnId) => !untold.includes(turnId) && !isTold(turnId));
}

async function openWriter(
  { boot, maxPendingEvents, onLost, parts }: TakeParts,
  session: SessionRecord,
): Promise<SessionWriter> {
  const { clock, codexVersion, files, log, logger, metrics } = parts;
  const key = { tenant: session.tenant, sessionId: session.id };
  const sealedSeq = session.snapshot?.lastSeq ?? 0;
  const opened = await answered(clock, log.open(key, session.epoch, sealedSeq));
  if (opened.outcome === 'stale_epoch') throw new ServiceError('stale_epoch');
  const { lastSeq } = opened;
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
    sealedSeq,
    retained: parts.mayLogBeLost ? await retainedSince(parts, key, { lastSeq, sealedSeq }) : null,
    isStillOurs: () => isOwner(parts, { ...key, epoch: session.epoch, boot }),
    clock,
    logger,
    metrics,
    maxPending: maxPendingEvents,
    onLost,
  });
  if (isNew) writer.write({ type: 'session.created', turnId: null, fields: {}, raw: null });
  return writer;
}
