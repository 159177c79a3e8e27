// Time as a parameter: everything that waits takes a Clock, so that tests need not.

export interface Clock {
  /** Wall time in milliseconds since the epoch: for records and people, never for deadlines. */
  now(): number;
  /** Milliseconds that only go forward: for deadlines and durations. */
  monotonicMs(): number;
  /** Calls back once after `delayMs`. The returned function cancels; cancelling twice is harmless. */
  after(delayMs: number, callback: () => void): () => void;
}

/** RFC 3339 UTC with milliseconds: the only way times are written on the wire. */
export function toTimestamp(epochMs: number): string {
  return new Date(epochMs).toISOString();
}
