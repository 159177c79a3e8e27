// POST /api/v1/exec. Waits for the turn, streams it, or leaves it running: as the caller asks.

import { toExecResponse } from '../../api/exec.ts';
import { operations } from '../../api/operations.ts';
import { toTurnSpec } from '../../api/turns.ts';
import { isTerminal } from '../../core/turn.ts';
import type { HttpServer } from '../../http/server.ts';
import { admitTurn, logAccepted } from '../admission.ts';
import { principalOf } from '../auth.ts';
import { awaitTurn } from '../await-turn.ts';
import type { Gear } from '../gateway-parts.ts';
import { registerOperation } from '../register-operation.ts';
import { goneSignal, sendEvents } from '../sse.ts';
import { cancelAbandoned, turnPath } from './turns.ts';

/** One name for HTTP and WebSocket: the same key is the same turn through either. */
export const execRoute = 'POST /api/v1/exec';

export function registerExec(gear: Gear, server: HttpServer): void {
  registerOperation(server.app, gear, operations.exec, async ({ body, idempotencyKey, request, reply }) => {
    const principal = principalOf(request);
    const admitted = await admitTurn(gear, principal, {
      spec: toTurnSpec(body),
      sessionRef: body.session_id ?? null,
      requestId: request.id,
      traceparent: request.traceparent,
      idempotency: idempotencyKey === null ? null : { route: execRoute, key: idempotencyKey },
    });
    logAccepted(gear, admitted, { prompt: body.prompt, requestId: request.id }, 'exec');
    const { turn, beforeSeq, isSteered } = admitted;
    const mayCancel = body.cancel_on_disconnect === true && !isSteered;

    if (body.stream === true) {
      const key = { tenant: turn.tenant, sessionId: turn.sessionId };
      reply.headers({ 'x-session-id': turn.sessionId, 'x-turn-id': turn.id });
      return sendEvents(gear, server, request, reply, {
        key,
        afterSeq: beforeSeq,
        turnId: turn.id,
        endsByItself: true,
        isAccepted: true,
        ...(mayCancel ? { onGone: () => cancelAbandoned(gear, turn) } : {}),
      });
    }

    const waitMs =
      body.background === true ? 0 : Math.min(body.wait_ms ?? gear.limits.maxWaitMs, gear.limits.maxWaitMs);
    const gone = goneSignal(reply);
    const now = await awaitTurn(gear, turn, beforeSeq, waitMs, [gone, server.closing]);
    if (mayCancel && gone.aborted && !server.closing.aborted) cancelAbandoned(gear, now);
    if (!isTerminal(now.status)) reply.code(202).header('location', turnPath(now));
    return toExecResponse(now, gear.clock.now());
  });
}
