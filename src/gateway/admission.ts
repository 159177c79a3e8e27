// From a request to a turn that a worker has: finds or makes the session, makes the records durable,
// recognises repeats, hands over. What the caller sees of the turn afterwards comes from the log.

import { assertPromptFits } from '../api/text.ts';
import { chosenMs, type TurnSpec } from '../api/turns.ts';
import { isServiceError, ServiceError, type ErrorCode } from '../core/errors.ts';
import { mintId } from '../core/ids.ts';
import type { SessionRecord } from '../core/session.ts';
import { newTurn, type TurnRecord } from '../core/turn.ts';
import type { Principal } from '../http/bearer.ts';
import { dispatchTurn, wasRefused } from './dispatch.ts';
import type { Gear } from './gateway-parts.ts';
import { derivedId, type IdempotencyScope, requestHash } from './idempotency.ts';
import { endOfLog, placeBeforeTurn } from './log-places.ts';
import { findOrMakeSession } from './session-door.ts';
import { steerSession } from './steer.ts';
import { withdrawTurn } from './withdraw-turn.ts';

/** With these a worker says that it has not even looked at the session. */
const untouchedCodes: readonly ErrorCode[] = [
  'queue_full',
  'draining',
  'worker_reserved',
  'no_worker_ready',
  'worker_unreachable',
];

export type TurnRequest = {
  readonly spec: TurnSpec;
  /** As the client named it; null for a new session. */
  readonly sessionRef: string | null;
  /** Kept with the turn, so that its log lines can be found. */
  readonly requestId: string;
  /** Of the request, where it is traced. */
  readonly traceparent: string | null;
  /** The route scopes the key: the same key elsewhere is another. */
  readonly idempotency: { readonly route: string; readonly key: string } | null;
};

type TurnDraft = Omit<TurnRecord, 'sessionId'>;

export type Admitted = {
  readonly session: SessionRecord;
  readonly turn: TurnRecord;
  /** A place in the log before the turn's first event. */
  readonly beforeSeq: number;
  /** The turn is another request's: it was given the prompt while it ran. */
  readonly isSteered: boolean;
};

export async function admitTurn(gear: Gear, principal: Principal, request: TurnRequest): Promise<Admitted> {
  if (gear.draining.aborted) throw new ServiceError('draining');
  if (gear.isStorageLow()) throw new ServiceError('storage_full');
  const draft = draftTurn(gear, principal, request);
  await assertRate(gear, draft);
  const admit = (): Promise<Admitted> => admitDraft(gear, principal, request, draft);
  // Whether a prompt was given or queued is two questions to two records: repeats ask one after the other.
  const isOrdered = request.idempotency !== null && request.spec.onBusy === 'steer';
  return isOrdered ? gear.keyOrder.run(draft.id, admit) : admit();
}

async function admitDraft(gear: Gear, principal: Principal, request: TurnRequest, draft: TurnDraft): Promise<Admitted> {
  const { spec, sessionRef } = request;
  const askedAtMs = gear.clock.monotonicMs();
  const scope = scopeOf(principal, request);
  const idIfNew = scope === null ? mintId() : derivedId(gear.idempotencySecret, 'session', scope);
  const { session, isNew: isNewSession } = await findOrMakeSession(gear, principal, sessionRef, idIfNew);
  const key = { tenant: session.tenant, sessionId: session.id };

  if (spec.onBusy === 'steer' && !isNewSession) {
    const wasQueued = scope !== null && (await gear.records.turns.get(draft.tenant, draft.id)) !== null;
    const steerId = scope === null ? mintId() : derivedId(gear.idempotencySecret, 'steer', scope);
    const steer = { prompt: spec.prompt, id: steerId, isKeyed: scope !== null };
    const turn = wasQueued ? null : await steerSession(gear, key, steer);
    if (turn !== null)
      return { session, turn, beforeSeq: await placeBeforeTurn(gear.log, key, turn.id), isSteered: true };
  }

  // First: a log that is away refuses the request, and leaves no record behind that somebody would run later.
  const end = isNewSession ? 0 : await endOfLog(gear.log, key);
  const { turn, isNew } = await recordTurn(gear, { ...draft, sessionId: session.id }).catch((error: unknown) => {
    // With a key the same request finds it, and it is the same turn.
    if (scope === null && isServiceError(error, 'store_unavailable')) void withdrawTurn(gear, draft, error);
    throw error;
  });
  const beforeSeq = isNew ? end : await placeBeforeTurn(gear.log, key, turn.id);

  if (turn.status === 'queued') {
    try {
      await dispatchTurn(gear, turn, isNew, { onlyIfIdle: spec.onBusy === 'reject' });
      const overheadMs = gear.clock.monotonicMs() - askedAtMs;
      gear.metrics.gatewayOverheadSeconds.observe({ part: 'handover' }, overheadMs / 1000);
    } catch (error) {
      if (isNew && scope === null) await forgetRefused(gear, turn, error, isNewSession && sessionRef === null);
      throw error;
    }
  }
  return { session, turn, beforeSeq, isSteered: false };
}

/** Before anything is made. Who repeats a request asks for no turn of its own: it is shown the one that it has. */
async function assertRate({ records, turnRate }: Gear, { id, requestHash, tenant }: TurnDraft): Promise<void> {
  if (!turnRate.isLimited) return;
  const made = requestHash === null ? null : await records.turns.get(tenant, id);
  if (made === null || wasRefused(made)) await turnRate.assertWithin(tenant);
}

function scopeOf({ tenant }: Principal, { idempotency }: TurnRequest): IdempotencyScope | null {
  return idempotency === null ? null : { tenant, ...idempotency };
}

/** The one line that says a prompt came in: how long it is, and what it says only where the operator wants that. */
export function logAccepted(
  gear: Gear,
  { isSteered, turn }: Pick<Admitted, 'isSteered' | 'turn'>,
  { prompt, requestId }: { readonly prompt: string; readonly requestId: string },
  door: 'exec' | 'turns',
): void {
  const isExec = door === 'exec';
  gear.logger.info(
    {
      event: isSteered ? 'turn_steered' : isExec ? 'exec_accepted' : 'turn_accepted',
      request_id: requestId,
      session_id: turn.sessionId,
      turn_id: turn.id,
      prompt_length: prompt.length,
      ...(gear.logPrompts ? { prompt } : {}),
      tenant: turn.tenant,
    },
    isSteered ? 'Turn steered' : isExec ? 'Processing execution request' : 'Turn accepted',
  );
}

/** Nobody was told of what was made for a request that is refused: kept, a flood of them would fill the store. */
async function forgetRefused(gear: Gear, turn: TurnRecord, error: unknown, isSessionUnknown: boolean): Promise<void> {
  const wasUntouched = untouchedCodes.some((code) => isServiceError(error, code));
  if (isSessionUnknown && wasUntouched) await gear.records.sessions.erase(turn.tenant, turn.sessionId);
  else await gear.records.turns.erase(turn.tenant, turn.id);
}

function draftTurn(gear: Gear, principal: Principal, request: TurnRequest): TurnDraft {
  const { spec, sessionRef } = request;
  const { limits } = gear;
  assertPromptFits(spec.prompt, limits.maxPromptCodePoints);
  const scope = scopeOf(principal, request);
  const { effort, model, outputSchema, prompt } = spec;
  const asked = [prompt, sessionRef, spec.timeoutMs, spec.queueTimeoutMs, model, effort, outputSchema, spec.onBusy];
  return {
    tenant: principal.tenant,
    id: scope === null ? mintId() : derivedId(gear.idempotencySecret, 'turn', scope),
    ...newTurn,
    prompt,
    model,
    effort,
    outputSchema,
    timeoutMs: chosenMs('timeout_ms', spec.timeoutMs, limits.defaultTimeoutMs, limits.maxTimeoutMs),
    queueTimeoutMs: chosenMs(
      'queue_timeout_ms',
      spec.queueTimeoutMs,
      limits.defaultQueueTimeoutMs,
      limits.maxQueueTimeoutMs,
    ),
    requestHash: scope === null ? null : requestHash(asked),
    createdAt: gear.clock.now(),
    requestId: request.requestId,
    ...(request.traceparent === null ? {} : { traceparent: request.traceparent }),
  };
}

/** The record is durable when this resolves. A repeat finds the one that was made; another request under its key is refused. */
async function recordTurn(gear: Gear, draft: TurnRecord): Promise<{ turn: TurnRecord; isNew: boolean }> {
  const made = await gear.records.turns.create(draft);
  if (made.outcome === 'created') return { turn: made.record, isNew: true };
  if (draft.requestHash === null) throw new ServiceError('internal', {}, { message: 'a fresh turn id was taken' });
  if (made.record.requestHash !== draft.requestHash) throw new ServiceError('idempotency_key_reused');
  if (!wasRefused(made.record)) return { turn: made.record, isNew: false };

  // Nothing was taken the first time, and the client does as it was told: it tries again.
  const retried = await gear.records.turns.replace({ ...draft, revision: made.record.revision });
  if (retried !== null) return { turn: retried, isNew: true };
  const current = await gear.records.turns.get(draft.tenant, draft.id);
  return { turn: current ?? made.record, isNew: false };
}
