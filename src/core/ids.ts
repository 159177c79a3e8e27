// How things are named. A session's id is a UUIDv7 and is also its Codex thread id; an alias is
// the name that a client chose for it. Ids made elsewhere are checked here before they are used.

import { stringify, v7 } from 'uuid';

export type TenantId = string;
export type SessionId = string;
export type TurnId = string;
export type WorkerId = string;

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** What a client may call a session: safe in a path, a log line and a file name. */
export const aliasPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
export const aliasRule = '1 to 128 of A-Z a-z 0-9 . _ - and the first a letter or digit';

export function mintId(): string {
  return v7();
}

/** The id that follows from a digest, of which it takes the first 16 bytes: RFC 9562 version 8, whose bits are the maker's own. */
export function idOfDigest(digest: Uint8Array): string {
  const bytes = Uint8Array.from(digest.subarray(0, 16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return stringify(bytes);
}

/** When an id of ours was minted, in milliseconds since the epoch; null for one derived from an Idempotency-Key. */
export function mintedAt(id: string): number | null {
  const isVersion7 = isUuid(id) && id[14] === '7';
  return isVersion7 ? Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16) : null;
}

export function isUuid(text: string): boolean {
  return uuidPattern.test(text);
}

/** `..` passes no pattern of ours, yet `a..b` would read badly in a path: both are refused. */
export function isAlias(text: string): boolean {
  return aliasPattern.test(text) && !text.includes('..');
}
