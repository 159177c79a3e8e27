// Messages from outside on their way to becoming something of ours, and messages of ours on their way out.
// Which system carries them is not known here.

export type IncomingMessage = {
  /** Of the message within its source; the same each time it comes. */
  readonly id: string;
  readonly data: Uint8Array;
  readonly attributes: Readonly<Record<string, string>>;
  /** Empty: in no order with any other. */
  readonly orderingKey: string;
  /** Milliseconds since the epoch. */
  readonly publishedAt: number;
  /** How often it has been handed out, with this time; 0 where the source does not count. */
  readonly deliveryAttempt: number;
};

export type MessageAnswer =
  /** What it asked for is durable: it need not come again. */
  | { readonly outcome: 'done' }
  /** Not now: the same message is handled again. */
  | { readonly outcome: 'later' }
  /** Never: it is put aside with the reason, which a person may read. */
  | { readonly outcome: 'poison'; readonly reason: string };

export type SourceState =
  | { readonly state: 'stopped' }
  | { readonly state: 'reading' }
  /** Read as before once that has passed; tried again and again. `reason` as in the details of an error. */
  | { readonly state: 'unavailable'; readonly reason: string };

export interface MessageSource {
  /**
   * Hands out what comes, at least once each, to at most as many calls of `handle` at once as the source was
   * made for; those of one ordering key one after the other, in their order. A message is acknowledged only
   * after it was answered `done`, or after it was put aside. One answered `later` still counts as in hand, so
   * that nothing more is read while nothing is taken; it is handled again after a while, and given back after
   * a longer one. A rejection is logged and treated as `later`. Once only.
   */
  start(handle: (message: IncomingMessage) => Promise<MessageAnswer>): void;
  /**
   * Hands out nothing more. Waits for calls of `handle` that have begun, and for their acknowledgement, as long
   * as a deadline of the source allows; all else is given back, to whoever reads next. Never rejects.
   */
  stop(): Promise<void>;
  /** For probes. */
  state(): SourceState;
}

export type OutgoingMessage = {
  readonly data: Uint8Array;
  readonly attributes: Readonly<Record<string, string>>;
  /** Empty: in no order with any other. */
  readonly orderingKey: string;
};

export interface EventTopic {
  /**
   * Resolves once the message is durable on the other side. Rejects with `store_unavailable` within a deadline
   * of the topic's: it may have been published all the same. Those of one ordering key arrive in the order of
   * the calls; when one is rejected, so are those that were called after it and before its rejection.
   */
  publish(message: OutgoingMessage): Promise<void>;
  /** What is under way is waited for within that deadline; nothing is published any more. Never rejects. */
  close(): Promise<void>;
}
