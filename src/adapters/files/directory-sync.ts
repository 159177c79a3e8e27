// Brings a directory's names to the disk. Callers that come while a sync runs share the next one: what
// they named may have been too late for the one that runs.

import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

export class DirectorySync {
  readonly #path: string;
  #running: Promise<void> | null = null;
  #next: Promise<void> | null = null;

  constructor(path: string) {
    this.#path = path;
  }

  /** Resolves when every name that stood here at the call is on the disk. */
  sync(): Promise<void> {
    if (this.#running === null) return this.#start();
    this.#next ??= this.#running.catch(() => undefined).then(() => this.#start());
    return this.#next;
  }

  #start(): Promise<void> {
    this.#next = null;
    const running = syncDirectory(this.#path).finally(() => {
      if (this.#running === running) this.#running = null;
    });
    this.#running = running;
    return running;
  }
}

export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    // Nothing was written through it: nothing to wait for, and nothing that can go wrong is news.
    handle.close().catch(() => undefined);
  }
}
