// What becomes of the turns of a session that was taken over: one that ran when its owner was lost has no
// process any more and ends as interrupted; those that waited go on waiting, in their order.

import type { Page, PageQuery } from '../contracts/records.ts';
import type { LogKey } from '../contracts/event-log.ts';
import { isTerminalEventType } from '../core/event.ts';
import { ServiceError } from '../core/errors.ts';
import type { TurnId } from '../core/ids.ts';
import type { SessionRecord, SnapshotRef } from '../core/session.ts';
import { isTerminal, type TurnOutcome, type TurnRecord } from '../core/turn.ts';
import { addUsage } from '../core/usage.ts';
import type { ApprovalDesk } from './approval-desk.ts';
import { continuationOf } from './continuation.ts';
import type { HostParts } from './host-parts.ts';
import type { SessionNotices } from './session-notices.ts';
import type { SessionRecorder } from './session-recorder.ts';
import type { SessionSnapshots } from './session-snapshots.ts';
import type { SessionWriter } from './session-writer.ts';
import { answered } from './store-answer.ts';
import { recordEnd, tellEnd } from './turn-end.ts';
import { stopped } from './turn-outcomes.ts';

export type RecoveryParts = {
  readonly parts: HostParts;
  readonly writer: SessionWriter;
  readonly recorder: SessionRecorder;
  readonly notices: SessionNotices;
  readonly snapshots: SessionSnapshots;
  readonly approvals: ApprovalDesk;
  readonly mayNotRecord: () => boolean;
  readonly enqueue: (turn: TurnRecord) => void;
  readonly isInHand: (turnId: TurnId) => boolean;
};

const pageSize = 100;

/** Whoever takes the epoch says so first; then every open turn has an owner or an end. */
export async function recoverSession(recovery: RecoveryParts): Promise<void> {
  const { notices, recorder, writer } = recovery;
  writer.write({ type: 'session.recovering', turnId: null, fields: {}, raw: null });
  await tellUntold(recovery);
  const waiting = await settleOpenTurns(recovery);
  await keepWhatRests(recovery);
  if (recorder.isClosed) throw new ServiceError('stale_epoch');
  writer.write({ type: 'session.recovered', turnId: null, fields: {}, raw: null });
  notices.sessionRecovered();
  for (const turn of waiting) recovery.enqueue(turn);
}

/** Turns that a lost process accepted: one that waits gets its place, one that ran its end. */
export async function adoptOpenTurns(recovery: RecoveryParts): Promise<void> {
  const waiting = await settleOpenTurns(recovery);
  if (recovery.recorder.isClosed) throw new ServiceError('stale_epoch');
  for (const turn of waiting) recovery.enqueue(turn);
}

/** Ends those that ran; answers those that are to wait, in their order. Not those that are in hand here. */
async function settleOpenTurns(recovery: RecoveryParts): Promise<readonly TurnRecord[]> {
  const { isInHand, parts, recorder } = recovery;
  const waiting: TurnRecord[] = [];
  for (const turn of await openTurns(parts, recorder.session)) {
    // Lost meanwhile: the files and the turns are in other hands, which may be this worker's own again.
    if (recorder.isClosed) throw new ServiceError('stale_epoch');
    if (isInHand(turn.id)) continue;
    if (turn.status === 'queued') waiting.push(turn);
    else waiting.unshift(...(await interrupt(recovery, turn)));
  }
  return waiting.filter(({ id }) => !isInHand(id));
}

/** Ends a turn that nobody runs any more. What is to go on with it is recorded first: no crash may lose that. */
async function interrupt(recovery: RecoveryParts, turn: TurnRecord): Promise<readonly TurnRecord[]> {
  const { approvals, mayNotRecord, notices, parts, recorder, snapshots, writer } = recovery;
  await approvals.expireOf(turn.id, 'worker_lost');
  const { finalMessage, usage } = turn;
  const outcome: TurnOutcome = { finalMessage, usage, ...stopped('worker_lost') };
  const next = await continuationOf(parts, turn, recorder.session.policy, 'worker_lost');
  const made = next === null ? null : await answered(parts.clock, parts.records.turns.create(next));
  const ref = await keepWhatIsLeft(recovery, turn.id);
  let isGivenUp = false;
  await recordEnd({
    parts,
    writer,
    recorder,
    notices,
    turn,
    outcome,
    goesOn: made !== null,
    mayNotRecord,
    onGivenUp: () => {
      isGivenUp = true;
    },
    settle: (session, ended) => ({
      ...session,
      snapshot: ref ?? session.snapshot,
      usage: addUsage(session.usage, ended.usage),
    }),
  });
  if (isGivenUp) throw new ServiceError('store_unavailable');
  if (ref !== null) await snapshots.taken(ref);
  return made === null || isTerminal(made.record.status) ? [] : [made.record];
}

/** What the lost turn had done to its files stays, where they are still to be had. */
async function keepWhatIsLeft(
  { parts, recorder, snapshots }: RecoveryParts,
  turnId: TurnId | null,
): Promise<SnapshotRef | null> {
  try {
    await snapshots.makeReady();
    return snapshots.isDirty ? await snapshots.take(turnId, 'thorough') : null;
  } catch (error) {
    parts.logger.warn(
      { event: 'left_files_not_kept', session_id: recorder.session.id, turn_id: turnId, err: error },
      'what a lost worker had left could not be kept',
    );
    return null;
  }
}

/** What a slot held when its worker was lost in between two turns, or what such a turn did not get to. */
async function keepWhatRests(recovery: RecoveryParts): Promise<void> {
  const { parts, recorder, snapshots } = recovery;
  if ((await parts.files.mark(snapshots.key))?.isDirty !== true) return;
  const ref = await keepWhatIsLeft(recovery, null);
  if (ref === null) return;
  await recorder.change((session) => ({ ...session, snapshot: ref }));
  await snapshots.taken(ref);
}

/** Turns whose end was recorded by a process that died before it could tell. */
async function tellUntold(recovery: RecoveryParts): Promise<void> {
  const { notices, parts, recorder, writer } = recovery;
  const { clock, records } = parts;
  const { id, snapshot, tenant, untold } = recorder.session;
  if (untold.length === 0) return;
  // The last turn's terminal event can only lie behind what its own snapshot sealed.
  const isLastOnly = untold.length === 1 && untold[0] === snapshot?.turnId;
  const told = await toldTurns(parts, { tenant, sessionId: id }, isLastOnly ? (snapshot?.lastSeq ?? 0) : 0);
  for (const turnId of untold) {
    const turn = await answered(clock, records.turns.get(tenant, turnId));
    const isKept = writer.keeps(({ header }) => header.turnId === turnId && isTerminalEventType(header.type));
    if (turn === null) recorder.told(turnId);
    // In the log, and perhaps not on its way to those outside.
    else if (told.has(turnId) || isKept) notices.turnEnded(turn);
    else await tellEnd(recovery, turn);
  }
}

async function toldTurns({ clock, log }: HostParts, key: LogKey, afterSeq: number): Promise<Set<TurnId>> {
  const told = new Set<TurnId>();
  for (let after = afterSeq; ; ) {
    const { events } = await answered(clock, log.read(key, after, 1_000));
    for (const { header } of events)
      if (header.turnId !== null && isTerminalEventType(header.type)) told.add(header.turnId);
    const last = events.at(-1);
    if (last === undefined) return told;
    after = last.header.seq;
  }
}

/** Those that go on with another first, as they did before; then the oldest. */
async function openTurns({ clock, records }: HostParts, session: SessionRecord): Promise<TurnRecord[]> {
  const open: TurnRecord[] = [];
  for (let after: string | null = null; ; ) {
    const query: PageQuery = { after, limit: pageSize, order: 'asc' };
    const page: Page<TurnRecord> = await answered(clock, records.turns.listOpenOf(session.tenant, session.id, query));
    open.push(...page.data);
    after = page.data.at(-1)?.id ?? null;
    if (page.hasMore && after !== null) continue;
    const goesOn = ({ continues }: TurnRecord): boolean => continues !== null;
    return [...open.filter(goesOn), ...open.filter((turn) => !goesOn(turn))];
  }
}
