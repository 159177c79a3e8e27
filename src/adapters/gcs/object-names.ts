// What the objects of a session are called: `{prefix}/{tenant}/{session}/{name}`, so that deleting a session
// is deleting what begins with its name.

import type { SessionKey } from '../../contracts/worker-link.ts';
import { ServiceError } from '../../core/errors.ts';

const objectName = /^[a-z0-9][a-z0-9._-]{0,127}$/;

export class ObjectNames {
  /** What all begin with. */
  readonly root: string;

  constructor(prefix: string) {
    this.root = `${prefix}/`;
  }

  /** What all objects of the session begin with. */
  ofSession({ tenant, sessionId }: SessionKey): string {
    if (tenant === '' || sessionId === '') throw noSuchName('a key has no empty part');
    return `${this.root}${safeName(tenant)}/${safeName(sessionId)}/`;
  }

  of(key: SessionKey, name: string): string {
    if (!objectName.test(name)) throw noSuchName('no object may have that name');
    return this.ofSession(key) + name;
  }
}

/** The last part of a name that a listing up to `/` gave; null for one that is none of ours. */
export function meantBy(listed: string, below: string): string | null {
  if (!listed.startsWith(below) || !listed.endsWith('/')) return null;
  const name = listed.slice(below.length, -1);
  try {
    const text = decodeURIComponent(name);
    return text !== '' && safeName(text) === name ? text : null;
  } catch {
    return null;
  }
}

/** Nor anything that tools take for a pattern or for a step upwards. */
function safeName(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*.~]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function noSuchName(message: string): ServiceError {
  return new ServiceError('internal', {}, { message });
}
