// What was decided before and still holds (design D7): acceptances for the session, and under a
// continuation the answers that the interrupted turn got. Reads records and supersedes them; asks nobody.

import type { Page } from '../contracts/records.ts';
import type { WorkerRecords } from '../contracts/worker-records.ts';
import type { ApprovalRecord } from '../core/approval.ts';
import { supersededApproval } from '../core/approval.ts';
import type { Clock } from '../core/clock.ts';
import type { TurnId } from '../core/ids.ts';
import type { SessionRecord } from '../core/session.ts';
import { changeApproval } from './record-changes.ts';
import { answered } from './store-answer.ts';

export type AskingTurn = {
  readonly id: TurnId;
  /** The interrupted turn that it goes on with; null for any other. */
  readonly continues: TurnId | null;
};

type Precedent = 'accept' | 'accept_for_session';

type Options = {
  readonly records: Pick<WorkerRecords, 'approvals' | 'turns'>;
  readonly clock: Clock;
  readonly session: () => Pick<SessionRecord, 'tenant' | 'id'>;
};

const pageSize = 100;
/** The latest approvals of a session that are looked at: what was accepted before them is asked again. */
const mostLookedAt = 1_000;
/** Interruptions in a row that a continuation looks back over. */
const mostInterruptions = 8;
/** Answers of interrupted turns that a continuation may meet again. */
const mostLeft = 64;

export class ApprovalPrecedents {
  readonly #options: Options;
  #ofSession: Promise<Set<string>> | null = null;
  #ofTurn: { readonly turnId: TurnId; readonly left: Promise<ApprovalRecord[]> } | null = null;

  constructor(options: Options) {
    this.#options = options;
  }

  /**
   * What applies to a request of that fingerprint, which approval `id` is made for; null: it must be asked.
   * An acceptance of an interrupted turn is used up by it, and all of them are by a request like none of
   * them: from there on the continuation goes its own way. Rejects with `store_unavailable`; may be repeated.
   */
  async take(fingerprint: string, turn: AskingTurn, id: string): Promise<Precedent | null> {
    if ((await this.#acceptedForSession()).has(fingerprint)) return 'accept_for_session';
    if (turn.continues === null) return null;
    const left = await this.#leftOf(turn);
    const same = left.filter((approval) => approval.fingerprint === fingerprint);
    for (const approval of same.filter(({ status }) => status === 'decided')) {
      const isMine = await this.#supersede(approval, id);
      remove(left, approval);
      if (isMine) return 'accept';
    }
    for (const approval of same.length > 0 ? same : [...left]) {
      await this.#supersede(approval, id);
      remove(left, approval);
    }
    return null;
  }

  /** A person accepted it for the session: the next one like it need not be asked. */
  noteAcceptedForSession(fingerprint: string): void {
    void this.#ofSession?.then((known) => known.add(fingerprint)).catch(() => undefined);
  }

  #acceptedForSession(): Promise<Set<string>> {
    this.#ofSession ??= this.#readAccepted().catch((error: unknown) => {
      this.#ofSession = null;
      throw error;
    });
    return this.#ofSession;
  }

  async #readAccepted(): Promise<Set<string>> {
    const accepted = new Set<string>();
    for await (const { decision, fingerprint } of this.#latest('decided'))
      if (decision === 'accept_for_session') accepted.add(fingerprint);
    return accepted;
  }

  #leftOf(turn: AskingTurn): Promise<ApprovalRecord[]> {
    if (this.#ofTurn?.turnId === turn.id) return this.#ofTurn.left;
    const left = this.#readLeft(turn).catch((error: unknown) => {
      this.#ofTurn = null;
      throw error;
    });
    this.#ofTurn = { turnId: turn.id, left };
    return left;
  }

  async #readLeft(turn: AskingTurn): Promise<ApprovalRecord[]> {
    const interrupted = await this.#interruptedTurns(turn);
    const left: ApprovalRecord[] = [];
    for await (const approval of this.#latest(null)) {
      if (interrupted.has(approval.turnId) && isUnfinished(approval)) left.push(approval);
      if (left.length === mostLeft) break;
    }
    return left;
  }

  async #interruptedTurns(turn: AskingTurn): Promise<Set<TurnId>> {
    const { clock, records, session } = this.#options;
    const interrupted = new Set<TurnId>();
    let before = turn.continues;
    while (before !== null && interrupted.size < mostInterruptions) {
      interrupted.add(before);
      before = (await answered(clock, records.turns.get(session().tenant, before)))?.continues ?? null;
    }
    return interrupted;
  }

  async *#latest(status: 'decided' | null): AsyncGenerator<ApprovalRecord> {
    const { clock, records, session } = this.#options;
    const { tenant, id: sessionId } = session();
    let after: string | null = null;
    for (let looked = 0; looked < mostLookedAt; looked += pageSize) {
      const query = { after, limit: pageSize, order: 'desc' } as const;
      const page: Page<ApprovalRecord> = await answered(
        clock,
        records.approvals.list(tenant, { sessionId, status }, query),
      );
      yield* page.data;
      after = page.data.at(-1)?.id ?? null;
      if (!page.hasMore || after === null) return;
    }
  }

  /** Whether approval `by` took its place, now or in an attempt before. */
  async #supersede(approval: ApprovalRecord, by: string): Promise<boolean> {
    const { clock } = this.#options;
    let isDone = false;
    const superseded = await changeApproval(this.#options, approval, (standing) => {
      isDone = standing.supersededBy === by;
      return supersededApproval(standing, by, clock.now());
    });
    return isDone || superseded !== null;
  }
}

/** Accepted, or given up by nobody but the process that asked. */
function isUnfinished({ decidedBy, decision, status }: ApprovalRecord): boolean {
  return status === 'decided' ? decision === 'accept' : status === 'expired' && decidedBy !== 'timeout';
}

function remove(left: ApprovalRecord[], approval: ApprovalRecord): void {
  const at = left.indexOf(approval);
  if (at >= 0) left.splice(at, 1);
}
