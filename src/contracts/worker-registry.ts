// Which workers there are, where they listen and how much room they have. Each says so itself, again and
// again; fast and forgetful: after a loss of its data the next heartbeats fill it.

import type { TenantId, WorkerId } from '../core/ids.ts';
import type { IsolationReport } from './worker-link.ts';

export type WorkerEntry = {
  readonly id: WorkerId;
  /** This run of it. */
  readonly boot: string;
  /** Where its internal face listens: `http://host:port`. */
  readonly url: string;
  readonly state: 'ready' | 'draining';
  readonly slots: { readonly limit: number; readonly starting: number; readonly idle: number; readonly bound: number };
  readonly busySessions: number;
  readonly waitingTurns: number;
  /** The one tenant that it serves in this run; absent or null: any. */
  readonly reservedFor?: TenantId | null;
  readonly isolation: IsolationReport;
  readonly codexVersion: string;
  readonly fleetVersion: string;
  /** Milliseconds since the epoch, by the worker's clock. */
  readonly startedAt: number;
};

/** `silentMs`: since it was last heard of, by the registry's own clock. */
export type KnownWorker = WorkerEntry & { readonly silentMs: number };

export type KnownWorkers = {
  /** By id. Those that were silent for longer than a minute are not named. */
  readonly workers: readonly KnownWorker[];
  /** As SessionDirectory.knownForMs: before one full lease, a worker that is not named may well live. */
  readonly knownForMs: number;
};

export interface WorkerRegistry {
  /**
   * The heartbeat. A later boot of the same id takes the place of an earlier one, which is refused: false, for as
   * long as the later one goes on speaking.
   */
  announce(entry: WorkerEntry): Promise<boolean>;
  /** A worker that has stopped in good order. Harmless for another boot than the one that is known. */
  withdraw(id: WorkerId, boot: string): Promise<void>;
  list(): Promise<KnownWorkers>;
}
