// Something that is done for as long as somebody leads.

export interface Duty {
  /** Once, at the beginning of a term. */
  start(): void;
  /** Nothing is begun any more; what was is waited for. */
  stop(): Promise<void>;
}
