// The session record: who owns it, what it may do, where it stands.

import type { SessionId, TenantId, TurnId, WorkerId } from './ids.ts';
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

/** When Codex asks a person: never; when it wants more than the sandbox allows; before all but known harmless commands. */
export const approvalPolicies = ['never', 'on-request', 'untrusted'] as const;
export type ApprovalPolicy = (typeof approvalPolicies)[number];

/** What follows a turn that its worker could not end: nothing, or a turn that goes on and says so. */
export const interruptPolicies = ['fail', 'continue'] as const;
export type InterruptPolicy = (typeof interruptPolicies)[number];

/** committed: a turn's end is told once its snapshot is durable; async: before that, so that a crash may lose it. */
export const durabilities = ['committed', 'async'] as const;
export type Durability = (typeof durabilities)[number];

export type SessionPolicy = {
  readonly sandbox: SandboxMode;
  /** Appended to Codex's own instructions, before anything that the workspace says. */
  readonly instructions: string | null;
  readonly approvals: ApprovalPolicy;
  /** How long an approval may wait for its answer; then it is declined. */
  readonly approvalTimeoutMs: number;
  readonly onInterrupt: InterruptPolicy;
  /** What follows a turn that a worker handed over because it was to stop. */
  readonly onDrain: InterruptPolicy;
  readonly durability: Durability;
  /** Paths in the workspace that snapshots leave out, each with all below it: no wildcards. */
  readonly snapshotExclude: readonly string[];
};

/** What a session is made with when nobody says otherwise. */
export const defaultPolicy: SessionPolicy = {
  sandbox: 'workspace-write',
  instructions: null,
  approvals: 'never',
  approvalTimeoutMs: 24 * 60 * 60 * 1000,
  onInterrupt: 'fail',
  onDrain: 'continue',
  durability: 'committed',
  snapshotExclude: [],
};

/** The snapshot that a session stands at. What it names can be verified: it holds the hash of all that is in it. */
export type SnapshotRef = {
  /** The object that holds the manifest. */
  readonly object: string;
  /** Of the manifest, which in turn holds the hash of everything it names; hexadecimal. */
  readonly sha256: string;
  /** The turn after which it was taken; null when something else was kept (an upload, a command). */
  readonly turnId: TurnId | null;
  /** Events up to here are sealed in it. */
  readonly lastSeq: number;
  /** Milliseconds since the epoch. */
  readonly takenAt: number;
  readonly rolloutBytes: number;
};

/** Somebody has it, or must look after it: a run of a worker, an end that was not told, an erasure that was cut short. */
export function isHeld({ erasing, untold, worker }: SessionRecord): boolean {
  return worker !== null || untold.length > 0 || erasing === true;
}

/** What is true of a session that nobody has used yet. */
export const unusedSession = {
  epoch: 1,
  worker: null,
  boot: null,
  snapshot: null,
  start: null,
  untold: [],
  crashes: 0,
} as const;

export type SessionRecord = {
  readonly tenant: TenantId;
  readonly id: SessionId;
  /** The client's own name for it, unique per tenant. */
  readonly alias: string | null;
  /** 1 at create, +1 by one conditional update whenever the right to write changes hands. */
  readonly epoch: number;
  /** Who holds it; null once it was let go in good order. */
  readonly worker: WorkerId | null;
  /** The run of the worker that has the epoch: a restarted worker is another writer. null: nobody has written yet. */
  readonly boot: string | null;
  /** Grows by one with every write; the condition of the next one. */
  readonly revision: number;
  readonly status: SessionStatus;
  readonly title: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly createdBy: string;
  readonly model: string | null;
  readonly policy: SessionPolicy;
  readonly usage: Usage;
  /** The newest committed one; null before the first. Replacing it is the commit point of a turn. */
  readonly snapshot: SnapshotRef | null;
  /** What the workspace was when the first turn began; null: none has begun. */
  readonly start: SnapshotRef | 'empty' | null;
  /** Turns whose end is recorded, and whose terminal event may not be in the log yet. */
  readonly untold: readonly TurnId[];
  /**
   * Turns whose terminal event no snapshot holds: a log that is lost has lost their end, and it is told again.
   * Only kept where a log can be lost.
   */
  readonly unsealed?: readonly TurnId[];
  /** Turns in a row that ended with their Codex process; at two the session is quarantined. */
  readonly crashes: number;
  /** Its erasure was asked for: it is found no more, nobody takes it, and the record goes last. */
  readonly erasing?: true;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  readonly lastAccessedAt: number;
};
