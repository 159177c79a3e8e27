// What the store door lets a worker do beyond what the form of a call says, where that is cheap to know: a worker
// makes a session for one prompt of its own, erases that again, and clears away what an erasure has asked for.

import { ServiceError } from '../../core/errors.ts';
import type { SessionRecord } from '../../core/session.ts';

/** As POST /execute of a worker makes it. */
export function assertOfOnePrompt(session: SessionRecord): void {
  if (session.revision !== 1 || session.boot !== null || !isOfOnePrompt(session)) {
    throw notAWorkers('A worker makes sessions of one prompt alone.');
  }
}

export function assertNew({ revision }: { readonly revision: number }): void {
  if (revision !== 1) throw notAWorkers('What is new begins at revision 1.');
}

/** `turns`: how many it has, as far as that matters. */
export function assertMayEraseRecord(session: SessionRecord | null, turns: number): void {
  if (session === null || (isOfOnePrompt(session) && turns <= 1)) return;
  throw notAWorkers('A worker erases no record but that of a session that it made for one prompt.');
}

/** Once its erasure was asked for at a gateway, once its record is gone, or of a session of one prompt. */
export function assertMayEraseObjects(session: SessionRecord | null, turns: number): void {
  if (session === null || session.erasing === true || (isOfOnePrompt(session) && turns <= 1)) return;
  throw notAWorkers('The session is not to be erased.');
}

/** Cheap to say of a record alone: nobody has named it, told of it or changed what it is. */
function isOfOnePrompt({ alias, epoch, metadata, title }: SessionRecord): boolean {
  return alias === null && epoch === 1 && title === null && Object.keys(metadata).length === 0;
}

function notAWorkers(message: string): ServiceError {
  return new ServiceError('forbidden', { store: 'door' }, { message });
}
