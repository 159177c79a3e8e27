// What is asked of Firestore in queries, in few words, and how that goes over the wire. Every query of ours is made
// here, so that a test can hold each against the indexes that are deployed.

import type { Value } from './document.ts';

export type Direction = 'ASCENDING' | 'DESCENDING';

export type Query = {
  readonly collection: string;
  /** The document below which the collection lies; null: all collections of that name. */
  readonly parent: string | null;
  readonly equal: Readonly<Record<string, Value>>;
  /** A field that must be there, and may have to be smaller than something. */
  readonly range: { readonly field: string; readonly from: Value; readonly before: Value | null } | null;
  /** `__name__` for the document's name. */
  readonly order: readonly (readonly [field: string, direction: Direction])[];
  readonly startAfter: readonly Value[] | null;
  readonly limit: number;
  /** null: all of them. */
  readonly select: readonly string[] | null;
};

/** As it goes into a request. */
export type StructuredQuery = Readonly<Record<string, unknown>>;

export function structuredQuery(query: Query): StructuredQuery {
  const { collection, equal, limit, order, parent, range, select, startAfter } = query;
  const filters = Object.entries(equal).map(([field, value]) => fieldFilter(field, 'EQUAL', value));
  if (range !== null) {
    filters.push(fieldFilter(range.field, 'GREATER_THAN_OR_EQUAL', range.from));
    if (range.before !== null) filters.push(fieldFilter(range.field, 'LESS_THAN', range.before));
  }
  return {
    from: [{ collectionId: collection, allDescendants: parent === null }],
    ...(filters.length === 0 ? {} : { where: { compositeFilter: { op: 'AND', filters } } }),
    orderBy: order.map(([fieldPath, direction]) => ({ field: { fieldPath }, direction })),
    ...(startAfter === null ? {} : { startAt: { values: startAfter, before: false } }),
    ...(select === null ? {} : { select: { fields: select.map((fieldPath) => ({ fieldPath })) } }),
    limit: { value: limit },
  };
}

function fieldFilter(fieldPath: string, op: string, value: Value): StructuredQuery {
  return { fieldFilter: { field: { fieldPath }, op, value } };
}
