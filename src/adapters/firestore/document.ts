// How a document looks on the wire: names, values, times. Names are made so that no tenant, id or alias can reach
// another's, or one of the names that Firestore keeps for itself.

import { createHash } from 'node:crypto';

export type Value =
  | { readonly stringValue: string }
  /** 64 bits, as text: more than a number holds. */
  | { readonly integerValue: string }
  | { readonly doubleValue: number }
  | { readonly timestampValue: Timestamp }
  | { readonly referenceValue: string }
  | { readonly arrayValue: { readonly values: readonly Value[] } }
  | { readonly mapValue: { readonly fields: Fields } };

export type Fields = Readonly<Record<string, Value>>;

/** Kept as it came: a condition on it holds for exactly this one. */
export type Timestamp = { readonly seconds: string; readonly nanos: number };

export type StoredDocument = {
  /** Its full name, of the database too. */
  readonly name: string;
  readonly fields: Fields;
  /** Another one when it was removed and made again. */
  readonly createTime: Timestamp;
  readonly updateTime: Timestamp;
};

export type Condition = { readonly exists: false } | { readonly updateTime: Timestamp };

/** A document is written whole: what the new one does not have is gone. */
export type Write =
  | { readonly set: string; readonly fields: Fields; readonly condition: Condition | null }
  | { readonly delete: string; readonly condition: Condition | null };

export function valueOf(plain: string | number): Value {
  if (typeof plain === 'string') return { stringValue: plain };
  return Number.isSafeInteger(plain) ? { integerValue: String(plain) } : { doubleValue: plain };
}

/** null also for a value that is none of ours. */
export function plainOf(value: Value | undefined): string | number | null {
  if (value === undefined) return null;
  if ('stringValue' in value) return value.stringValue;
  if ('integerValue' in value) return Number(value.integerValue);
  return 'doubleValue' in value ? value.doubleValue : null;
}

export function timestampOf(epochMs: number): Timestamp {
  const seconds = Math.floor(epochMs / 1000);
  return { seconds: String(seconds), nanos: Math.round((epochMs - seconds * 1000) * 1e6) };
}

export function isSameTime(a: Timestamp, b: Timestamp): boolean {
  return a.seconds === b.seconds && a.nanos === b.nanos;
}

/** Longer names are refused at 1,500 bytes. */
const longestSegment = 400;

/**
 * A segment of a path for any text, another for each: what is not plain is written as `~` and four digits per
 * UTF-16 unit. `.`, `..`, `__x__`, `/` and the empty one cannot come out of it. A long one is named by its digest.
 */
export function segmentOf(text: string): string {
  const escaped = text.replace(/[^A-Za-z0-9._-]/g, escapedUnits);
  const isReserved = escaped === '' || /^\.+$|^__/.test(escaped);
  const segment = isReserved ? `~${escaped.replace(/^[._]/, escapedUnits)}` : escaped;
  if (segment.length <= longestSegment) return segment;
  return `~~${createHash('sha256').update(Buffer.from(text, 'utf16le')).digest('hex')}`;
}

function escapedUnits(text: string): string {
  return Array.from({ length: text.length }, (_, at) => `~${text.charCodeAt(at).toString(16).padStart(4, '0')}`).join(
    '',
  );
}
