// Ids that follow from an Idempotency-Key: the same request makes the same turn, whichever replica
// takes it and however often. Frozen: stored turns were named this way.

import { createHash, createHmac } from 'node:crypto';
import { idOfDigest, type TenantId } from '../core/ids.ts';

export type IdempotencyScope = { readonly tenant: TenantId; readonly route: string; readonly key: string };

export function derivedId(
  secret: string | Uint8Array,
  kind: 'turn' | 'session' | 'steer' | 'job',
  scope: IdempotencyScope,
): string {
  // As a JSON array, so that no part can run into the next.
  const text = JSON.stringify([kind, scope.tenant, scope.route, scope.key]);
  return idOfDigest(createHmac('sha256', secret).update(text).digest());
}

/** What a repeat must agree on: what is asked of the agent, not how the answer is delivered. */
export function requestHash(parts: readonly (string | number | object | null)[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}
