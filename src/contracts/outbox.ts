// What happened, on its way to those outside who want to be told. Who says it does not know who that is.

import type { Notice } from '../core/webhook.ts';

export interface Outbox {
  /**
   * Resolves once each of them is on record for everybody who wants it, in this order within a lane: from then on
   * it is delivered at least once, whatever dies. Saying it again is harmless, and says nothing twice. Rejects
   * with `store_unavailable`.
   */
  put(notices: readonly Notice[]): Promise<void>;
}

/** Nobody is told of anything. */
export const noOutbox: Outbox = { put: async () => {} };
