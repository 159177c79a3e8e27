// A prompt given to the worker itself, without a gateway: a session for this one turn, gone after it.

import type { EventLog } from '../contracts/event-log.ts';
import type { WorkerRecords } from '../contracts/worker-records.ts';
import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import { mintId, type TenantId } from '../core/ids.ts';
import { defaultPolicy, type SessionRecord, unusedSession } from '../core/session.ts';
import { newTurn, type TurnRecord } from '../core/turn.ts';
import { noUsage } from '../core/usage.ts';
import type { Worker } from './worker.ts';

export type ExecuteParts = {
  readonly worker: Worker;
  readonly records: WorkerRecords;
  readonly log: EventLog;
  readonly clock: Clock;
  readonly queueTimeoutMs: number;
};

export type Execution = {
  readonly tenant: TenantId;
  readonly createdBy: string;
  readonly prompt: string;
  readonly timeoutMs: number;
};

/** The turn as it ended. Rejects only when it never was one: `queue_full`, `draining`, a store that does not answer. */
export async function execute(parts: ExecuteParts, execution: Execution): Promise<TurnRecord> {
  const nowMs = parts.clock.now();
  const session = oneTurnSession(execution, nowMs);
  const turn = firstTurn(parts, execution, session, nowMs);
  const key = { tenant: execution.tenant, sessionId: session.id, turnId: turn.id };
  await parts.records.sessions.create(session);
  try {
    await parts.records.turns.create(turn);
    await parts.worker.startTurn(key);
    const ended = (await parts.worker.turnEnded(key)) ?? (await parts.records.turns.get(execution.tenant, turn.id));
    if (ended === null) throw new ServiceError('internal');
    return ended;
  } finally {
    await parts.worker.eraseSession(key);
    await parts.log.erase(key);
    await parts.records.sessions.erase(execution.tenant, session.id);
  }
}

function oneTurnSession(execution: Execution, nowMs: number): SessionRecord {
  return {
    tenant: execution.tenant,
    id: mintId(),
    alias: null,
    ...unusedSession,
    revision: 1,
    status: 'idle',
    title: null,
    metadata: {},
    createdBy: execution.createdBy,
    model: null,
    policy: defaultPolicy,
    usage: noUsage,
    createdAt: nowMs,
    lastAccessedAt: nowMs,
  };
}

function firstTurn(parts: ExecuteParts, execution: Execution, session: SessionRecord, nowMs: number): TurnRecord {
  return {
    tenant: session.tenant,
    id: mintId(),
    sessionId: session.id,
    ...newTurn,
    prompt: execution.prompt,
    model: null,
    effort: null,
    outputSchema: null,
    timeoutMs: execution.timeoutMs,
    queueTimeoutMs: parts.queueTimeoutMs,
    requestHash: null,
    createdAt: nowMs,
  };
}
