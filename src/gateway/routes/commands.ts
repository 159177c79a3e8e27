// POST /api/v1/sessions/{id}/commands: the one-off command.

import { toCommandSpec, type CommandResponse } from '../../api/commands.ts';
import { operations } from '../../api/operations.ts';
import { within } from '../../core/deadline.ts';
import { ServiceError } from '../../core/errors.ts';
import type { HttpServer } from '../../http/server.ts';
import { principalOf } from '../auth.ts';
import type { Gear } from '../gateway-parts.ts';
import { registerOperation } from '../register-operation.ts';
import { requireSession } from '../session-door.ts';

export function registerCommands(gear: Gear, { app }: HttpServer): void {
  registerOperation(app, gear, operations.runCommand, async ({ params, body, request }): Promise<CommandResponse> => {
    const { tenant, id } = await requireSession(gear, principalOf(request).tenant, params.session_id);
    const { command, timeoutMs } = toCommandSpec(body);
    const run = gear.worker.runCommand({ key: { tenant, sessionId: id }, command, timeoutMs });
    // The worker keeps the time; this is for a worker that does not.
    const result = await within(gear.clock, timeoutMs + gear.limits.workerDeadlineMs, run, null);
    if (result === null) throw new ServiceError('worker_lost');
    return {
      session_id: id,
      exit_code: result.exitCode,
      stdout: result.stdout,
      stderr: result.stderr,
      execution_time_ms: Math.round(result.executionTimeMs),
    };
  });
}
