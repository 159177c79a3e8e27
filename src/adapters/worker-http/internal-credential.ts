// What one role of a fleet shows another: derived from the secret that all of them have, for one run of
// one role, so that what was taken from a worker is no good at another, nor after its restart.

import { createHmac } from 'node:crypto';

export type InternalRole = 'gateway' | 'worker' | 'session-manager' | 'model-proxy';

/** `role` and `boot` are those of the role that is called. */
export function internalCredential(secret: string | Uint8Array, role: InternalRole, boot: string): string {
  return createHmac('sha256', secret).update(`${role}:${boot}`).digest('base64url');
}

/**
 * In place of a boot for the store door of the session managers: it is called through one name with many replicas
 * behind, and a repeat of a call may meet another of them, so that it cannot be one run's. Taken from a worker it is
 * good until the cluster's secret is another; but who can take it can take that secret, from which it follows.
 */
export const storeDoorScope = 'store-door';
