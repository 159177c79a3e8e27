// Who of several does what should be done once. A help, not a guarantee: whoever lost the lead without
// having noticed must do no harm, so what leaders do is conditional on the records.

export interface Leadership {
  /** Whether the holder leads from now until `ttlMs` later; asking again extends it. */
  hold(holder: string, ttlMs: number): Promise<boolean>;
  /** Lets another lead at once. Harmless when the holder does not lead. */
  resign(holder: string): Promise<void>;
}
