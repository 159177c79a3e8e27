// Whether an index file serves a query, by Firestore's rules for Native mode: the emulator answers every query, with an
// index or without. Knows the shapes that our records ask for, and says no to others.

import { readFileSync } from 'node:fs';
import type { Query } from '../adapters/firestore/query.ts';

type Order = 'ASCENDING' | 'DESCENDING';
type Scope = 'COLLECTION' | 'COLLECTION_GROUP';

export type IndexFile = {
  readonly indexes: readonly {
    readonly collectionGroup: string;
    readonly queryScope: Scope;
    readonly fields: readonly { readonly fieldPath: string; readonly order: Order }[];
  }[];
  readonly fieldOverrides: readonly {
    readonly collectionGroup: string;
    readonly fieldPath: string;
    readonly ttl?: boolean;
    readonly indexes: readonly { readonly queryScope: Scope; readonly order: Order }[];
  }[];
};

export function readIndexFile(): IndexFile {
  const file = new URL('../../deploy/firestore/firestore.indexes.json', import.meta.url);
  return JSON.parse(readFileSync(file, 'utf8')) as IndexFile;
}

/** What of a query matters for indexes, as one line. */
export function shapeOfQuery({ collection, equal, order, parent, range }: Query): string {
  const scope = parent === null ? 'all' : 'one';
  const filters = [...Object.keys(equal).toSorted(), ...(range === null ? [] : [`${range.field}<>`])];
  return `${scope} ${collection} where ${filters.join(' ')} by ${order.map((field) => field.join(' ')).join(', ')}`;
}

export function isServed(file: IndexFile, query: Query): boolean {
  const { collection, equal, order, parent, range } = query;
  const scope: Scope = parent === null ? 'COLLECTION_GROUP' : 'COLLECTION';
  // A range must be ordered by first; an index ends with the name, in the order of its last field.
  if (range !== null && order[0]?.[0] !== range.field) return false;
  const last = order.at(-1);
  const named = last?.[0] === '__name__' ? order.slice(0, -1) : order;
  if (named.length > 0 && last?.[0] === '__name__' && named.at(-1)?.[1] !== last[1]) return false;
  const equals = Object.keys(equal);
  const single = (field: string, direction: Order): boolean => hasSingle(file, collection, scope, field, direction);
  // Equalities alone: indexes of single fields are merged.
  if (named.length === 0) return equals.every((field) => single(field, 'ASCENDING'));
  const [first] = named;
  if (equals.length === 0 && named.length === 1 && first !== undefined) return single(first[0], first[1]);
  return file.indexes.some(({ collectionGroup, fields, queryScope }) => {
    if (collectionGroup !== collection || queryScope !== scope || fields.length !== equals.length + named.length)
      return false;
    const leading = fields.slice(0, equals.length).map(({ fieldPath }) => fieldPath);
    return (
      equals.every((field) => leading.includes(field)) &&
      named.every(([field, direction], at) => {
        const indexed = fields[equals.length + at];
        return indexed?.fieldPath === field && indexed.order === direction;
      })
    );
  });
}

/** Made by Firestore by itself for each collection, not for all of a name; an override replaces them. */
function hasSingle(file: IndexFile, collection: string, scope: Scope, field: string, order: Order): boolean {
  const override = file.fieldOverrides.find(
    ({ collectionGroup, fieldPath }) => collectionGroup === collection && fieldPath === field,
  );
  if (override === undefined) return scope === 'COLLECTION';
  return override.indexes.some((index) => index.queryScope === scope && index.order === order);
}
