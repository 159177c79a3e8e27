// The event log: the truth about what happened in a session, and the only way events travel.

import type { StoredEvent } from '../core/event.ts';
import type { SessionId, TenantId } from '../core/ids.ts';

export type LogKey = { readonly tenant: TenantId; readonly sessionId: SessionId };

export type AppendResult =
  | { readonly outcome: 'appended'; readonly lastSeq: number }
  /** A writer of a later epoch exists: stop writing. */
  | { readonly outcome: 'stale_epoch'; readonly epoch: number }
  /** The first seq is not the one that follows: nothing was written. */
  | { readonly outcome: 'out_of_order'; readonly lastSeq: number }
  /** The log lost events, or may have: nothing was written. A writer whose epoch still stands opens it again. */
  | { readonly outcome: 'log_lost' };

export type OpenResult =
  /** The next event is lastSeq + 1. */
  | { readonly outcome: 'opened'; readonly lastSeq: number }
  | { readonly outcome: 'stale_epoch'; readonly epoch: number };

export type LogPage = {
  readonly events: readonly StoredEvent[];
  /** The earliest seq still held; 1 while nothing was dropped, 0 for an empty log. */
  readonly firstSeq: number;
  /** The latest seq held, whether or not it is on this page; 0 for an empty log. */
  readonly lastSeq: number;
};

export interface EventLog {
  /**
   * Called by a writer before its first append, and again after `log_lost`: each time once it has seen in
   * the records that the epoch is its own. From then on earlier epochs are refused. `sealedSeq` is the last
   * event that is kept elsewhere: a log that has less goes on behind it. Opening twice is harmless.
   */
  open(key: LogKey, epoch: number, sealedSeq: number): Promise<OpenResult>;

  /**
   * Writes all events or none, as one step. Refuses an epoch below the highest it has seen for
   * the session, and a seq that is not consecutive. Repeating a batch that was written (same epoch,
   * seqs and checksums) answers `appended` and writes nothing, so a timed-out call can be repeated;
   * a batch that begins with such events and goes on with the ones that follow writes only those.
   * A log that was never opened is `log_lost`; where nothing can be lost, it may take a batch that begins
   * at seq 1. All events must carry the key's tenant and session and one epoch: the
   * writer's own, or an earlier one where it brings back what the log had and lost. Rejects with
   * `store_unavailable` when it is unknown whether the batch was written, `storage_full` when it was not.
   */
  append(key: LogKey, epoch: number, events: readonly StoredEvent[]): Promise<AppendResult>;

  /** Events with seq > afterSeq, in order, at most `limit`. A session never written has an empty page. */
  read(key: LogKey, afterSeq: number, limit: number): Promise<LogPage>;

  /**
   * Pushes batches appended after this call resolves, in order of append. Delivery may skip batches
   * (never reorder or repeat them): a reader that sees a gap repairs it with `read`. The listener must
   * not throw and must not block. The returned function ends the subscription.
   */
  subscribe(key: LogKey, listener: (events: readonly StoredEvent[]) => void): Promise<() => void>;

  /** Removes all events of the session. Later appends start again at seq 1. */
  erase(key: LogKey): Promise<void>;
}
