// The seed's one-off command: argv in a session's workspace, under the session's sandbox, no model involved.

import type { CommandRequest, CommandResult } from '../contracts/worker-link.ts';
import { CodexRefused } from '../codex/connection-errors.ts';
import { within } from '../core/deadline.ts';
import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import type { SandboxMode } from '../core/session.ts';
import { buildCommandExec } from '../protocol/policy.ts';
import type { Binding } from './binding.ts';
import type { SlotEndReason } from './slot.ts';

/** Codex ends the command itself at its own limit, but none of what that left behind: ours has to come first. */
const codexLateMs = 5_000;
const gitPlaceMs = 5_000;
/** As timeout(1) says it, and a turn that timed out. */
const timedOutExitCode = 124;

export async function runSessionCommand(
  binding: Binding,
  sandbox: SandboxMode,
  request: CommandRequest,
  clock: Clock,
  unbind: (reason: SlotEndReason) => Promise<void>,
): Promise<CommandResult> {
  const hasGitPlace = sandbox === 'workspace-write' && (await runCaged(binding, ['mkdir', '.git']));
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
    const executionTimeMs = Math.round(clock.monotonicMs() - startedMs);
    if (answer === 'late') {
      running.catch(() => undefined);
      await unbind('timed_out');
      // An answer, not an error: clients repeat those by themselves, and the command would run twice.
      const stderr = `The command did not end within its timeout_ms of ${timeoutMs} and was ended.`;
      return { exitCode: timedOutExitCode, stdout: '', stderr, executionTimeMs };
    }
    if (hasGitPlace) await runCaged(binding, ['rmdir', '--ignore-fail-on-non-empty', '.git']);
    return { exitCode: answer.exitCode, stdout: answer.stdout, stderr: answer.stderr, executionTimeMs };
  } catch (error) {
    // It ran not at all: such a program does not exist, or the sandbox could not be made.
    if (error instanceof CodexRefused)
      throw new ServiceError('invalid_request', { field: 'command', problem: error.message }, { cause: error });
    running.catch(() => undefined);
    // Its children may outlive it: the cage ends them all.
    await unbind('crashed');
    throw error;
  }
}

/**
 * Where a workspace has no .git, Codex 0.169 mounts an empty one that cannot be written, and `git init`
 * fails; with one there it works. Made and removed inside the cage: a path of the agent's is not for us to
 * follow outside. True when it was made.
 */
async function runCaged(binding: Binding, command: readonly string[]): Promise<boolean> {
  const workspacePath = binding.agent.paths.ws;
  const call = buildCommandExec({
    command,
    timeoutMs: gitPlaceMs,
    workspacePath,
    sandbox: 'danger-full-access',
    network: false,
  });
  try {
    const { exitCode } = await binding.agent.calls.commandExec({ ...call, timeoutMs: gitPlaceMs });
    return exitCode === 0;
  } catch (error) {
    // The agent closed its own workspace (`chmod 0 .`): the command, run or not, says what there is to say.
    if (error instanceof CodexRefused) return false;
    throw error;
  }
}
