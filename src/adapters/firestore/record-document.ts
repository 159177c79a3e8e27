// A record as a document: the few fields that it is found and ordered by, its JSON text with a checksum that is
// verified whenever it is read, and how it came to be. A text that one document cannot hold goes on in others.

import { crc32 } from 'node:zlib';
import { ServiceError } from '../../core/errors.ts';
import type { TenantId } from '../../core/ids.ts';
import { type Fields, plainOf, type StoredDocument, timestampOf, type Value, valueOf } from './document.ts';
import type { Standing } from './written-places.ts';

export type Stored = {
  readonly tenant: TenantId;
  readonly id: string;
  readonly revision: number;
  readonly createdAt: number;
};

export type RecordKind = 'sessions' | 'turns' | 'approvals' | 'jobs' | 'schedules' | 'webhooks' | 'deliveries';

export type RecordShape<T> = {
  readonly kind: RecordKind;
  /**
   * Beside id, tenant and createdAt. One that is null is left out: an index holds the documents that have all of its
   * fields, so that those of a list over all tenants are few, however many records there are.
   */
  readonly fields: Readonly<Record<string, (record: T) => string | number | null>>;
  /** The field that says whose the record is, where that is damaged or named in a list. */
  readonly ownerField: string;
  /** What never changes of it, and is compared before a write. */
  readonly constantOf: (record: T) => string;
  /** When Firestore may remove it by itself; null: never. */
  readonly expiresAtOf: (record: T) => number | null;
};

/** A document holds 1 MiB with its name, its other fields and what the index entries need. */
const mostBytesInDocument = 900 * 1024;
/** Names of a record's last writes are kept, so that a writer whose answer was lost finds its own below later ones. */
const trailLength = 8;
/** Of what is written here. A change that an older reader would misunderstand gets the next number. */
const format = 1;
/** What is not summed: it says how the document came to be, may be changed by who removes things, or is summed by itself. */
const notSummed: readonly string[] = ['meta', 'body', 'expireAt'];

export type Document = {
  /** Of the text. */
  readonly bytes: number;
  /** As written by that write, on what those before it wrote. */
  readonly fields: (writeId: string, earlier: readonly string[]) => Fields;
  /** Of the documents that hold the rest of the text. */
  readonly parts: readonly Fields[];
};

export function documentOf<T extends Stored>(shape: RecordShape<T>, record: T): Document {
  const { createdAt, id, revision, tenant } = record;
  const own = Object.entries(shape.fields).map(([name, fieldOf]) => [name, fieldOf(record)] as const);
  const constant = shape.constantOf(record);
  const body = JSON.stringify(record);
  const [first = '', ...rest] = cut(body);
  const expiresAt = shape.expiresAtOf(record);
  const ending: Fields = expiresAt === null ? {} : { expireAt: { timestampValue: timestampOf(expiresAt) } };
  const found: Fields = {
    id: valueOf(id),
    tenant: valueOf(tenant),
    createdAt: valueOf(createdAt),
    ...Object.fromEntries(own.flatMap(([name, value]) => (value === null ? [] : [[name, valueOf(value)]]))),
  };
  const meta: Fields = {
    format: valueOf(format),
    revision: valueOf(revision),
    checksum: valueOf(checksumOf(found, revision, constant, body)),
    constant: valueOf(constant),
  };
  const fields: Fields = { ...found, ...ending, body: valueOf(first) };
  return {
    bytes: Buffer.byteLength(body),
    fields: (writeId, earlier) => {
      const trail = trailAfter(writeId, earlier).map(valueOf);
      const parts = rest.length === 0 ? {} : { parts: valueOf(rest.length), partsBy: valueOf(writeId) };
      return {
        ...fields,
        meta: { mapValue: { fields: { ...meta, ...parts, trail: { arrayValue: { values: trail } } } } },
      };
    },
    parts: rest.map((text): Fields => ({ body: valueOf(text), ...ending })),
  };
}

export function trailAfter(writeId: string, earlier: readonly string[]): string[] {
  return [writeId, ...earlier].slice(0, trailLength);
}

/** What can be known without the text; null where that makes no sense. */
export function standingOf({ fields, updateTime }: StoredDocument): Standing | null {
  const meta = metaOf(fields);
  const revision = plainOf(meta['revision']);
  const constant = plainOf(meta['constant']);
  if (typeof revision !== 'number' || typeof constant !== 'string') return null;
  const trailValue = meta['trail'];
  const values = trailValue !== undefined && 'arrayValue' in trailValue ? trailValue.arrayValue.values : [];
  const trail = values.flatMap((value) => ('stringValue' in value ? [value.stringValue] : []));
  const count = plainOf(meta['parts']);
  const writeId = plainOf(meta['partsBy']);
  const parts = typeof count === 'number' && typeof writeId === 'string' ? { count, writeId } : null;
  return { revision, constant, trail, parts, updateTime };
}

/** `rest`: the texts of its other documents, in order. */
export function recordOf<T extends Stored>(
  shape: RecordShape<T>,
  document: StoredDocument,
  rest: readonly string[],
): T {
  const { fields } = document;
  const standing = standingOf(document);
  if (standing === null) throw damaged(shape, document);
  const body = [plainOf(fields['body']), ...rest].join('');
  const checksum = checksumOf(fields, standing.revision, standing.constant, body);
  if (plainOf(metaOf(fields)['checksum']) !== checksum) throw damaged(shape, document);
  return JSON.parse(body) as T;
}

/** What a later version of the program wrote is no damage: that version reads it. */
export function assertFormatKnown<T>({ kind }: RecordShape<T>, { fields }: StoredDocument): void {
  const written = plainOf(metaOf(fields)['format']);
  if (typeof written !== 'number' || written <= format) return;
  const details = { store: 'firestore', reason: 'newer_format', part: kind, format: written };
  const message = 'A record in Firestore was written by a newer version of this program: run that version.';
  throw new ServiceError('store_unavailable', details, { message });
}

export function damaged<T>({ kind, ownerField }: RecordShape<T>, { fields }: StoredDocument): ServiceError {
  return new ServiceError('session_corrupt', {
    session_id: plainOf(fields[ownerField]),
    part: kind,
    id: plainOf(fields['id']),
  });
}

function metaOf(fields: Fields): Fields {
  const meta: Value | undefined = fields['meta'];
  return meta !== undefined && 'mapValue' in meta ? meta.mapValue.fields : {};
}

/**
 * Of the fields too: a record must not be found under another's name, nor in another's place. Of those that the document
 * has, not of those that the reader knows: a later version may add some.
 */
function checksumOf(fields: Fields, revision: number, constant: string, body: string): number {
  const summed = Object.keys(fields).filter((name) => !notSummed.includes(name));
  const columns = summed.toSorted().map((name) => [name, plainOf(fields[name])]);
  return crc32(body, crc32(JSON.stringify([format, revision, constant, columns])));
}

/** In pieces that a document holds, between characters. */
function cut(body: string): string[] {
  if (body.length * 3 <= mostBytesInDocument) return [body];
  const octets = Buffer.from(body);
  const pieces: string[] = [];
  for (let start = 0; start < octets.length; ) {
    let end = Math.min(octets.length, start + mostBytesInDocument);
    while (end < octets.length && ((octets[end] ?? 0) & 0xc0) === 0x80) end--;
    pieces.push(octets.toString('utf8', start, end));
    start = end;
  }
  return pieces;
}
