// The sandbox that a session's commands really get on this worker.

import type { IsolationReport } from '../contracts/worker-link.ts';
import type { SandboxMode } from '../core/session.ts';

/**
 * Where Codex cannot make its own sandbox, every command under `workspace-write` fails; with full access
 * they run, held by the cage alone, or by nothing where there is none either. That is said at the start
 * and with each turn. A promise to only read is kept: its commands fail rather than write.
 */
export function effectiveSandbox(asked: SandboxMode, isolation: IsolationReport): SandboxMode {
  if (isolation.innerSandbox === 'bubblewrap' || asked === 'read-only') return asked;
  return 'danger-full-access';
}
