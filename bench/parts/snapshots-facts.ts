// What is said between the commit benchmark and its child.

/** plain: no tool was called. tool: one was, and changed nothing. changed: it changed one file. */
export type CommitKind = 'plain' | 'tool' | 'changed';

export type TreeJob = { readonly files: number; readonly fileBytes: number };
export type MadeTree = { readonly firstMs: number; readonly storedBytes: number };

export type CommitTook = {
  readonly ms: number;
  /** Of the whole process. */
  readonly cpuMs: number;
  /** The longest that the loop of the main thread was kept from its other work, a millisecond of rest included. */
  readonly loopMs: number;
};
