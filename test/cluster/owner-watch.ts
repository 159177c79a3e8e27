// Looks again and again at who has which session, by the records alone: the file is opened for reading, Firestore is
// asked, and nothing of the product stands in between. Says afterwards whether the right to write ever went back.

import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { GoogleServices } from './google-services.ts';

export type SeenOwner = {
  readonly sessionId: string;
  readonly epoch: number;
  /** The run of the worker that has, or had, the epoch. */
  readonly boot: string | null;
};

const everyMs = 20;

type Row = { readonly id: string; readonly epoch: number; readonly boot: string | null };
type Rows = { readonly all: () => readonly Row[] | Promise<readonly Row[]>; readonly close: () => void };

export class OwnerWatch {
  readonly seen: SeenOwner[] = [];
  readonly #rows: Rows;
  readonly #last = new Map<string, string>();
  readonly #looking: Promise<void>;
  #isOver = false;

  private constructor(rows: Rows) {
    this.#rows = rows;
    this.#looking = this.#look();
    this.#looking.catch(() => undefined); // Thrown at the end.
  }

  static ofFile(dataDir: string): OwnerWatch {
    const database = new DatabaseSync(path.join(dataDir, 'data', 'fleet.db'), { readOnly: true, timeout: 5_000 });
    const query = database.prepare(
      `SELECT id, json_extract(body, '$.epoch') AS epoch, json_extract(body, '$.boot') AS boot FROM sessions`,
    );
    return new OwnerWatch({ all: () => query.all() as Row[], close: () => database.close() });
  }

  static ofFirestore({ firestore, prefix, project }: GoogleServices): OwnerWatch {
    const url = `http://${firestore.host}/v1/projects/${project}/databases/(default)/documents:runQuery`;
    const from = [{ collectionId: `${prefix}-sessions`, allDescendants: true }];
    const headers = { authorization: 'Bearer owner', 'content-type': 'application/json' };
    const all = async (): Promise<Row[]> => {
      const response = await fetch(url, {
        method: 'POST',
        headers,
        body: JSON.stringify({ structuredQuery: { from } }),
      });
      const found = (await response.json()) as readonly FoundDocument[];
      return found.flatMap(({ document }) => (document ? [JSON.parse(document.fields.body.stringValue) as Row] : []));
    };
    return new OwnerWatch({ all, close: () => undefined });
  }

  /** Of the session, as last seen; 0 for one that was not. */
  epochOf(sessionId: string): number {
    return this.seen.findLast((one) => one.sessionId === sessionId)?.epoch ?? 0;
  }

  async close(): Promise<void> {
    this.#isOver = true;
    try {
      await this.#looking;
    } finally {
      this.#rows.close();
    }
  }

  async #look(): Promise<void> {
    while (!this.#isOver) {
      this.#note(await this.#rows.all());
      await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
  }

  #note(rows: readonly Row[]): void {
    for (const { boot, epoch, id } of rows) {
      const now = `${epoch} ${boot}`;
      if (this.#last.get(id) === now) continue;
      this.#last.set(id, now);
      this.seen.push({ sessionId: id, epoch, boot });
    }
  }
}

type FoundDocument = { readonly document?: { readonly fields: { readonly body: { readonly stringValue: string } } } };

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
