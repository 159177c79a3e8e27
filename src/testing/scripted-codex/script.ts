// What a scripted Codex does, as JSON: how it starts, and for each method what it answers and says. A
// method without a script is played well: a turn says one message and ends.

/** In `params` and `result`, "$thread" and "$turn" stand for the ids of the turn under way. */
export type Step =
  | { readonly answer: unknown }
  | { readonly refuse: { readonly code: number; readonly message: string } }
  | { readonly notify: { readonly method: string; readonly params: unknown } }
  /** A request of Codex's own; the script goes on when it is answered, or never. */
  | { readonly request: { readonly method: string; readonly params: unknown } }
  /** Plays the whole good turn: answer, message with this text, end. */
  | { readonly playTurn: string }
  /** The same, but nothing after the message: `turn/completed` never comes. */
  | { readonly playTurnWithoutEnd: string }
  | { readonly waitMs: number }
  | { readonly exit: number }
  | { readonly signal: 'SIGKILL' | 'SIGSEGV' | 'SIGSTOP' }
  | { readonly garbageLines: number }
  /** A notification of so many bytes in one line. */
  | { readonly bigLineBytes: number }
  /** A line that never ends, of at least so many bytes. */
  | { readonly endlessLineBytes: number }
  /** Allocates, and keeps. */
  | { readonly growBytes: number }
  | { readonly openFiles: number }
  /** From here on nothing is answered or said. */
  | { readonly silence: true };

export type Script = {
  /** Before `initialize` is answered. */
  readonly startDelayMs?: number;
  readonly exitAtStart?: number;
  readonly ignoresSigterm?: boolean;
  /** The first so many calls of each method but initialize are refused with -32001. */
  readonly overloads?: number;
  /** The n-th call of a method plays the n-th list; the last one is played again. */
  readonly on?: Readonly<Record<string, readonly (readonly Step[])[]>>;
};
