// /api/v1/sessions/{id}/turns: start, list, look at, steer, cancel.

import { toList } from '../../api/list.ts';
import { operations } from '../../api/operations.ts';
import { assertPromptFits } from '../../api/text.ts';
import { toTurnResource, toTurnSpec } from '../../api/turns.ts';
import { isServiceError, ServiceError } from '../../core/errors.ts';
import { mintId, type TenantId, type TurnId } from '../../core/ids.ts';
import { isTerminal, type TurnRecord } from '../../core/turn.ts';
import type { HttpServer } from '../../http/server.ts';
import { admitTurn, logAccepted } from '../admission.ts';
import { askWorker } from '../ask-worker.ts';
import { principalOf } from '../auth.ts';
import type { Gear } from '../gateway-parts.ts';
import { derivedId } from '../idempotency.ts';
import { registerOperation } from '../register-operation.ts';
import { requireSession } from '../session-door.ts';
import { steerTurn } from '../steer.ts';
import { readTurnPage } from '../turn-pages.ts';

export function turnPath(turn: TurnRecord): string {
  return `/api/v1/sessions/${turn.sessionId}/turns/${turn.id}`;
}

export function registerTurns(gear: Gear, { app }: HttpServer): void {
  registerOperation(app, gear, operations.startTurn, async ({ params, body, idempotencyKey, request, reply }) => {
    const principal = principalOf(request);
    const session = await requireSession(gear, principal.tenant, params.session_id);
    const admitted = await admitTurn(gear, principal, {
      spec: toTurnSpec(body),
      sessionRef: session.id,
      requestId: request.id,
      traceparent: request.traceparent,
      idempotency:
        idempotencyKey === null ? null : { route: `POST /api/v1/sessions/${session.id}/turns`, key: idempotencyKey },
    });
    logAccepted(gear, admitted, { prompt: body.prompt, requestId: request.id }, 'turns');
    const { turn } = admitted;
    reply.code(202).header('location', turnPath(turn));
    return toTurnResource(turn, gear.clock.now());
  });

  registerOperation(app, gear, operations.listTurns, async ({ params, query, request }) => {
    const { tenant, id } = await requireSession(gear, principalOf(request).tenant, params.session_id);
    const { after = null, limit, order, status = null } = query;
    const key = { tenant, sessionId: id };
    const { data, hasMore, lastId } = await readTurnPage(gear.records, key, { after, limit, order }, status);
    const turns = data.map((turn) => toTurnResource(turn, gear.clock.now()));
    return { ...toList(turns, hasMore), last_id: lastId };
  });

  registerOperation(app, gear, operations.getTurn, async ({ params, request }) =>
    toTurnResource(
      await requireTurn(gear, principalOf(request).tenant, params.session_id, params.turn_id),
      gear.clock.now(),
    ),
  );

  registerOperation(app, gear, operations.steerTurn, async ({ params, body, idempotencyKey, request, reply }) => {
    const { tenant } = principalOf(request);
    if (gear.draining.aborted) throw new ServiceError('draining');
    assertPromptFits(body.prompt, gear.limits.maxPromptCodePoints);
    const turn = await requireTurn(gear, tenant, params.session_id, params.turn_id);
    const scope =
      idempotencyKey === null ? null : { tenant, route: `POST ${turnPath(turn)}/steer`, key: idempotencyKey };
    const id = scope === null ? mintId() : derivedId(gear.idempotencySecret, 'steer', scope);
    const steered = await steerTurn(gear, turn, { prompt: body.prompt, id, isKeyed: scope !== null });
    logAccepted(gear, { turn: steered, isSteered: true }, { prompt: body.prompt, requestId: request.id }, 'turns');
    reply.code(202).header('location', turnPath(steered));
    return toTurnResource(steered, gear.clock.now());
  });

  registerOperation(app, gear, operations.cancelTurn, async ({ params, request }) => {
    const { tenant } = principalOf(request);
    await cancelTurn(gear, await requireTurn(gear, tenant, params.session_id, params.turn_id));
    return toTurnResource(await requireTurn(gear, tenant, params.session_id, params.turn_id), gear.clock.now());
  });
}

export async function requireTurn(
  gear: Gear,
  tenant: TenantId,
  sessionRef: string,
  turnId: TurnId,
): Promise<TurnRecord> {
  const session = await requireSession(gear, tenant, sessionRef);
  const turn = await gear.records.turns.get(tenant, turnId);
  if (turn === null || turn.sessionId !== session.id) throw new ServiceError('turn_not_found', { turn_id: turnId });
  return turn;
}

export async function cancelTurn(gear: Gear, turn: TurnRecord): Promise<void> {
  const key = { tenant: turn.tenant, sessionId: turn.sessionId, turnId: turn.id };
  await askWorker(gear, gear.worker.cancelTurn(key), {
    code: 'worker_lost',
    message: 'The worker did not say in time that the turn has ended.',
  });
}

/** Nobody waits for it any more, as its client wanted to be understood. Whether it ends is told to the log alone. */
export function cancelAbandoned(gear: Gear, turn: TurnRecord): void {
  if (isTerminal(turn.status)) return;
  const facts = { session_id: turn.sessionId, turn_id: turn.id };
  cancelTurn(gear, turn).then(
    () => gear.logger.info({ event: 'turn_abandoned', ...facts }, 'Turn cancelled: its client has gone'),
    (error: unknown) => {
      if (isServiceError(error, 'turn_ended')) return;
      gear.logger.warn({ event: 'turn_not_cancelled', ...facts, err: error }, 'An abandoned turn was not cancelled');
    },
  );
}
