// What one role of a fleet shows another: derived from the secret that all of them have, for one run of
// one role, so that what was taken from a worker is no good at another, nor after its restart.

import { createHmac } from 'node:crypto';

export type InternalRole = 'gateway' | 'worker' | 'session-manager' | 'model-proxy';

/** `role` and `boot` are those of the role that is called. */
export function internalCredential(secret: string | Uint8Array, role: InternalRole, boot: string): string {
  return createHmac('sha256', secret).update(`${role}:${boot}`).digest('base64url');
}
