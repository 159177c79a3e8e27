// A session whose Codex asks, with stores, a clock and a person: for tests of the desk at which it is answered.

import assert from 'node:assert/strict';
import { MemoryRecords } from '../adapters/memory/memory-records.ts';
import type { AgentRequest, RequestAnswer } from '../codex/agent-process.ts';
import { type ApprovalDecision, type ApprovalRecord, decidedApproval } from '../core/approval.ts';
import type { EventDraft } from '../core/event.ts';
import type { SessionRecord } from '../core/session.ts';
import type { TurnRecord } from '../core/turn.ts';
import { createSilentLogger } from '../observability/logger.ts';
import { ApprovalDesk } from '../worker/approval-desk.ts';
import type { AskingTurn } from '../worker/approval-precedents.ts';
import { FakeClock } from './fake-clock.ts';
import { sessionRecord, turnRecord } from './stored-records.ts';

export const { id: askingSession } = sessionRecord();
/** Three turns that run. */
export const askingTurns = ['a1', 'a2', 'a3'].map((end) => `019f0000-0000-7000-8000-0000000000${end}`);
export const nobody: AbortSignal = new AbortController().signal;
export const declined: RequestAnswer = { result: { decision: 'decline' } };
const { policy, tenant } = sessionRecord();
const [first = ''] = askingTurns;

export function commandRequest(command: string, changes: Readonly<Record<string, unknown>> = {}): AgentRequest {
  const params = { kind: 'command', threadId: askingSession, turnId: 'codex', itemId: 'c1', command, cwd: '/s/ws' };
  return { id: 0, method: 'item/commandExecution/requestApproval', params: { ...params, ...changes } };
}

/** A session whose turns exist, and a desk for it; `reopen` is the desk of whoever comes after a crash. */
export class ApprovalOffice {
  readonly clock = new FakeClock();
  readonly stored = new MemoryRecords();
  readonly events: EventDraft[] = [];
  readonly waits: boolean[] = [];
  readonly cancelled: string[] = [];
  /** What was said to those outside. */
  readonly notices: string[] = [];
  session: SessionRecord = sessionRecord({ policy: { ...policy, approvals: 'untrusted' } });
  desk = this.reopen();

  static async open(): Promise<ApprovalOffice> {
    const office = new ApprovalOffice();
    await office.stored.sessions.create(office.session);
    for (const id of askingTurns) await office.stored.turns.create(turnRecord({ id, status: 'running' }));
    return office;
  }

  reopen(): ApprovalDesk {
    this.desk = new ApprovalDesk({
      records: this.stored,
      writer: { write: (draft) => String(this.events.push(draft)) },
      notices: {
        approval: (type, { id }) => this.notices.push(`${type} ${id}`),
        requiresAction: ({ id }) => this.notices.push(`turn.requires_action ${id}`),
      },
      clock: this.clock,
      logger: createSilentLogger(),
      session: () => this.session,
      onWaiting: (isWaiting) => this.waits.push(isWaiting),
      onCancel: (turnId) => this.cancelled.push(turnId),
    });
    return this.desk;
  }

  /** Asked, and given the time to be stored and told. */
  async ask(
    request: AgentRequest,
    turn: AskingTurn = { id: first, continues: null },
    signal: AbortSignal = nobody,
  ): Promise<{ readonly answer: Promise<RequestAnswer>; readonly id: string }> {
    const answer = this.desk.ask(request, signal, turn);
    await this.clock.advanceAsync(0);
    return { answer, id: (await this.all()).at(-1)?.id ?? '' };
  }

  async all(): Promise<readonly ApprovalRecord[]> {
    const filter = { sessionId: askingSession, status: null };
    return (await this.stored.approvals.list(tenant, filter, { after: null, limit: 100, order: 'asc' })).data;
  }

  async approval(id: string): Promise<ApprovalRecord> {
    const approval = await this.stored.approvals.get(tenant, id);
    assert.ok(approval !== null);
    return approval;
  }

  async turn(id = first): Promise<TurnRecord> {
    const turn = await this.stored.turns.get(tenant, id);
    assert.ok(turn !== null);
    return turn;
  }

  /** As a gateway does: the record first. Word of it is another matter. */
  async decide(id: string, decision: ApprovalDecision): Promise<boolean> {
    const next = decidedApproval(await this.approval(id), decision, 'ann', this.clock.now());
    return next !== null && (await this.stored.approvals.replace(next)) !== null;
  }

  async decideAndTell(id: string, decision: ApprovalDecision): Promise<void> {
    assert.ok(await this.decide(id, decision));
    this.desk.settled(id);
    await this.clock.advanceAsync(0);
  }

  types(): string[] {
    return this.events.map(({ type }) => type);
  }

  /** What each approval came to: how it stands, by whom, in the order asked. */
  async outcomes(): Promise<(string | null)[][]> {
    return (await this.all()).map(({ decidedBy, decision, status }) => [status, decision, decidedBy]);
  }
}
