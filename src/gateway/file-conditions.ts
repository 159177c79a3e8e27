// What a request says of the state of a file: Range, If-Match, If-None-Match, If-Range (RFC 9110, 13 and 14),
// as far as files need it. Pure.

import { invalidRequest } from '../api/validation.ts';

export type WantedRange =
  | { readonly kind: 'from'; readonly offset: number; readonly length: number }
  /** The last so many bytes. */
  | { readonly kind: 'suffix'; readonly length: number };

const strongTag = /^"[\x21\x23-\x7e\x80-\xff]*"$/;

/** null: the whole file, also for what is no range of ours; that is what the RFC asks for. */
export function rangeOf(header: string | undefined): WantedRange | null {
  const [, first = '', last = ''] = /^bytes=\s*(\d{0,15})-(\d{0,15})\s*$/i.exec(header ?? '') ?? [];
  if (first === '') return last === '' ? null : { kind: 'suffix', length: Number(last) };
  const offset = Number(first);
  if (last === '') return { kind: 'from', offset, length: Number.MAX_SAFE_INTEGER - offset };
  return Number(last) < offset ? null : { kind: 'from', offset, length: Number(last) - offset + 1 };
}

/** One ETag or `*`; null where the client asks for neither. Weak ones are told apart by never being equal. */
export function ifMatchOf(header: string | undefined): string | null {
  if (header === undefined) return null;
  const tag = header.trim();
  if (tag === '*' || strongTag.test(tag) || tag.startsWith('W/"')) return tag;
  throw invalidRequest([{ field: 'If-Match', message: 'must be one ETag in its quotes, or *' }], 'header');
}

/** Of a write: whether nothing may be there. */
export function onlyIfAbsent(header: string | undefined): boolean {
  if (header === undefined) return false;
  if (header.trim() === '*') return true;
  throw invalidRequest([{ field: 'If-None-Match', message: 'must be * here' }], 'header');
}

/** Of a read: whether the client has the file as it is. */
export function isKnownToClient(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  return header.split(',').some((tag) => {
    const plain = tag.trim().replace(/^W\//, '');
    return plain === '*' || plain === etag;
  });
}
