// The session record: who owns it, what it may do, where it stands.

import type { SessionId, TenantId, WorkerId } from './ids.ts';
import type { Usage } from './usage.ts';

export const sessionStatuses = [
  'idle',
  'queued',
  'running',
  'requires_action',
  'hibernated',
  'recovering',
  'quarantined',
  'failed',
] as const;
export type SessionStatus = (typeof sessionStatuses)[number];

/** What Codex's own sandbox allows the model's commands, inside the cage. */
export const sandboxModes = ['read-only', 'workspace-write', 'danger-full-access'] as const;
export type SandboxMode = (typeof sandboxModes)[number];

export type SessionPolicy = {
  readonly sandbox: SandboxMode;
  /** Appended to Codex's own instructions, before anything that the workspace says. */
  readonly instructions: string | null;
};

export type SessionRecord = {
  readonly tenant: TenantId;
  readonly id: SessionId;
  /** The client's own name for it, unique per tenant. */
  readonly alias: string | null;
  /** 1 at create, +1 by one conditional update whenever the right to write changes hands. */
  readonly epoch: number;
  readonly worker: WorkerId | null;
  /** Grows by one with every write; the condition of the next one. */
  readonly revision: number;
  readonly status: SessionStatus;
  readonly title: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly createdBy: string;
  readonly model: string | null;
  readonly policy: SessionPolicy;
  readonly usage: Usage;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  readonly lastAccessedAt: number;
};
