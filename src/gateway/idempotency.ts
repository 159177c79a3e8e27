// Ids that follow from an Idempotency-Key: the same request makes the same turn, whichever replica
// takes it and however often. Frozen: stored turns were named this way.

import { createHash, createHmac } from 'node:crypto';
import type { TenantId } from '../core/ids.ts';

export type IdempotencyScope = { readonly tenant: TenantId; readonly route: string; readonly key: string };

export function derivedId(
  secret: string | Uint8Array,
  kind: 'turn' | 'session' | 'steer',
  scope: IdempotencyScope,
): string {
  // As a JSON array, so that no part can run into the next.
  const text = JSON.stringify([kind, scope.tenant, scope.route, scope.key]);
  return uuidShaped(createHmac('sha256', secret).update(text).digest());
}

/** What a repeat must agree on: what is asked of the agent, not how the answer is delivered. */
export function requestHash(parts: readonly (string | number | object | null)[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

/** RFC 9562 version 8: a UUID whose bits are the maker's own. */
function uuidShaped(digest: Buffer): string {
  const bytes = Buffer.from(digest.subarray(0, 16));
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
