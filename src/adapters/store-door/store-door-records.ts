// Records through the store door. Reads are repeated within their time; a conditional write whose answer was lost is
// asked again, and where the repeat says that the condition does not hold, what stands there tells whether that is
// so because our own first try had arrived.

import { answers, type StoreCall } from '../../api/store-wire.ts';
import type { CreateResult, Page, PageQuery } from '../../contracts/records.ts';
import type { WorkerRecords } from '../../contracts/worker-records.ts';
import type { ApprovalRecord } from '../../core/approval.ts';
import { ServiceError } from '../../core/errors.ts';
import type { TenantId } from '../../core/ids.ts';
import type { SessionRecord } from '../../core/session.ts';
import type { TurnRecord } from '../../core/turn.ts';
import type { DoorCall } from './door-call.ts';
import { doorError, Unanswered } from './door-errors.ts';
import { hasMark, type Marked, newMark, WriteMarks } from './write-marks.ts';

export type AskDoor = (call: DoorCall, name: StoreCall, asked: object) => Promise<unknown>;
export type StoreDoorRecordsParts = {
  readonly newCall: (operation: string) => DoorCall;
  readonly ask: AskDoor;
};

type Kind = 'sessions' | 'turns' | 'approvals';
type Stored = { readonly tenant: TenantId; readonly id: string; readonly revision: number };

/** Refusals that nothing in the record explains: so many, and it is the store that is wrong. */
const mostUnexplained = 3;

export class StoreDoorRecords implements WorkerRecords {
  readonly sessions: WorkerRecords['sessions'];
  readonly turns: WorkerRecords['turns'];
  readonly approvals: WorkerRecords['approvals'];
  readonly #parts: StoreDoorRecordsParts;
  readonly #sessions: DoorTable<SessionRecord>;
  readonly #turns: DoorTable<TurnRecord>;

  constructor(parts: StoreDoorRecordsParts) {
    this.#parts = parts;
    const sessions = new DoorTable<SessionRecord>('sessions', parts);
    const turns = new DoorTable<TurnRecord>('turns', parts);
    const approvals = new DoorTable<ApprovalRecord>('approvals', parts);
    this.#sessions = sessions;
    this.#turns = turns;
    this.sessions = {
      create: (record) => sessions.create(record),
      get: (tenant, id) => sessions.get(tenant, id),
      replace: (next) => sessions.replace(next),
      erase: async (tenant, id) => {
        await parts.ask(parts.newCall('sessions.erase'), 'sessions.erase', { tenant, id });
      },
    };
    this.turns = {
      create: (record) => turns.create(record),
      get: (tenant, id) => turns.get(tenant, id),
      replace: (next) => turns.replace(next),
      listOpenOf: (tenant, sessionId, query) => turns.page('turns.list-open-of', { tenant, sessionId }, query),
    };
    this.approvals = {
      create: (record) => approvals.create(record),
      get: (tenant, id) => approvals.get(tenant, id),
      replace: (next) => approvals.replace(next),
      list: (tenant, { sessionId, status }, query) => {
        // A worker asks for those of a session of its own; lists of a tenant's are a gateway's.
        if (sessionId === null) throw new ServiceError('internal', {}, { message: 'approvals are listed by session' });
        return approvals.page('approvals.list', { tenant, filter: { sessionId, status } }, query);
      },
    };
  }

  readonly commit: WorkerRecords['commit'] = async (session, turn) => {
    const { ask, newCall } = this.#parts;
    const mark = newMark();
    const call = newCall('commit');
    const asked = { session: this.#sessions.marks.marked(session, mark), turn: this.#turns.marks.marked(turn, mark) };
    for (let unexplained = 0; ; ) {
      const { written } = understood(answers.committed, await ask(call, 'commit', asked), call);
      if (written !== null) {
        return {
          session: this.#sessions.plain(written.session, session, call),
          turn: this.#turns.plain(written.turn, turn, call),
        };
      }
      if (!call.isUnclear) return null;
      const sessionNow = await this.#sessions.read(call, session.tenant, session.id);
      const turnNow = await this.#turns.read(call, turn.tenant, turn.id);
      // Both were written at once, so that one mark speaks for both; the other may be gone by now.
      if (hasMark(sessionNow, mark) || hasMark(turnNow, mark)) {
        return { session: next(session), turn: next(turn) };
      }
      if (sessionNow?.revision !== session.revision || turnNow?.revision !== turn.revision) return null;
      if (++unexplained >= mostUnexplained) throw unexplainedRefusal(call);
    }
  };
}

class DoorTable<T extends Stored> {
  readonly marks = new WriteMarks();
  readonly #kind: Kind;
  readonly #parts: StoreDoorRecordsParts;

  constructor(kind: Kind, parts: StoreDoorRecordsParts) {
    this.#kind = kind;
    this.#parts = parts;
  }

  async get(tenant: TenantId, id: string): Promise<T | null> {
    const call = this.#parts.newCall(`${this.#kind}.get`);
    const record = await this.read(call, tenant, id);
    return record === null ? null : this.marks.unmarked<T>(record);
  }

  /** With its marks. */
  async read(call: DoorCall, tenant: TenantId, id: string): Promise<Marked | null> {
    const answer = await this.#parts.ask(call, `${this.#kind}.get`, { tenant, id });
    const { record } = understood(answers.record, answer, call);
    if (record !== null && (record.tenant !== tenant || record.id !== id)) throw badAnswer(call);
    return record;
  }

  async create(record: T): Promise<CreateResult<T>> {
    const { ask, newCall } = this.#parts;
    const call = newCall(`${this.#kind}.create`);
    const mark = newMark();
    const marked = this.marks.marked(record, mark);
    const answer = await ask(call, `${this.#kind}.create`, { record: marked });
    const created = understood(answers.created, answer, call);
    if (created.outcome === 'exists' && !hasMark(created.record, mark)) {
      return { outcome: 'exists', record: this.marks.unmarked<T>(created.record) };
    }
    // Others may have written on it by now: it was made as it was given.
    this.marks.unmarked(created.record);
    return { outcome: 'created', record };
  }

  async replace(record: T): Promise<T | null> {
    const { ask, newCall } = this.#parts;
    const call = newCall(`${this.#kind}.replace`);
    const mark = newMark();
    const asked = { record: this.marks.marked(record, mark) };
    for (let unexplained = 0; ; ) {
      const answer = await ask(call, `${this.#kind}.replace`, asked);
      const { record: written } = understood(answers.record, answer, call);
      if (written !== null) return this.plain(written, record, call);
      if (!call.isUnclear) return null;
      const standing = await this.read(call, record.tenant, record.id);
      if (hasMark(standing, mark)) return next(record);
      if (standing?.revision !== record.revision) return null;
      if (++unexplained >= mostUnexplained) throw unexplainedRefusal(call);
    }
  }

  /** As the store answered a write of `given`. */
  plain(written: Marked, given: T, call: DoorCall): T {
    const { id, revision, tenant } = written;
    if (id !== given.id || tenant !== given.tenant || revision !== given.revision + 1) throw badAnswer(call);
    return this.marks.unmarked<T>(written);
  }

  /** The door cuts a page of large records; here it is whole again. */
  async page(name: StoreCall, asked: object, { after, limit, order }: PageQuery): Promise<Page<T>> {
    const call = this.#parts.newCall(name);
    const data: T[] = [];
    let from = after;
    for (;;) {
      const query = { after: from, limit: limit - data.length, order };
      const page = understood(answers.page, await this.#parts.ask(call, name, { ...asked, query }), call);
      data.push(...page.data.map((record) => this.marks.unmarked<T>(record)));
      from = page.data.at(-1)?.id ?? null;
      if (!page.hasMore || data.length >= limit) return { data, hasMore: page.hasMore };
      if (from === null) throw badAnswer(call);
    }
  }
}

/** What the store answers to a write that was done. */
function next<T extends Stored>(record: T): T {
  return { ...record, revision: record.revision + 1 };
}

type Schema<T> = { safeParse(value: unknown): { success: true; data: T } | { success: false; error: unknown } };

export function understood<T>(schema: Schema<T>, answer: unknown, call: DoorCall): T {
  const result = schema.safeParse(answer);
  if (result.success) return result.data;
  throw badAnswer(call, result.error);
}

function badAnswer({ operation }: DoorCall, cause?: unknown): ServiceError {
  return doorError(new Unanswered('answered_badly', true, cause), operation);
}

function unexplainedRefusal({ operation }: DoorCall): ServiceError {
  return new ServiceError('store_unavailable', { store: 'door', reason: 'failing', operation });
}
