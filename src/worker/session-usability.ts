// Whether a session can take turns: what its record says of it. What its slot and its log say is asked elsewhere.

import { ServiceError } from '../core/errors.ts';
import type { SessionRecord } from '../core/session.ts';

/** It takes no turns until somebody says that it may. */
export function isBarred({ status }: Pick<SessionRecord, 'status'>): boolean {
  return status === 'quarantined' || status === 'failed';
}

/** Why it can take no more turns; null while it can. */
export function refusalOf(
  { crashes, snapshot, status }: SessionRecord,
  limits: { readonly rolloutBytes: number },
): ServiceError | null {
  if (status === 'failed') return new ServiceError('session_failed');
  if (status === 'quarantined') return new ServiceError('session_quarantined', { crashes });
  const bytes = snapshot?.rolloutBytes ?? 0;
  if (bytes < limits.rolloutBytes) return null;
  return new ServiceError('session_full', { rollout_bytes: bytes, limit_bytes: limits.rolloutBytes });
}
