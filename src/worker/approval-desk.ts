// Where one session's Codex asks and people answer: each question is a stored record before it is an event,
// and Codex is told what the record says. Who decides, and how a turn ends, is decided elsewhere.

import { createHash } from 'node:crypto';
import { toApprovalResource } from '../api/approvals.ts';
import type { AgentNotification, AgentRequest, RequestAnswer } from '../codex/agent-process.ts';
import type { Page } from '../contracts/records.ts';
import type { WorkerRecords } from '../contracts/worker-records.ts';
import { type ApprovalRecord, decidedApproval } from '../core/approval.ts';
import type { Clock } from '../core/clock.ts';
import { mintId, type TurnId } from '../core/ids.ts';
import type { SessionRecord } from '../core/session.ts';
import { pausedTurn, resumedTurn } from '../core/turn.ts';
import type { Logger } from '../observability/logger.ts';
import { answerApproval, type AskedApproval, readApprovalRequest } from '../protocol/approvals.ts';
import type { ServerRequest } from '../protocol/generated/ServerRequest.ts';
import { refusal } from '../protocol/policy.ts';
import { ApprovalPrecedents, type AskingTurn } from './approval-precedents.ts';
import { expire, OpenApproval } from './open-approval.ts';
import type { TurnWaiting } from './pausable-timer.ts';
import { RecentPatches } from './recent-patches.ts';
import { changeTurn } from './record-changes.ts';
import type { SessionNotices } from './session-notices.ts';
import type { SessionWriter } from './session-writer.ts';
import { answered } from './store-answer.ts';

export type ApprovalDeskOptions = {
  readonly records: Pick<WorkerRecords, 'approvals' | 'turns'>;
  readonly writer: Pick<SessionWriter, 'write'>;
  readonly notices: Pick<SessionNotices, 'approval' | 'requiresAction'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly session: () => Pick<SessionRecord, 'tenant' | 'id' | 'policy'>;
  /** The first question is open, or the last one is answered. */
  readonly onWaiting: (isWaiting: boolean) => void;
  /** A person said that the turn must end; called before Codex hears of it. */
  readonly onCancel: (turnId: TurnId) => void;
};

/** More in one turn at one time is a defect of the agent: they are declined. */
const mostOpen = 64;
/** A store that does not answer is asked so often, and so long after; then the question is declined. */
const storeAttempts = 3;
const storeRetryMs = 1_000;
const pageSize = 100;

export class ApprovalDesk implements TurnWaiting {
  readonly #options: ApprovalDeskOptions;
  readonly #precedents: ApprovalPrecedents;
  readonly #patches = new RecentPatches();
  /** Until their end is told: what was given up on the way is settled when the turn ends. */
  readonly #open = new Map<string, { readonly approval: OpenApproval; readonly done: Promise<unknown> }>();
  readonly #listeners = new Set<(isWaiting: boolean) => void>();
  /** Changes of the turn's record, one after the other. */
  #turnWrites: Promise<void> = Promise.resolve();
  #isWaiting = false;
  #endedTurn: TurnId | null = null;
  #isClosed = false;

  constructor(options: ApprovalDeskOptions) {
    this.#options = options;
    this.#precedents = new ApprovalPrecedents(options);
  }

  get isWaiting(): boolean {
    return this.#isWaiting;
  }

  onWaitingChange(listener: (isWaiting: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Everything that the session's Codex says: what it describes before it asks is in there. Never throws. */
  hear(notification: AgentNotification): void {
    if (this.#options.session().policy.approvals !== 'never') this.#patches.hear(notification);
  }

  /**
   * The answer to one request of Codex, once there is one; a refusal at once for what is no approval, what
   * no turn asks, and where nobody is to be asked. Never rejects.
   */
  async ask(request: AgentRequest, signal: AbortSignal, turn: AskingTurn | null): Promise<RequestAnswer> {
    const declined = refusal(request as ServerRequest);
    try {
      const asked = readApprovalRequest(request, (itemId) => this.#patches.get(itemId));
      if (asked === null || turn === null || signal.aborted || !this.#mayAsk(asked, turn)) return declined;
      const decision = (await this.#opened(asked, turn, signal))?.decision ?? null;
      if (decision === null) return declined;
      if (decision === 'cancel') this.#options.onCancel(turn.id);
      return answerApproval(request, decision);
    } catch (error) {
      this.#options.logger.warn(
        { event: 'approval_not_asked', turn_id: turn?.id, err: error },
        'an approval could not be asked for and was declined',
      );
      return declined;
    }
  }

  /** The record of this approval was settled. Harmless for one that nobody waits for. */
  settled(approvalId: string): void {
    this.#open.get(approvalId)?.approval.notify();
  }

  /** The turn is over: what it still asks is settled as expired. Never rejects; free where nothing is open. */
  async turnEnded(turnId: TurnId): Promise<void> {
    this.#endedTurn = turnId;
    const open = [...this.#open.values()].filter(({ approval }) => approval.record.turnId === turnId);
    for (const { approval } of open) approval.abandon();
    await Promise.all(open.map(({ approval, done }) => done.then(() => this.#expireOpen(approval))));
  }

  /** At recovery: nobody waits any more for what a lost process asked in that turn. Rejects with `store_unavailable`. */
  async expireOf(turnId: TurnId, why: 'worker_lost' | 'turn_ended'): Promise<void> {
    const { clock, records, session } = this.#options;
    const { tenant, id: sessionId } = session();
    let after: string | null = null;
    do {
      const query = { after, limit: pageSize, order: 'asc' } as const;
      const page: Page<ApprovalRecord> = await answered(
        clock,
        records.approvals.list(tenant, { sessionId, status: 'pending' }, query),
      );
      for (const approval of page.data) if (approval.turnId === turnId) await this.#expire(approval, why);
      after = page.hasMore ? (page.data.at(-1)?.id ?? null) : null;
    } while (after !== null);
  }

  /** The right to write is gone, or nobody has time: nothing is recorded any more, whoever waits is declined. */
  close(): void {
    this.#isClosed = true;
    for (const { approval } of this.#open.values()) approval.abandon();
  }

  #mayAsk(asked: AskedApproval, turn: AskingTurn): boolean {
    const { logger, session } = this.#options;
    const { id, policy } = session();
    if (asked.threadId !== id || policy.approvals === 'never') return false;
    if (this.#isClosed || this.#endedTurn === turn.id) return false;
    if (this.#open.size < mostOpen) return true;
    logger.warn({ event: 'approvals_overfull', turn_id: turn.id, limit: mostOpen }, 'too many approvals are open');
    return false;
  }

  async #opened(asked: AskedApproval, turn: AskingTurn, signal: AbortSignal): Promise<ApprovalRecord | null> {
    const approval = new OpenApproval(this.#pending(asked, turn), this.#options);
    const abandon = (): void => approval.abandon();
    signal.addEventListener('abort', abandon, { once: true });
    try {
      const settling = this.#settle(approval, turn);
      this.#open.set(approval.record.id, { approval, done: settling.catch(() => undefined) });
      return await settling;
    } finally {
      signal.removeEventListener('abort', abandon);
    }
  }

  /** The settled record, told of; null when the turn ended first, or the store could not say. */
  async #settle(approval: OpenApproval, turn: AskingTurn): Promise<ApprovalRecord | null> {
    const { record } = approval;
    const precedent = await this.#patiently(() => this.#precedents.take(record.fingerprint, turn, record.id));
    const made = precedent === null ? record : decidedApproval(record, precedent, 'stored', record.createdAt);
    if (made === null || approval.isAbandoned) return null;
    const { clock, records } = this.#options;
    await this.#patiently(() => answered(clock, records.approvals.create(made)));
    if (approval.isAbandoned) return null;
    if (made.status !== 'pending') {
      this.#tellEnd(approval, made);
      return made;
    }
    approval.isPending = true;
    const isFirst = !this.#isWaiting;
    await this.#waitingChanged(turn.id);
    this.#tellBegin(made, isFirst);
    const settled = await approval.settled();
    approval.isPending = false;
    await this.#waitingChanged(turn.id);
    if (settled?.decision === 'accept_for_session') this.#precedents.noteAcceptedForSession(settled.fingerprint);
    if (settled !== null) this.#tellEnd(approval, settled);
    return settled;
  }

  #pending(asked: AskedApproval, turn: AskingTurn): ApprovalRecord {
    const { clock, session } = this.#options;
    const { id: sessionId, policy, tenant } = session();
    const id = mintId();
    const createdAt = clock.now();
    // What an acceptance allows depends on these, too. One that is like no other has a hash of its own.
    const text = asked.identity === null ? id : `${policy.approvals} ${policy.sandbox} ${asked.identity}`;
    return {
      tenant,
      id,
      sessionId,
      turnId: turn.id,
      revision: 1,
      status: 'pending',
      subject: asked.subject,
      fingerprint: createHash('sha256').update(text).digest('hex'),
      reason: asked.reason,
      itemId: asked.itemId,
      details: asked.details,
      decision: null,
      decidedBy: null,
      supersededBy: null,
      createdAt,
      expiresAt: createdAt + policy.approvalTimeoutMs,
      resolvedAt: null,
    };
  }

  /** Resolves when the turn's record says so, too, or could not be made to. */
  #waitingChanged(turnId: TurnId): Promise<void> {
    const isWaiting = [...this.#open.values()].some(({ approval }) => approval.isPending);
    if (isWaiting !== this.#isWaiting) {
      this.#isWaiting = isWaiting;
      if (!this.#isClosed) this.#options.onWaiting(isWaiting);
      for (const listener of this.#listeners) listener(isWaiting);
    }
    this.#turnWrites = this.#turnWrites.then(() => this.#writeTurn(turnId));
    return this.#turnWrites;
  }

  async #writeTurn(turnId: TurnId): Promise<void> {
    const { clock, logger, records, session } = this.#options;
    // How an ended turn stands is not ours to say.
    if (this.#isClosed || this.#endedTurn === turnId) return;
    try {
      const turn = await answered(clock, records.turns.get(session().tenant, turnId));
      if (turn !== null) await changeTurn(this.#options, turn, this.#isWaiting ? pausedTurn : resumedTurn);
    } catch (error) {
      logger.warn(
        { event: 'turn_wait_not_recorded', turn_id: turnId, err: error },
        'the record of a turn does not say whether it waits for a person',
      );
    }
  }

  async #expireOpen(approval: OpenApproval): Promise<void> {
    if (approval.isTold || this.#isClosed) return;
    approval.isTold = true;
    this.#open.delete(approval.record.id);
    try {
      await this.#expire(approval.record, 'turn_ended');
    } catch (error) {
      this.#options.logger.warn(
        { event: 'approval_left_pending', approval_id: approval.record.id, err: error },
        'an approval of an ended turn could not be settled; its time will',
      );
    }
  }

  /** By whoever was first. */
  async #expire(approval: ApprovalRecord, why: 'worker_lost' | 'turn_ended'): Promise<void> {
    const { clock, records } = this.#options;
    const expired = await expire(this.#options, approval, why);
    const standing = expired ?? (await answered(clock, records.approvals.get(approval.tenant, approval.id)));
    if (standing !== null) this.#writeEvent('approval.resolved', standing);
  }

  #tellBegin(approval: ApprovalRecord, isFirst: boolean): void {
    this.#writeEvent('approval.requested', approval);
    if (!isFirst) return;
    const fields = { approval_id: approval.id };
    this.#options.writer.write({ type: 'turn.requires_action', turnId: approval.turnId, fields, raw: null });
    this.#options.notices.requiresAction(approval);
  }

  #tellEnd(approval: OpenApproval, settled: ApprovalRecord): void {
    approval.isTold = true;
    this.#open.delete(settled.id);
    this.#writeEvent('approval.resolved', settled);
    const { decidedBy, decision, id, sessionId, status, turnId } = settled;
    this.#options.logger.info(
      {
        event: 'approval_settled',
        session_id: sessionId,
        turn_id: turnId,
        approval_id: id,
        status,
        decision,
        decided_by: decidedBy,
      },
      'approval settled',
    );
  }

  #writeEvent(type: 'approval.requested' | 'approval.resolved', approval: ApprovalRecord): void {
    const fields = { approval: toApprovalResource(approval) };
    this.#options.writer.write({ type, turnId: approval.turnId, fields, raw: null });
    this.#options.notices.approval(type, approval);
  }

  /** `work` has deadlines of its own and may be repeated. */
  async #patiently<T>(work: () => Promise<T>): Promise<T> {
    const { clock } = this.#options;
    for (let attempt = 1; ; attempt++) {
      try {
        return await work();
      } catch (error) {
        if (attempt === storeAttempts || this.#isClosed) throw error;
        await new Promise<void>((resolve) => clock.after(storeRetryMs, resolve));
      }
    }
  }
}
