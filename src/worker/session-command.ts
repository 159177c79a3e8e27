// The seed's one-off command: argv in a session's workspace, under the session's sandbox, no model involved.

import type { CommandRequest, CommandResult } from '../contracts/worker-link.ts';
import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import type { SessionPolicy } from '../core/session.ts';
import { buildCommandExec } from '../protocol/policy.ts';
import type { Binding } from './binding.ts';
import type { SlotEndReason } from './slot.ts';

export async function runSessionCommand(
  binding: Binding,
  policy: SessionPolicy,
  request: CommandRequest,
  clock: Clock,
  unbind: (reason: SlotEndReason) => Promise<void>,
): Promise<CommandResult> {
  const startedMs = clock.monotonicMs();
  const late = Promise.withResolvers<'late'>();
  const cancelTimer = clock.after(request.timeoutMs, () => late.resolve('late'));
  try {
    const { command, timeoutMs } = request;
    const call = buildCommandExec({
      command,
      timeoutMs,
      workspacePath: binding.agent.paths.ws,
      sandbox: policy.sandbox,
      network: false,
    });
    const running = binding.agent.calls.commandExec({ ...call, timeoutMs });
    const answer = await Promise.race([running, late.promise, binding.agent.exited.then(() => 'exited' as const)]);
    if (answer === 'late' || answer === 'exited') {
      running.catch(() => undefined);
      // Its children may outlive it: the cage ends them all.
      await unbind(answer === 'late' ? 'cancelled' : 'crashed');
      throw new ServiceError(answer === 'late' ? 'command_timed_out' : 'agent_crashed');
    }
    return {
      exitCode: answer.exitCode,
      stdout: answer.stdout,
      stderr: answer.stderr,
      executionTimeMs: Math.round(clock.monotonicMs() - startedMs),
    };
  } finally {
    cancelTimer();
  }
}
