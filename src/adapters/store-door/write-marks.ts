// Names of the last writes of each record, kept in the record: a writer whose answer was lost finds its own below
// later ones. Other writers hand them on with what they do not know of a record. Here they are put in and taken out,
// so that nobody else of a worker sees them.

import { randomBytes } from 'node:crypto';

/** More writers than this between a write and its repeat is not to be expected. */
const trailLength = 8;
const mostKnown = 20_000;

export type Marked = {
  readonly tenant: string;
  readonly id: string;
  readonly revision: number;
  readonly marks?: readonly string[] | undefined;
};
type Named = Omit<Marked, 'marks'>;
type Known = { readonly revision: number; readonly marks: readonly string[] };

export function newMark(): string {
  return randomBytes(9).toString('base64url');
}

export function hasMark(record: Marked | null, mark: string): boolean {
  return record?.marks?.includes(mark) ?? false;
}

/** Of records of one kind. */
export class WriteMarks {
  readonly #known = new Map<string, Known>();

  /** What is to be written: with the mark of this write before those that stand. */
  marked<T extends Named>(next: T, mark: string): T & Marked {
    const known = this.#known.get(keyOf(next));
    const earlier = known?.revision === next.revision ? known.marks : [];
    return { ...next, marks: [mark, ...earlier].slice(0, trailLength) };
  }

  /** The record as others know it; its marks are remembered for the next write. */
  unmarked<T>(record: Marked): T {
    const { marks, ...plain } = record;
    const key = keyOf(record);
    this.#known.delete(key);
    if (marks !== undefined) this.#known.set(key, { revision: record.revision, marks });
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= mostKnown) break;
      this.#known.delete(oldest);
    }
    return plain as unknown as T;
  }
}

function keyOf({ id, tenant }: Named): string {
  return `${tenant}\n${id}`;
}
