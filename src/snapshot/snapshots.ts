// The snapshots of sessions: taken, put back, read, cleared away. Which of them a session stands at is
// for the session's record to say. What is asked for one session happens in order.

import type { EventLog, LogPage } from '../contracts/event-log.ts';
import type { SessionObjects } from '../contracts/snapshots.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import type { Clock } from '../core/clock.ts';
import { isServiceError, ServiceError } from '../core/errors.ts';
import type { SnapshotRef } from '../core/session.ts';
import type { Logger } from '../observability/logger.ts';
import { type BoundSession, type SessionPlace, sessionName } from './bound-session.ts';
import { CaptureThread } from './capture-thread.ts';
import { clearSnapshots } from './clear-snapshots.ts';
import { type Restored, restoreSnapshot } from './restore-snapshot.ts';
import { RolloutFile } from './rollout-file.ts';
import { SealedReader } from './sealed-reader.ts';
import { SnapshotReader } from './snapshot-reader.ts';
import { SnapshotTrees } from './snapshot-trees.ts';
import { type Taken, type TakeRequest, takeSnapshot } from './take-snapshot.ts';
import { VerifiedObjects } from './verified-objects.ts';

export type SnapshotLimits = {
  /** Files, directories and links of a workspace together. */
  readonly maxFiles: number;
  readonly maxBytes: number;
  readonly packBytes: number;
  /** A rollout that is larger, written or not, is not read: the session is full. */
  readonly maxRolloutBytes: number;
  /** How many of a session, the newest included, can be gone back to. */
  readonly keepSnapshots: number;
};

export const defaultSnapshotLimits: SnapshotLimits = {
  maxFiles: 500_000,
  maxBytes: 10 * 1024 ** 3,
  packBytes: 8 * 1024 * 1024,
  maxRolloutBytes: 256 * 1024 * 1024,
  keepSnapshots: 16,
};

/** Directories within directories: each is an open descriptor while a workspace is walked. */
const maxDepth = 256;

export type SnapshotsOptions = {
  readonly store: SessionObjects;
  /** Whose events are sealed. */
  readonly log: EventLog;
  readonly codexVersion: string;
  readonly fleetVersion: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly limits?: Partial<SnapshotLimits>;
};

export class Snapshots {
  readonly #options: SnapshotsOptions;
  readonly #limits: SnapshotLimits;
  readonly #objects: VerifiedObjects;
  readonly #thread: CaptureThread;
  readonly #trees: SnapshotTrees;
  readonly #sealed: SealedReader;
  readonly #bound = new Map<string, BoundSession>();
  /** The end of what was asked for last, by session. */
  readonly #lines = new Map<string, Promise<unknown>>();

  constructor(options: SnapshotsOptions) {
    this.#options = options;
    this.#limits = { ...defaultSnapshotLimits, ...options.limits };
    this.#objects = new VerifiedObjects(options.store);
    this.#thread = new CaptureThread(options.logger);
    this.#trees = new SnapshotTrees(this.#objects);
    this.#sealed = new SealedReader(this.#objects);
  }

  /**
   * Durable when it resolves; the base again when nothing had changed. Rejects with `session_corrupt` (the
   * rollout is missing or empty, or the base is damaged), `session_full`, `workspace_too_large`, `storage_full`,
   * `store_unavailable`: the session then still stands at its base, and a later call makes up for it.
   */
  async take(request: TakeRequest): Promise<Taken> {
    const { log, logger, clock, codexVersion, fleetVersion } = this.#options;
    const { maxFiles, maxBytes, maxRolloutBytes, packBytes, keepSnapshots } = this.#limits;
    const parts = {
      objects: this.#objects,
      thread: this.#thread,
      log,
      logger,
      nowMs: () => clock.now(),
      codexVersion,
      fleetVersion,
      limits: { maxEntries: maxFiles, maxBytes, maxDepth },
      packBytes,
      maxRolloutBytes,
      keepSnapshots,
    };
    return await this.#inOrder(request.key, (bound) => takeSnapshot(parts, request, bound));
  }

  /** Whether the rollout at `place` is the one of `ref`, or that and more. Rejects with `session_full`, as `take`. */
  async hasGrownFrom(key: SessionKey, ref: SnapshotRef, place: SessionPlace): Promise<boolean> {
    return await this.#inOrder(key, async (bound) => {
      const { rollout } = await this.#objects.manifest(key, ref);
      let file: RolloutFile;
      try {
        file = RolloutFile.open(place.sessions, rollout.path, this.#limits.maxRolloutBytes);
      } catch (error) {
        if (isServiceError(error, 'session_corrupt')) return false;
        throw error;
      }
      try {
        if (file.bytes < rollout.bytes) return false;
        const mark = await file.mark(rollout.bytes);
        bound.rollout = mark;
        return mark.sha256 === rollout.sha256;
      } finally {
        file.close();
      }
    });
  }

  /**
   * Into directories that do not exist yet, or whose content may go. When `ref` is damaged, the newest whole
   * snapshot before it is put there: the answer says which, and what is damaged. Rejects with
   * `session_corrupt` when none is whole, `session_failed` for one of a later format, `storage_full`,
   * `store_unavailable`.
   */
  async restore(key: SessionKey, ref: SnapshotRef, into: SessionPlace): Promise<Restored> {
    const parts = { objects: this.#objects, thread: this.#thread };
    return await this.#inOrder(key, (bound) => restoreSnapshot(parts, key, ref, into, bound));
  }

  /** Rejects with `snapshot_gone` when it, or a pack that it needs, is not there any more, `session_corrupt` when it is damaged. */
  async open(key: SessionKey, ref: SnapshotRef): Promise<SnapshotReader> {
    const stored = new Set((await this.#options.store.list(key)).map(({ name }) => name));
    if (!stored.has(ref.object)) throw new ServiceError('snapshot_gone');
    const manifest = await this.#objects.manifest(key, ref);
    // Its own object may have been kept for something else in it.
    if (!manifest.packs.every(({ object }) => stored.has(object))) throw new ServiceError('snapshot_gone');
    return new SnapshotReader(this.#objects, key, ref, manifest, await this.#trees.get(key, manifest));
  }

  /**
   * The sealed events behind `afterSeq`, as a log answers; 0 for `firstSeq` when none are. Where the log had
   * lost events before they were sealed, a page ends, and what comes after begins anew. Rejects with
   * `session_corrupt` where they are damaged.
   */
  async readSealed(key: SessionKey, ref: SnapshotRef, afterSeq: number, limit: number): Promise<LogPage> {
    return await this.#sealed.read(key, await this.#objects.manifest(key, ref), afterSeq, limit);
  }

  /**
   * Removes what neither `ref` (committed, of this epoch), nor the snapshots kept before it, nor `keep` need.
   * Answers how many objects are gone.
   */
  async clear(key: SessionKey, epoch: number, ref: SnapshotRef, keep: readonly SnapshotRef[]): Promise<number> {
    return await this.#inOrder(key, () => clearSnapshots(this.#objects, key, epoch, ref, keep));
  }

  /** The session is let go here. What is known of its files is written down, if a file for it is given. */
  async forget(key: SessionKey, saveIndexTo: string | null): Promise<void> {
    await this.#inOrder(key, async (bound) => {
      if (bound.tree !== null) await this.#drop(key, saveIndexTo);
    });
    this.#release(key);
  }

  /** Removes all snapshots of the session. */
  async erase(key: SessionKey): Promise<void> {
    await this.#inOrder(key, async () => {
      await this.#drop(key, null);
      await this.#options.store.erase(key);
    });
    this.#release(key);
  }

  /** What is under way is rejected with `draining`. */
  async stop(): Promise<void> {
    await this.#thread.stop();
  }

  async #drop(key: SessionKey, indexFile: string | null): Promise<void> {
    try {
      await this.#thread.run({ kind: 'drop', session: sessionName(key), indexFile }, noLinks);
    } catch (error) {
      // Without it the contents are hashed once more, and that is all.
      this.#options.logger.warn({ event: 'file_index_not_saved', err: error }, 'the index of files was not saved');
    }
  }

  /** Unless something was asked for meanwhile. */
  #release(key: SessionKey): void {
    const name = sessionName(key);
    if (!this.#lines.has(name)) this.#bound.delete(name);
  }

  async #inOrder<T>(key: SessionKey, work: (bound: BoundSession) => Promise<T>): Promise<T> {
    const name = sessionName(key);
    const bound = this.#bound.get(name) ?? { rollout: null, tree: null };
    this.#bound.set(name, bound);
    const before = this.#lines.get(name);
    const done = before === undefined ? work(bound) : before.then(() => work(bound));
    const line = done.catch(() => undefined);
    this.#lines.set(name, line);
    try {
      return await done;
    } finally {
      if (this.#lines.get(name) === line) this.#lines.delete(name);
    }
  }
}

const noLinks = {
  store: (): Promise<void> => Promise.reject(new ServiceError('internal')),
  read: (): Promise<null> => Promise.resolve(null),
  objectOf: String,
};
