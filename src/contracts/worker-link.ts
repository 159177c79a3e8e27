// What the gateway asks of a worker. Commands only: events travel through the log.

import type { SessionId, TenantId, TurnId, WorkerId } from '../core/ids.ts';

export type SessionKey = { readonly tenant: TenantId; readonly sessionId: SessionId };
export type TurnKey = SessionKey & { readonly turnId: TurnId };

export type CommandRequest = {
  readonly key: SessionKey;
  /** argv; run in the workspace, under the session's sandbox. */
  readonly command: readonly string[];
  readonly timeoutMs: number;
};

export type CommandResult = {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly executionTimeMs: number;
};

export type IsolationReport = {
  /** own-root: bubblewrap with a root, PID and network namespace of its own; none: no cage. */
  readonly cage: 'own-root' | 'none';
  /** Why there is no cage, in words for a person; null when there is one. */
  readonly cageProblem: string | null;
  /** Codex's own sandbox around each command of the model. */
  readonly innerSandbox: 'bubblewrap' | 'none';
  readonly innerSandboxProblem: string | null;
};

export type WorkerStatus = {
  readonly id: WorkerId;
  readonly state: 'starting' | 'ready' | 'draining' | 'stopped';
  readonly slots: {
    /** The most processes it runs. */
    readonly limit: number;
    readonly starting: number;
    readonly idle: number;
    readonly bound: number;
  };
  /** Sessions with a running turn. */
  readonly busySessions: number;
  readonly waitingTurns: number;
  /** Which slot each bound session has: at most `slots.limit` of them. */
  readonly boundSessions?: readonly (SessionKey & { readonly slotId: string })[];
  /** The one tenant that it serves in this run; absent or null: any. */
  readonly reservedFor?: TenantId | null;
  readonly isolation: IsolationReport;
  readonly codexVersion: string;
  readonly startedAt: number;
};

export type StartOptions = {
  /**
   * Take it only where the session has no other turn, waiting or running, and no command; else reject
   * with `session_busy`. Of several at once on an idle session one is taken. A turn that was taken before is not refused.
   */
  readonly onlyIfIdle?: boolean;
};

export interface WorkerLink {
  /**
   * Hands over a turn whose record exists and is `queued`. Resolves once the worker will see it to
   * its end; the same turn twice is accepted once. Rejects, having taken nothing, with `queue_full`,
   * `draining`, `worker_reserved`, `no_worker_ready`, `session_failed`, `session_quarantined` or `session_full`.
   */
  startTurn(key: TurnKey, options?: StartOptions): Promise<void>;
  /** Ends the turn as `cancelled`, waiting or running. Resolves when it has ended. Rejects with `turn_ended`. */
  cancelTurn(key: TurnKey): Promise<void>;
  /**
   * Gives text to a turn that runs, and to no other: rejects with `turn_not_running` when it waits, ended,
   * or will not take it any more. The same `steerId` again is given once. It stands in the record's `steers`
   * before Codex gets it, and not any more when this rejects; nothing is added to the record of an ended turn.
   */
  steerTurn(key: TurnKey, steerId: string, text: string): Promise<void>;
  /** The record of this approval was settled: whoever waits for it goes on. Harmless when nobody does. */
  approvalSettled(key: SessionKey, approvalId: string): Promise<void>;
  /** Commits what is not committed and lets the slot go; `session_busy` while something runs. Harmless when it has none. */
  hibernateSession(key: SessionKey): Promise<void>;
  /** Binds a slot, so that the next turn need not wait for it. Also lets a quarantined session go on. */
  wakeSession(key: SessionKey): Promise<void>;
  /** Takes a session whose owner is gone, gives each of its open turns an owner or an end, tells what was not told. */
  recoverSession(key: SessionKey): Promise<void>;
  /** The seed's one-off command. Rejects with `session_busy` while a turn runs; one that did not end in time has exit code 124. */
  runCommand(request: CommandRequest): Promise<CommandResult>;
  /**
   * Ends what runs, tells `session.deleted` where it can, and removes the session's files and snapshots.
   * Harmless for a session that is not there, or not any more.
   */
  eraseSession(key: SessionKey): Promise<void>;
  status(): Promise<WorkerStatus>;
}
