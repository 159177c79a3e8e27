// Looks again and again at who has which session, by the records alone: the file is opened for reading, and
// nothing of the product stands in between. Says afterwards whether the right to write ever went back.

import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';

export type SeenOwner = {
  readonly sessionId: string;
  readonly epoch: number;
  /** The run of the worker that has, or had, the epoch. */
  readonly boot: string | null;
};

const everyMs = 20;

type Row = { readonly id: string; readonly epoch: number; readonly boot: string | null };

export class OwnerWatch {
  readonly seen: SeenOwner[] = [];
  readonly #database: DatabaseSync;
  readonly #timer: NodeJS.Timeout;
  readonly #last = new Map<string, string>();

  constructor(dataDir: string) {
    this.#database = new DatabaseSync(path.join(dataDir, 'data', 'fleet.db'), { readOnly: true, timeout: 5_000 });
    const query = this.#database.prepare(
      `SELECT id, json_extract(body, '$.epoch') AS epoch, json_extract(body, '$.boot') AS boot FROM sessions`,
    );
    this.#timer = setInterval(() => this.#look(query.all() as Row[]), everyMs);
  }

  /** Of the session, as last seen; 0 for one that was not. */
  epochOf(sessionId: string): number {
    return this.seen.findLast((one) => one.sessionId === sessionId)?.epoch ?? 0;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#database.close();
  }

  #look(rows: readonly Row[]): void {
    for (const { boot, epoch, id } of rows) {
      const now = `${epoch} ${boot}`;
      if (this.#last.get(id) === now) continue;
      this.#last.set(id, now);
      this.seen.push({ sessionId: id, epoch, boot });
    }
  }
}

/** Each session's epochs only grow, and each has one owner. */
export function epochsStrictlyGrow(seen: readonly SeenOwner[]): string[] {
  const problems: string[] = [];
  const last = new Map<string, SeenOwner>();
  for (const one of seen) {
    const before = last.get(one.sessionId);
    last.set(one.sessionId, one);
    if (before === undefined) continue;
    if (one.epoch < before.epoch)
      problems.push(`${one.sessionId} goes back from epoch ${before.epoch} to ${one.epoch}`);
    const isHandedOn = before.boot !== null && one.boot !== before.boot;
    if (isHandedOn && one.epoch === before.epoch)
      problems.push(`${one.sessionId} has two owners of epoch ${one.epoch}`);
  }
  return problems;
}
