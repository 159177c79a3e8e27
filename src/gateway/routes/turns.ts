// /api/v1/sessions/{id}/turns: start, list, look at, cancel.

import { toList } from '../../api/list.ts';
import { operations } from '../../api/operations.ts';
import { toTurnResource, toTurnSpec } from '../../api/turns.ts';
import { within } from '../../core/deadline.ts';
import { ServiceError } from '../../core/errors.ts';
import type { TenantId, TurnId } from '../../core/ids.ts';
import type { TurnRecord } from '../../core/turn.ts';
import type { HttpServer } from '../../http/server.ts';
import { admitTurn, logAccepted } from '../admission.ts';
import { principalOf } from '../auth.ts';
import type { Gear } from '../gateway-parts.ts';
import { fittingPage } from '../page-size.ts';
import { registerOperation } from '../register-operation.ts';
import { requireSession } from '../session-door.ts';

export function turnPath(turn: TurnRecord): string {
  return `/api/v1/sessions/${turn.sessionId}/turns/${turn.id}`;
}

export function registerTurns(gear: Gear, { app }: HttpServer): void {
  registerOperation(app, gear, operations.startTurn, async ({ params, body, idempotencyKey, request, reply }) => {
    const principal = principalOf(request);
    const session = await requireSession(gear, principal.tenant, params.session_id);
    const { turn } = await admitTurn(gear, principal, {
      spec: toTurnSpec(body),
      sessionRef: session.id,
      requestId: request.id,
      idempotency:
        idempotencyKey === null ? null : { route: `POST /api/v1/sessions/${session.id}/turns`, key: idempotencyKey },
    });
    logAccepted(gear, turn, request.id, 'turns');
    reply.code(202).header('location', turnPath(turn));
    return toTurnResource(turn, gear.clock.now());
  });

  registerOperation(app, gear, operations.listTurns, async ({ params, query, request }) => {
    const { tenant, id } = await requireSession(gear, principalOf(request).tenant, params.session_id);
    const { after = null, limit, order } = query;
    const page = await gear.records.turns.list(tenant, id, { after, limit, order });
    const turns = fittingPage(page.data, (turn) => turn.prompt.length + turn.finalMessage.length);
    return toList(
      turns.map((turn) => toTurnResource(turn, gear.clock.now())),
      page.hasMore || turns.length < page.data.length,
    );
  });

  registerOperation(app, gear, operations.getTurn, async ({ params, request }) =>
    toTurnResource(
      await requireTurn(gear, principalOf(request).tenant, params.session_id, params.turn_id),
      gear.clock.now(),
    ),
  );

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
  const ended = await within(
    gear.clock,
    gear.limits.workerDeadlineMs,
    gear.worker.cancelTurn(key).then(() => 'ended'),
    'late',
  );
  if (ended === 'late')
    throw new ServiceError('worker_lost', {}, { message: 'The worker did not say in time that the turn has ended.' });
}
