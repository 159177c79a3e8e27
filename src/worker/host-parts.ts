// What a session host works with; assembled once by the worker.

import type { EventLog } from '../contracts/event-log.ts';
import type { ModelGrants } from '../contracts/model-grants.ts';
import type { Outbox } from '../contracts/outbox.ts';
import type { WorkerRecords } from '../contracts/worker-records.ts';
import type { IsolationReport } from '../contracts/worker-link.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../observability/logger.ts';
import type { Metrics } from '../observability/metrics.ts';
import type { Tracing } from '../observability/tracing.ts';
import type { Snapshots } from '../snapshot/snapshots.ts';
import type { SessionFiles } from './session-files.ts';
import type { SlotClaims } from './slot-claims.ts';
import type { SlotPool } from './slot-pool.ts';
import type { TurnLedger } from './turn-ledger.ts';

export type HostLimits = {
  readonly hibernateAfterMs: number;
  /** The longest a one-off command waits for a slot. */
  readonly commandQueueTimeoutMs: number;
  /** Without a word from Codex for so long in mid-turn, it is asked how the turn stands. */
  readonly silenceMs: number;
  /** A conversation that has grown past this takes no more turns. */
  readonly rolloutBytes: number;
};

export type HostParts = {
  readonly pool: SlotPool;
  readonly files: SessionFiles;
  readonly claims: SlotClaims;
  readonly snapshots: Snapshots;
  readonly codexVersion: string;
  readonly grants: ModelGrants;
  readonly records: WorkerRecords;
  readonly log: EventLog;
  /** For what those outside are to be told. */
  readonly outbox: Outbox;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly tracing: Tracing;
  readonly ledger: TurnLedger;
  readonly isolation: IsolationReport;
  readonly defaultModel: string;
  /** The records do: turns that wait when this worker stops go on waiting. */
  readonly outlivesUs: boolean;
  /** The event log may lose what it took: a session's events are kept here until a snapshot holds them. */
  readonly mayLogBeLost: boolean;
  /** Has the log drop what is older than it is to be kept, of events that a snapshot holds; never rejects. */
  readonly dropSealed?: (key: SessionKey, sealedSeq: number) => Promise<void>;
  readonly limits: HostLimits;
};
