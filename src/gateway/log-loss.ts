// What a reader is told when the log lost events that it has seen: where its own account and the log part.
// Only a tail can be lost, and what comes after it is of a later epoch.

import type { EventLog, LogKey } from '../contracts/event-log.ts';
import type { Cursor } from '../core/event.ts';

export type LogAgreement =
  /** The log holds what was seen. */
  | { readonly kind: 'same' }
  /** Behind this place the log has other events than were seen: reading goes on there. */
  | { readonly kind: 'parted'; readonly seq: number }
  /** The log does not reach so far; whoever writes it may bring back what is missing. */
  | { readonly kind: 'short' };

/** `seen`: the place and epoch of an event that was read once. */
export async function agreementOf(log: EventLog, key: LogKey, seen: Cursor): Promise<LogAgreement> {
  const { events, lastSeq } = await log.read(key, seen.seq - 1, 1);
  const found = events[0]?.header;
  if (found !== undefined && (found.seq > seen.seq || found.epoch === seen.epoch)) return { kind: 'same' };
  // The first event of a later epoch: epochs grow along the log, so halving finds it.
  let before = 0;
  let from = Math.min(seen.seq, lastSeq) + 1;
  while (from - before > 1) {
    const middle = Math.floor((before + from) / 2);
    const page = await log.read(key, middle - 1, 1);
    if ((page.events[0]?.header.epoch ?? 0) > seen.epoch) from = middle;
    else before = middle;
  }
  return from <= Math.min(seen.seq, lastSeq) ? { kind: 'parted', seq: from - 1 } : { kind: 'short' };
}
