// The seed's one-off command: argv in a session's workspace, under the session's sandbox, no model involved.

import type { CommandRequest, CommandResult } from '../contracts/worker-link.ts';
import { CodexRefused } from '../codex/connection-errors.ts';
import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import type { SandboxMode } from '../core/session.ts';
import { buildCommandExec } from '../protocol/policy.ts';
import type { Binding } from './binding.ts';
import { within } from './deadline.ts';
import type { SlotEndReason } from './slot.ts';

/** Codex ends the command itself at its own limit, but none of what that left behind: ours has to come first. */
const codexLateMs = 5_000;

export async function runSessionCommand(
  binding: Binding,
  sandbox: SandboxMode,
  request: CommandRequest,
  clock: Clock,
  unbind: (reason: SlotEndReason) => Promise<void>,
): Promise<CommandResult> {
  const startedMs = clock.monotonicMs();
  const { command, timeoutMs } = request;
  const call = buildCommandExec({
    command,
    timeoutMs,
    workspacePath: binding.agent.paths.ws,
    sandbox,
    network: false,
  });
  const running = binding.agent.calls.commandExec({ ...call, timeoutMs: timeoutMs + codexLateMs });
  try {
    const answer = await within(clock, timeoutMs, running, 'late');
    if (answer === 'late') throw new ServiceError('command_timed_out');
    const executionTimeMs = Math.round(clock.monotonicMs() - startedMs);
    return { exitCode: answer.exitCode, stdout: answer.stdout, stderr: answer.stderr, executionTimeMs };
  } catch (error) {
    // It ran not at all: such a program does not exist, or the sandbox could not be made.
    if (error instanceof CodexRefused)
      throw new ServiceError('invalid_request', { field: 'command', problem: error.message }, { cause: error });
    running.catch(() => undefined);
    // Its children may outlive it: the cage ends them all.
    await unbind(error instanceof ServiceError && error.code === 'command_timed_out' ? 'timed_out' : 'crashed');
    throw error;
  }
}
