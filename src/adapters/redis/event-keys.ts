// What the keys of one session's log are called. All of them lie in one slot of a cluster: Redis hashes what
// stands between braces, so neither tenant nor session may bring braces of their own.

import type { LogKey } from '../../contracts/event-log.ts';

export type EventKeys = {
  /** A hash: which epoch writes, what is held, in which history of the server. */
  readonly head: string;
  /** A stream: an entry for each batch. */
  readonly batches: string;
  readonly channel: string;
};

/** `database`: channels are the server's, not a database's as keys are. */
export function eventKeys(prefix: string, database: number, { tenant, sessionId }: LogKey): EventKeys {
  const session = `{${encodeURIComponent(tenant)}/${encodeURIComponent(sessionId)}}`;
  return {
    head: `${prefix}log:${session}:head`,
    batches: `${prefix}log:${session}:batches`,
    channel: `${prefix}log:${session}:live:${database}`,
  };
}
