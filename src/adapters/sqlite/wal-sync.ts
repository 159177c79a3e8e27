// Makes committed transactions survive a power cut: one fdatasync of the write-ahead log, off the
// event loop, for all that wait. With synchronous=NORMAL SQLite leaves exactly this call out of a
// commit; it still syncs around checkpoints, so a log that was checkpointed meanwhile is safe too.

import { closeSync, fdatasync, fsyncSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { ServiceError } from '../../core/errors.ts';

export type WalSyncOptions = {
  /** Of the database. Its connection must have read or written by now, so that the log file exists. */
  readonly path: string;
  /** Copies the whole log into the database and syncs that; false when a part had to stay behind. */
  readonly checkpoint: () => boolean;
  readonly syncFile?: (fd: number) => Promise<void>;
};

export class WalSync {
  readonly #options: WalSyncOptions;
  readonly #fd: number;
  #running: Promise<void> | null = null;
  #next: Promise<void> | null = null;
  /** After a failed sync Linux calls the lost pages clean: the next sync would succeed and mean nothing. */
  #isSuspect = false;
  #isClosed = false;

  constructor(options: WalSyncOptions) {
    this.#options = options;
    // The file's name must be on disk as well; SQLite would see to it at its first checkpoint only.
    syncDirectory(dirname(options.path));
    this.#fd = openSync(`${options.path}-wal`, 'r');
  }

  /** Resolves when everything committed before the call is on disk. Rejects with the system's error. */
  sync(): Promise<void> {
    // One that runs may have begun before our commit: only the one after it is sure to cover us.
    this.#next ??= (this.#running ?? Promise.resolve()).then(
      () => this.#run(),
      () => this.#run(),
    );
    return this.#next;
  }

  /** After the last sync has settled. */
  async close(): Promise<void> {
    while (this.#next !== null || this.#running !== null) {
      await (this.#next ?? this.#running)?.catch(() => undefined);
    }
    if (this.#isClosed) return;
    this.#isClosed = true;
    closeSync(this.#fd);
  }

  #run(): Promise<void> {
    const run = this.#syncOnce().finally(() => {
      if (this.#running === run) this.#running = null;
    });
    this.#running = run;
    this.#next = null;
    return run;
  }

  async #syncOnce(): Promise<void> {
    if (this.#isSuspect) {
      // Written afresh from memory into the database file: that sync does mean something.
      if (!this.#options.checkpoint()) throw new ServiceError('store_unavailable', { reason: 'sync_failed' });
      this.#isSuspect = false;
    }
    try {
      await (this.#options.syncFile ?? syncData)(this.#fd);
    } catch (error) {
      this.#isSuspect = true;
      throw error;
    }
  }
}

function syncData(fd: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  fdatasync(fd, (error) => (error === null ? resolve() : reject(error)));
  return promise;
}

function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
