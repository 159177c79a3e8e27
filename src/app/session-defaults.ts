// What a session gets that does not say.

import type { SandboxMode } from '../core/session.ts';

export function defaultSandbox(allowed: readonly SandboxMode[]): SandboxMode {
  return allowed.includes('workspace-write') ? 'workspace-write' : (allowed[0] ?? 'read-only');
}
